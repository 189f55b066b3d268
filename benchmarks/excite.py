"""Attend-and-Excite (Chefer et al. 2023) as published: each object is to have strong attention somewhere.

As its authors publish it: of the maps at 16 × 16, the mean over heads and layers; it is sharpened by a softmax of
100 × the map over the prompt's words, without start and end (which is what they do for Stable Diffusion 2.1; for 1.4
end and padding take part); a Gaussian of half a cell smooths; the loss is that of the object's token whose strongest
cell is weakest. In the first half of the steps the latent goes down the gradient once, by 20·√r, r falling evenly from
1 to ½ over all steps; and before that, at the beginning and after 20 and 40 % of the steps, up to 20 times until the
weakest token has come to 0.05, 0.5 and 0.8. Ours is where it reads: the finest of the network's layers, which in the
first miniature are at 16 × 16, and in the second all, at 8 × 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from steering_core.layers import AttentionLayer
from steering_core.relations import Place, Relation
from steering_core.schedule import SamplingStep, SteeringSchedule
from steering_core.steering import Probe, Steering
from steering_core.token_maps import TokenMaps, smoothed
from steering_core.tokens import GroundedRelation, GroundedScene

_SHARPNESS = 100.0
_SIGMA = 0.5
#: What the weakest token has to come to, by the share of the steps before.
_THRESHOLDS = {0.0: 0.05, 0.2: 0.5, 0.4: 0.8}
_MOST_REFINEMENTS = 20
_STEP_SIZE, _LAST_OF_STEP_SIZE = 20.0, 0.5


def excitable(scene: GroundedScene) -> GroundedScene:
    """The scene with each token of the prompt's words among its objects, after the others."""
    return replace(scene, tokens=(*scene.tokens, *((index,) for index in _words(scene))))


def _words(scene: GroundedScene) -> list[int]:
    """The indices of their tokens."""
    return [token.index for token in scene.sequence if token.text]


@dataclass(frozen=True)
class ExciteLoss:
    """1 minus the strongest attention that the weakest token of two objects has anywhere, in [0, 1].

    Attributes:
        scene: before ``excitable`` has added to its objects.
        layers: names of the layers whose maps are read, all of one size; the network's finest when it is bound.
    """

    scene: GroundedScene
    layers: tuple[str, ...] = ()

    @property
    def over_all_keys(self) -> bool:
        """Never: a map is sharpened among the text's tokens."""
        return False

    def bound_to(self, network: Sequence[AttentionLayer], relations: Sequence[Relation | Place]) -> ExciteLoss:
        """See ``SteeringLoss``; the kind of relation does not matter."""
        finest = min(layer.level for layer in network)
        return replace(self, layers=tuple(layer.name for layer in network if layer.level == finest))

    def __call__(self, maps: TokenMaps, relation: GroundedRelation, progress: float) -> Tensor:
        """See ``SteeringLoss``; the maps are those of an ``excitable`` scene."""
        of_text = torch.stack([layer.mean(dim=2) for layer in maps.of(self.layers)]).mean(dim=0)
        sharpened = (_SHARPNESS * of_text[:, len(self.scene.tokens) :]).softmax(dim=1)
        words, objects = _words(self.scene), [index for end in relation.ends for index in self.scene.tokens[end]]
        of_objects = sharpened[:, [words.index(index) for index in objects]]
        peaks = smoothed(of_objects, _SIGMA, border="reflect").amax(dim=(-2, -1))
        return 1 - peaks.amin(dim=1)


class ExciteSteering(Steering):
    """Descends as Attend-and-Excite does."""

    def descend(self, latent: Tensor, probe: Probe, noise_level: float, step: SamplingStep) -> Tensor:
        """See ``Steering``: first to the threshold where one is due, then once."""
        assert self.schedule.step_size is not None
        size = self.schedule.step_size * math.sqrt(1 - (1 - _LAST_OF_STEP_SIZE) * step.number / max(step.steps - 1, 1))
        for share, threshold in _THRESHOLDS.items():
            if step.number == round(share * step.steps):
                refining = replace(self.schedule, step_size=size, refinements=_MOST_REFINEMENTS, target=1 - threshold)
                latent = Steering.descend(replace(self, schedule=refining), latent, probe, noise_level, step)
        once = replace(self.schedule, step_size=size, refinements=1)
        return Steering.descend(replace(self, schedule=once), latent, probe, noise_level, step)


def exciting(scene: GroundedScene, step_size: float = _STEP_SIZE) -> ExciteSteering:
    """Steering for one prompt."""
    schedule = SteeringSchedule(end=0.5, step_size=step_size, normalize=False)
    return ExciteSteering(excitable(scene), ExciteLoss(scene), schedule)
