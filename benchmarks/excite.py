"""Attend-and-Excite (Chefer et al. 2023) as published: the presence loss by its own schedule.

In the first half of the steps the latent goes down the gradient once, by 20·√r, r falling evenly from 1 to ½ over all
steps; and before that, at the beginning and after 20 and 40 % of the steps, up to 20 times until the weakest token has
come to 0.05, 0.5 and 0.8.
"""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from benchmarks.ways import published_schedule
from steering_core.gradient import Probe
from steering_core.losses import PresenceLoss
from steering_core.schedule import SamplingStep
from steering_core.steering import Steering
from steering_core.tokens import GroundedScene

#: What the weakest token has to come to, by the share of the steps before.
_THRESHOLDS = {0.0: 0.05, 0.2: 0.5, 0.4: 0.8}
_MOST_REFINEMENTS = 20
_STEP_SIZE, _LAST_OF_STEP_SIZE = 20.0, 0.5


class ExciteSteering(Steering):
    """Descends as Attend-and-Excite does."""

    def descend(
        self, latent: Tensor, probe: Probe, noise_level: float, step: SamplingStep, mask: Tensor | None = None
    ) -> Tensor:
        """See ``Steering``: first to the threshold where one is due, then once."""
        assert self.schedule.step_size is not None
        size = self.schedule.step_size * math.sqrt(1 - (1 - _LAST_OF_STEP_SIZE) * step.number / max(step.steps - 1, 1))
        for share, threshold in _THRESHOLDS.items():
            if step.number == round(share * step.steps):
                refining = replace(self.schedule, step_size=size, refinements=_MOST_REFINEMENTS, target=1 - threshold)
                latent = Steering.descend(replace(self, schedule=refining), latent, probe, noise_level, step, mask)
        once = replace(self.schedule, step_size=size, refinements=1)
        return Steering.descend(replace(self, schedule=once), latent, probe, noise_level, step, mask)


def exciting(scene: GroundedScene) -> ExciteSteering:
    """Steering for one prompt."""
    return ExciteSteering(scene, PresenceLoss(), published_schedule(end=0.5, step_size=_STEP_SIZE))
