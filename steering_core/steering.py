"""The loop: probe, loss, gradient, update.

A latent is given here as the network itself receives it (after the sampler's input scaling),
and the noise level is the standard deviation of the noise in it; so a step means the same under
every sampler and library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .layers import AttentionLayer, check_layers
from .losses import SteeringLoss
from .schedule import GUIDANCE, SamplingStep, SteeringSchedule
from .token_maps import TokenMaps, centroids, threshold_at_mean
from .tokens import GroundedRelation, GroundedScene
from .trace import TraceEntry

#: From a latent (batch, …) to token maps in its autograd graph.
Probe = Callable[[Tensor], TokenMaps]

#: The loss is scaled up by this before the backward pass, and the gradient down after it, because
#: its entries can be smaller than the smallest number of a half-precision network.
_GRADIENT_SCALE = 2.0**10


class SteeringError(RuntimeError):
    """Steering cannot go on; sampling should stop with this message."""


@dataclass
class Steering:
    """Steers a sampler towards a scene, one run after the other.

    Attributes:
        scene: what is wanted.
        loss: scores one relation; ``bind`` ties it to a network.
        schedule: when and how strongly to steer.
        trace: what was seen so far in this run, in order.
    """

    scene: GroundedScene
    loss: SteeringLoss
    schedule: SteeringSchedule = field(default_factory=SteeringSchedule)
    trace: list[TraceEntry] = field(default_factory=list)

    def bind(self, network: Sequence[AttentionLayer]) -> tuple[str, ...]:
        """Tie the loss to the network of this run.

        Returns:
            Names of the layers that the probe must read, in running order.

        Raises:
            ValueError: the loss cannot read this network, or cannot score one of the relations.
        """
        self.loss = self.loss.bound_to(network, [relation.relation for relation in self.scene.relations])
        return check_layers(self.loss.layers, network)

    def is_active(self, step: int, steps: int) -> bool:
        """Whether this step is steered at all."""
        return bool(self.scene.relations) and self.schedule.is_active(step, steps)

    def descend(self, latent: Tensor, probe: Probe, noise_level: float, step: SamplingStep) -> Tensor:
        """Move the latent down the loss until every due relation meets the target, or the cap.

        Each image of the batch stops by itself. Published as z - eta·dL/dz (Learn-to-Steer).

        Returns:
            The moved latent: outside the graph, the same tensor if nothing was to be moved.
        """
        for refinement in range(self.schedule.refinements):
            direction = self._direction(latent, probe, step, refinement)
            if direction is None:
                break
            scale = noise_level if self.schedule.normalize else 1.0
            latent = latent - self.schedule.step_size_at(step) * scale * direction
        return latent

    def noise_shift(self, latent: Tensor, probe: Probe, step: SamplingStep) -> Tensor | None:
        """What to add to the predicted noise after classifier-free guidance (InfSplign eq. 6).

        Returns:
            As the latent; nothing if every due relation of every image meets the target.
        """
        probed = sum(entry.step == step.number for entry in self.trace)
        direction = self._direction(latent, probe, step, refinement=probed)
        return None if direction is None else self.schedule.step_size_at(step) * direction

    def _direction(self, latent: Tensor, probe: Probe, step: SamplingStep, refinement: int) -> Tensor | None:
        """The gradient to follow, zero for images that are done; none if all are."""
        numbered = list(enumerate(self.scene.relations))
        due = self.schedule.due(numbered, step.number)
        maps, losses, gradient = self._probe(latent, probe, [relation for _, relation in due], step.progress)
        norm = gradient.flatten(1).norm(dim=1)
        if not norm.isfinite().all():
            raise SteeringError(
                f"The gradient of the steering loss is not finite at step {step.number + 1} of {step.steps}. "
                f"Load the model in float32 or bfloat16, or steer a later window of the schedule."
            )
        mean_map = maps.mean_map()
        self.trace.append(
            TraceEntry(
                step=step.number,
                refinement=refinement,
                relations=tuple(number for number, _ in due),
                loss=losses.cpu(),
                centroids=centroids(threshold_at_mean(mean_map)).cpu(),
                gradient_norm=norm.cpu(),
                mean_map=mean_map.float().cpu(),
            )
        )
        if not (norm > 0).any():
            return None
        if self.schedule.normalize:
            root_mean_square = norm / gradient[0].numel() ** 0.5
            gradient = gradient / _per_image(root_mean_square, gradient).clamp_min(torch.finfo(gradient.dtype).tiny)
        return gradient

    def _probe(
        self, latent: Tensor, probe: Probe, relations: list[GroundedRelation], progress: float
    ) -> tuple[TokenMaps, Tensor, Tensor]:
        """Maps, losses (relations, batch) and the gradient of those that miss the target."""
        with torch.inference_mode(False), torch.enable_grad():
            latent = latent.detach().clone().requires_grad_()
            maps = probe(latent)
            losses = torch.stack([self.loss(maps, relation, progress) for relation in relations])
            missed = ~(losses <= self.schedule.target)  # what is not a number has not met it
            if not missed.any():
                return maps.detach(), losses.detach(), torch.zeros_like(latent)
            (gradient,) = torch.autograd.grad((losses * missed).sum() * _GRADIENT_SCALE, latent)
            return maps.detach(), losses.detach(), gradient / _GRADIENT_SCALE


def uses_guidance(steering: Steering) -> bool:
    """Whether the update goes into the predicted noise rather than the latent."""
    return steering.schedule.update == GUIDANCE


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    """(batch,) shaped to multiply (batch, …)."""
    return values.view(-1, *[1] * (like.dim() - 1))
