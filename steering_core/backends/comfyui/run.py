"""One run of a steered sampler: what stands around it, and by which way it is steered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import comfy.samplers
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...attributes import replaced
from ...networks import ReadableNetwork
from ...report.run import SteeringRun
from ...steering import Steering
from .binding import BoundForwards
from .conditions import Condition
from .descent import by_intervals, check_can_be_moved
from .guidance import Guidance
from .inference_weights import ordinary_weights
from .noise import FollowedSteps, noise_shares
from .own_forwards import OwnForwards
from .restarting import Beginning, remembered_by
from .room import loaded_with_room
from .view import NetworkView
from .watch import BeginListener, Predictions, SamplerCallback, StepListener, StepWatch, tell


class SteeredRun:
    """One run of a sampler.

    Attributes:
        forwards: binds objects to their regions while it samples; none where nothing is bound.
        own_forwards: looks by the sampler's own forwards while it is steered.
    """

    def __init__(
        self,
        steering: Steering,
        network: ReadableNetwork | None,
        on_begin: BeginListener | None,
        on_step: StepListener | None,
    ) -> None:
        self._steering, self._network = steering, network
        self._on_begin, self._on_step = on_begin, on_step
        self.forwards: BoundForwards | None = None
        self._steps = 0
        self._predictions: Predictions = {}
        self.own_forwards: OwnForwards | None = None
        self._guidance: Guidance | None = None

    def ended(self, latent: Tensor) -> SteeringRun:
        """What there is to tell of it, with its result."""
        steering = self._steering
        return SteeringRun(
            steering.scene,
            self._steps,
            tuple(steering.trace),
            self._predictions,
            latent.cpu(),
            tuple(steering.unsteered),
            steering.binding(self._steps),
            tuple(steering.restarts),
        )

    @contextmanager
    def binding(self, guider: comfy.samplers.CFGGuider, sigmas: Tensor) -> Iterator[None]:
        """In this context objects are bound to their regions in the first steps, if the schedule says so."""
        steps = self._steering.bound_steps(len(sigmas) - 1)
        if steps and self._network is not None:
            followed = FollowedSteps(sigmas.tolist())
            self.forwards = BoundForwards(self._steering, self._network, guider, followed, steps)
        try:
            yield
        finally:
            self.forwards = None

    def prepare(
        self,
        executor: Any,
        model: ModelPatcher,
        noise_shape: Sequence[int],
        conds: dict[str, list[Condition]],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Wrapper of ``prepare_sampling``: asks for room, and spares memory where there is none."""
        if self._network is None or not self._steering.schedule.strength:
            return executor(model, noise_shape, conds, *args, **kwargs)
        loading = partial(executor, model, noise_shape, conds, *args, **kwargs)
        return loaded_with_room(loading, self._steering, self._network, model, noise_shape, conds)

    def sample(
        self,
        executor: Any,
        guider: comfy.samplers.CFGGuider,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: SamplerCallback | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        """Wrapper of ``Sampler.sample``."""
        self._steps = steps = len(sigmas) - 1
        if steps:
            self._steering = self._steering.along(noise_shares(guider.inner_model.model_sampling, sigmas))
            tell(self._on_begin, self._steering, steps)
        watch = StepWatch(self._steering, guider.inner_model, self._predictions, self._on_step, steps)
        rest = (watch.after(callback), noise, latent_image, denoise_mask, disable_pbar)
        active = self._steering.schedule.steered_steps(steps)
        if self._network is None or not active:
            return executor(guider, sigmas, extra_args, *rest)
        sampler, options = executor.class_obj, extra_args["model_options"]
        sampling = partial(executor, guider, sigmas, extra_args, *rest)
        view = NetworkView(self._steering, self._network, guider, self.forwards)
        own_forwards = OwnForwards(view)
        with ordinary_weights(guider), replaced(self, own_forwards=own_forwards):
            if self._steering.schedule.uses_guidance:
                guidance = Guidance(view, own_forwards, sampler, sigmas, options, denoise_mask)
                with replaced(self, _guidance=guidance):
                    latent = sampling()
                if not (self._steering.trace or self._steering.unsteered):
                    reason = f"{type(guider).__name__} hands its predictions past what would bend them"
                    if guidance.was_asked:
                        reason = "no noise is taken away in the steered steps, so that no bend would move anything"
                    self._steering.notes.leave_out(active[0], f"{reason}: steer by latent descent")
                return latent
            check_can_be_moved(sampler)
            remembered = remembered_by(options)
            beginning = Beginning(guider, sampler, noise, latent_image, denoise_mask, options, remembered)
            descending = by_intervals(sampler.sampler_function, view, own_forwards, beginning, watch)
            with replaced(sampler, sampler_function=descending):
                return sampling()

    def predict_noise(self, executor: Any, x: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Wrapper of ``CFGGuider.predict_noise``: bends what the guider makes of all its predictions."""
        predict = partial(executor, x, timestep, *args, **kwargs)
        return predict() if self._guidance is None else self._guidance.predicted(predict, x, timestep)
