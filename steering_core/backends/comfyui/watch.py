"""What a run of a steered sampler shows of its steps: to those that listen, and in what there is to tell of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import comfy.model_management
from comfy.latent_formats import LatentFormat
from comfy.model_base import BaseModel
from torch import Tensor

from ...steering import Steering

#: By which an artist ends a run.
STOPS = (comfy.model_management.InterruptProcessingException,)

_log = logging.getLogger(__name__)

#: Of ComfyUI's samplers: (step, denoised, x, steps), the latents (batch, channels, H, W).
SamplerCallback = Callable[[int, Tensor, Tensor, int], None]
#: By step what the model then took the clean latents to be, (batch, channels, H, W), or that of one picture.
Predictions = dict[int, Tensor]
#: Is told of a run that begins: the steering, tied to its scene, and how many steps there are.
BeginListener = Callable[[Steering, int], None]
#: Is told of a steered step: the steering with its trace, the step from 0, how many there are, the denoised latent
#: (batch, channels, H, W) and its format.
StepListener = Callable[[Steering, int, int, Tensor, LatentFormat], None]
#: Is told that a run has ended, and ended well.
EndListener = Callable[[], None]


def tell(listener: Callable[..., None] | None, *arguments: Any) -> None:
    """Tell a listener of a run; what fails there costs what it shows, not the picture."""
    if listener is None:
        return
    try:
        listener(*arguments)
    except STOPS:
        raise
    except Exception:
        _log.warning("Spatial Steering: what is steered cannot be shown. The picture is sampled on.", exc_info=True)


class StepWatch:
    """Watches a sampler's steps, and tells of those that steering looked at or left out.

    Args:
        steering: of the run.
        model: that is sampled.
        predictions: takes up what the steps that were looked at predict, on the CPU.
        on_step: is told of each of these steps.
        steps: of the run.
    """

    def __init__(
        self,
        steering: Steering,
        model: BaseModel,
        predictions: Predictions,
        on_step: StepListener | None = None,
        steps: int = 0,
    ) -> None:
        self._steering, self._model, self._predictions = steering, model, predictions
        self._on_step, self._steps = on_step, steps
        self._seen = self._unsteered = 0

    def after(self, callback: SamplerCallback | None) -> SamplerCallback:
        """The sampler's callback, and after it what steering has to tell of the step."""

        def watch(step: int, denoised: Tensor, x: Tensor, steps: int) -> None:
            if callback is not None:
                callback(step, denoised, x, steps)
            self.saw(denoised)

        return watch

    def saw(self, denoised: Tensor) -> None:
        """A step has ended, that took this to be the clean latent, (batch, channels, H, W)."""
        # The steps that were probed tell which this is: some samplers count in another way.
        probed = {entry.step for entry in self._steering.trace[self._seen :]} - self._predictions.keys()
        left_out = {entry.step for entry in self._steering.unsteered[self._unsteered :]}
        self._seen, self._unsteered = len(self._steering.trace), len(self._steering.unsteered)
        if probed:
            prediction = self._model.process_latent_out(denoised.float()).cpu()
            self._predictions.update({step: prediction.clone() for step in probed})  # each is changed by itself
        if steps := probed | left_out:
            tell(self._on_step, self._steering, max(steps), self._steps, denoised, self._model.latent_format)

    def replace_image(self, image: int, predictions: Mapping[int, Tensor]) -> None:
        """What is shown of one picture in the steps so far is to be this.

        Args:
            image: its position in the batch.
            predictions: by step, of this picture, (channels, H, W).
        """
        for step in predictions.keys() & self._predictions.keys():
            self._predictions[step][image] = predictions[step]
