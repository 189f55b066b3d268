"""Which run ended with which latent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from torch import Tensor

from ..detection.look import Look
from .run import SteeringRun


class RunLog:
    """The last runs of samplers with one steered model.

    Attributes:
        look: looks at pictures of this model, (batch, 3, H, W) in [0, 1], with a detector that knows what it draws;
            none where there is no such detector.
    """

    _KEPT = 32
    #: Latents differ by less where a sampler gives its result in two ways, and by far more where the seed does.
    _TOLERANCE = 1e-4

    def __init__(self, look: Callable[[Tensor], Look] | None = None) -> None:
        self.look = look
        self._runs: deque[SteeringRun] = deque(maxlen=self._KEPT)

    def __str__(self) -> str:
        return f"the last {len(self._runs)} runs of a steered model"  # what core's Preview as Text shows

    def add(self, run: SteeringRun) -> None:
        """Keep a run; the oldest goes when there are too many."""
        self._runs.append(run)

    def run_of(self, latent: Tensor) -> SteeringRun:
        """The run that ended with this latent.

        Raises:
            ValueError: none of the last runs did.
        """
        for run in reversed(self._runs):
            # Some samplers hand their result on in another precision.
            mine, theirs = run.latent.to(latent.dtype).float(), latent.cpu().float()
            if mine.shape == theirs.shape and mine.allclose(theirs, rtol=0, atol=self._TOLERANCE, equal_nan=True):
                return run
        raise ValueError(
            f"Nothing is known of this latent: no sampler with the steered model of this trace ended with it, or it "
            f"had nothing to do (denoise 0). Connect the sampler's LATENT itself (of two, that named output), and the "
            f"trace of the node that steered its model. The last {self._KEPT} runs are kept, while the node that "
            f"steered is; of another one, sample again, by another seed or with the node cache freed."
        )
