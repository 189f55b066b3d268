"""The loop: probe, loss, gradient, update.

A latent is given here as the network itself receives it (after the sampler's input scaling),
and the noise level is the standard deviation of the noise in it; so a step means the same under
every sampler and library.

Whatever fails while a probe runs costs that step its steering, never the picture.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .bends import bend_of_move
from .care import Caution, mutable, plain
from .gradient import Probe, probed
from .layers import AttentionLayer, check_layers
from .probe import MapRequest
from .regions import Regions, regions_of
from .report.notes import RunNotes
from .report.outcomes import BoundSteps, Restarts, UnsteeredStep
from .report.trace import TraceEntry
from .resting import Resting
from .schedule import MOST_BOUND, SamplingStep, SteeringSchedule
from .token_maps import TokenMaps, centroids, threshold_at_mean
from .tokens import GroundedRelation, GroundedScene
from .wording import brief, fault

if TYPE_CHECKING:
    from .losses.base import SteeringLoss

_log = logging.getLogger(__name__)


class SteeringError(RuntimeError):
    """What is connected does not fit together; raised before anything is sampled."""


@dataclass
class Steering:
    """Steers a sampler towards a scene, one run after the other.

    What is made of it for a network, a run or other settings (``for_network``, ``along``, ``replace``) shares with it
    what is known of the run.

    Attributes:
        scene: what is wanted.
        loss: scores one relation; ``for_network`` ties it to a network.
        schedule: when and how strongly to steer.
        notes: what was seen and done so far in this run.
        resting: which steps of this run are not looked at.
        caution: with what care this run's probes are made.
    """

    scene: GroundedScene
    loss: SteeringLoss
    schedule: SteeringSchedule = field(default_factory=SteeringSchedule)
    notes: RunNotes = field(default_factory=RunNotes)
    resting: Resting = field(default_factory=Resting)
    caution: Caution = field(default_factory=Caution)

    def __post_init__(self) -> None:
        if not isinstance(self.scene, GroundedScene):
            raise TypeError(
                f"scene: one that is tied to tokens was expected, as ground_prompt makes it, not {brief(self.scene)}."
            )

    def for_network(
        self,
        network: Sequence[AttentionLayer],
        stops: Sequence[type[Exception]] = (),
        changes_in_place: bool = False,
        spreads: bool = False,
        binds: bool = False,
        keeps_moves: bool = True,
    ) -> Steering:
        """The same steering, with its loss and schedule tied to a network. It writes the same trace.

        Args:
            stops: exceptions by which the user ends a run; all others end a step's steering only.
            changes_in_place: the network's blocks add to their activations in place.
            spreads: the network wants moves spread over more of few steps, unless the schedule says whether.
            binds: it gains where objects are bound to their regions, and the whole picture is to be sampled.
            keeps_moves: the sampler goes on from where each of its steps was moved to. Where some do not, every other
                step could be one of these, and is steered alone only if the schedule says so.

        Raises:
            ValueError: the loss cannot read this network, or cannot score one of the relations.
            TypeError: it is none.
        """
        if isinstance(self.loss, type) or not hasattr(self.loss, "for_network"):
            raise TypeError(f'loss: a loss such as CentroidLoss("gelu") was expected, not {brief(self.loss)}.')
        loss = self.loss.for_network(network, [relation.relation for relation in self.scene.relations])
        if not hasattr(loss, "reads"):
            raise TypeError(
                f"loss: {type(self.loss).__name__}.for_network is to return a loss that says in reads which maps it "
                f"reads, not {brief(loss)}."
            )
        check_layers(loss.reads.all_layers, network)
        every_other = len(self.scene.relations) == 1 and keeps_moves and not loss.reads.each_step
        binds = binds and 0 < self.regions.count <= MOST_BOUND
        schedule = self.schedule.suited_to(spreads=spreads, every_other=every_other, binds=binds)
        caution = Caution(mutable if changes_in_place else plain, stops)
        return replace(self, loss=loss, schedule=schedule, caution=caution)

    @property
    def trace(self) -> list[TraceEntry]:
        """What was seen so far in this run, in order."""
        return self.notes.trace

    @property
    def unsteered(self) -> list[UnsteeredStep]:
        """Steps of this run's window that could not be steered, in order."""
        return self.notes.unsteered

    @property
    def restarts(self) -> list[Restarts]:
        """Which pictures of this run began again, once that is decided; one item at most."""
        return self.notes.restarts

    @property
    def request(self) -> MapRequest:
        """What a probe reads: maps of each object, and then of each word of the prompt if the loss reads those."""
        reads = self.loss.reads
        return MapRequest(
            tokens=(*self.scene.tokens, *((word,) for word in self._words)),
            layers=reads.all_layers,
            over_all_keys=reads.over_all_keys,
            objects=len(self.scene.tokens),
            standardised=reads.standardised,
            follows_own=bool(reads.layers),
        )

    def begin(self) -> None:
        """A new run: nothing has been seen of it yet."""
        self.notes.begin()
        self.resting.begin()
        self.caution.begin()

    def along(self, noise: Sequence[float]) -> Steering:
        """The same steering for one run, whose noise is known: see ``SteeringSchedule``. It writes the same trace."""
        return replace(self, schedule=self.schedule.along(noise))

    def for_another_attempt(self) -> Steering:
        """The same steering with a trace of its own, of a part of a run that is sampled again.

        It looks at every step, so that its trace has those at which this one looked, whose place it may take.
        """
        schedule = replace(self.schedule, rest=0)
        return replace(self, schedule=schedule, notes=self.notes.of_another_attempt(), resting=Resting())

    def is_active(self, step: int, steps: int) -> bool:
        """Whether this step is steered at all."""
        return bool(self.scene.relations) and self.schedule.is_active(step, steps)

    @cached_property
    def regions(self) -> Regions:
        """Where each object is bound."""
        return regions_of(self.scene)

    def bound_steps(self, steps: int) -> int:
        """In how many first steps of a run objects are bound to their regions; in none where none has one."""
        return self.schedule.bound_steps(steps) if self.regions.any else 0

    def is_bound(self, step: int, steps: int) -> bool:
        """Whether objects are bound in this step."""
        return step < self.bound_steps(steps)

    def binding(self, steps: int) -> BoundSteps | None:
        """What became of the binding in a run of so many steps; none where none was asked for."""
        bound, unbound = tuple(self.notes.bound), tuple(self.notes.unbound)
        # Where that was left to the network, as many as were tried.
        asked = len(bound) + len(unbound) if self.schedule.bound is None else self.schedule.bound_steps(steps)
        return BoundSteps(self.regions, asked, bound, unbound) if asked else None

    def descend(
        self, latent: Tensor, probe: Probe, noise_level: float, step: SamplingStep, mask: Tensor | None = None
    ) -> Tensor:
        """Move the latent down the loss until every due relation meets the target, or the cap.

        Each image of the batch stops by itself. Published as z - eta·dL/dz (Learn-to-Steer).

        Args:
            mask: of the latent's shape or one that is expanded to it, in [0, 1]: what is 0 is kept as it is, and counts
                for nothing in how far the rest is moved. Everything is moved when not given.

        Returns:
            The moved latent: outside the graph, the same tensor if nothing was to be moved.
        """
        for refinement in range(self.schedule.refinements_at(step)):
            direction = self._direction(latent, probe, step, refinement, mask)
            if direction is None:
                return latent
            scale = noise_level if self.schedule.normalize else 1.0
            latent = (latent - self.schedule.size_at(step) * scale * direction).to(latent.dtype)
        return latent

    def is_to_look_after(self, step: SamplingStep) -> bool:
        """Whether to ``look_after`` a step's descent: its last move is that of a run in which so few steps are steered
        that it matters for what is told, and no step comes after it that would look.
        """
        last = self.trace[-1] if self.trace else None
        has_moved = last is not None and last.step == step.number and bool((last.gradient_norm > 0).any())
        return has_moved and self.schedule.is_last_of_few(step)

    def step_that_shows(self, step: SamplingStep) -> int | None:
        """The step in which the sampler's own forward can show what a step's last move has led to.

        It is the first one from there on in which nothing is bound, as nothing is where a probe looks. None where there
        is none such, and where a picture may begin again, since it is not known then whose forward it is.
        """
        unbound = max(step.number, self.bound_steps(step.steps))
        return unbound if unbound < step.steps and not self.schedule.restarts else None

    def look_after(self, latent: Tensor, probe: Probe, step: SamplingStep) -> None:
        """Take down what the last move has led to. It is only told of, so that it may fail.

        Args:
            latent: as ``descend`` has moved it, or as it has come on from there.
            probe: asked for no gradient, so that it may as well be the sampler's own forward.
            step: of this latent.
        """
        moved = self.trace[-1]
        due = {number: self.scene.relations[number] for number in moved.relations}
        refinement = moved.refinement + 1 if moved.step == step.number else 0
        try:
            with torch.inference_mode(False), torch.no_grad(), self.caution.care():
                maps = self._read(probe, latent.detach().float().clone())
                losses = self._losses(maps, due, step)
                still = torch.zeros(len(latent), device=losses.device)
                entry, _ = self._entry(maps, due, losses, still, still.isfinite(), step, refinement)
                self.notes.trace.append(entry)
        except self.caution.stops:
            raise
        except Exception as error:
            _log.warning("Spatial Steering: step %d, nothing was seen after the last move: %s", step.number + 1, error)

    def noise_shift(
        self, latent: Tensor, probe: Probe, step: SamplingStep, mask: Tensor | None = None
    ) -> Tensor | None:
        """What to add to the predicted noise after classifier-free guidance (InfSplign eq. 6).

        Without a step size it is what moves the latent by the schedule's strength until the next step.

        Args:
            mask: see ``descend``.

        Returns:
            As the latent, in float32; nothing if every due relation of every image meets the target, or did so
            lately.
        """
        before = sum(entry.step == step.number for entry in self.trace)
        direction = self._direction(latent, probe, step, before, mask)
        if direction is None:
            return None
        size = self.schedule.size_at(step)
        if self.schedule.step_size is None:
            size = bend_of_move(size, step.removes)
        return size * direction

    def _direction(
        self, latent: Tensor, probe: Probe, step: SamplingStep, refinement: int, mask: Tensor | None
    ) -> Tensor | None:
        """``_look``, or none if it failed or the step rests."""
        if self.resting.rests(step, self._due(step), self.schedule):
            return None
        try:
            return self._look(latent, probe, step, refinement, mask)
        except self.caution.stops:
            raise
        except Exception as error:  # whatever it is, the picture is worth more than this step's steering
            self.notes.leave_out(step.number, fault(error))
            return None

    def _look(
        self, latent: Tensor, probe: Probe, step: SamplingStep, refinement: int, mask: Tensor | None
    ) -> Tensor | None:
        """The gradient to follow, zero for images that are done or cannot be moved; none if that is so of all."""
        due = self._due(step)
        reading, score = partial(self._read, probe), partial(self._losses, due=due, step=step)
        maps, losses, gradient = self.caution.tried(partial(probed, latent, reading, score, self.schedule.target))
        size: float | Tensor = gradient[0].numel() ** 0.5
        if mask is not None:
            mask = mask.to(gradient).expand_as(gradient)
            gradient, size = gradient * mask, mask.flatten(1).norm(dim=1).clamp_min(1.0)
        norm = gradient.flatten(1).norm(dim=1)
        finite = norm.isfinite() & losses.isfinite().all(dim=0)
        gradient = torch.where(_per_image(finite, gradient), gradient, 0.0)
        norm = torch.where(finite, norm, 0.0)
        entry, followed = self._entry(maps, due, losses, norm, finite, step, refinement)
        self.notes.trace.append(entry)
        self._tell_left_alone(entry, followed, masked=mask is not None)
        if entry.met.all():
            self.resting.rest_after(step, entry.relations, len(self.scene.relations), self.schedule)
        if not (entry.gradient_norm > 0).any():
            return None
        if self.schedule.normalize:
            root_mean_square = norm / size
            gradient = gradient / _per_image(root_mean_square, gradient).clamp_min(torch.finfo(gradient.dtype).tiny)
        return gradient

    def _entry(
        self,
        maps: TokenMaps,
        due: Mapping[int, GroundedRelation],
        losses: Tensor,
        norm: Tensor,
        finite: Tensor,
        step: SamplingStep,
        refinement: int,
    ) -> tuple[TraceEntry, Tensor]:
        """What was seen, and ``finite``, in main memory.

        Args:
            due: the relations that are scored, by their positions in the scene.
            losses: of these, (relations, batch).
            norm: of each image's gradient, (batch,).
            finite: of each image, whether its gradient and losses are.
        """
        mean_map = maps.mean_map()
        seen = (losses, centroids(threshold_at_mean(mean_map)), norm, mean_map, maps.strength(), finite)
        loss, centres, norms, objects, strength, followed = _in_main_memory(*seen)
        met = loss <= self.schedule.target
        seen_of = (loss, centres, norms, objects, strength, met)
        return TraceEntry(step.number, refinement, tuple(due), *seen_of), followed.bool()

    def _tell_left_alone(self, entry: TraceEntry, finite: Tensor, *, masked: bool) -> None:
        """Take down which pictures are not moved though a relation misses the target, and why.

        Args:
            finite: of each, whether its gradient and losses are, (batch,), on the CPU.
            masked: a part of the pictures is kept.
        """
        if left_alone := (~finite).nonzero().flatten().tolist():
            self.notes.leave_out(entry.step, "the gradient of the steering loss is not finite", left_alone)
        batch = range(len(finite))
        told = {image for one in self.unsteered if one.step == entry.step for image in one.images or batch}
        unmoved = ((entry.gradient_norm == 0) & ~entry.met.all(dim=0)).nonzero().flatten().tolist()
        if images := [image for image in unmoved if image not in told]:
            reason = "as where a mask keeps the picture" if masked else "as in a picture of very few pixels"
            reason = f"nothing that may be moved acts on the attention, {reason}"
            self.notes.leave_out(entry.step, reason, images if len(images) < len(batch) else ())

    def _read(self, probe: Probe, latent: Tensor) -> TokenMaps:
        """What a probe reads, the words apart from the objects."""
        maps, words = probe(latent), self._words
        if not words:
            return maps
        numbers = {token: number for number, token in enumerate(words)}
        return maps.with_words([[numbers[token] for token in tokens] for tokens in self.scene.tokens])

    def _losses(self, maps: TokenMaps, due: Mapping[int, GroundedRelation], step: SamplingStep) -> Tensor:
        """Of each relation that is scored, (relations, batch)."""
        return torch.stack([self.loss(maps, relation, step.progress) for relation in due.values()])

    def _due(self, step: SamplingStep) -> dict[int, GroundedRelation]:
        """The relations that a step works on, by their positions in the scene."""
        return dict(self.schedule.due(list(enumerate(self.scene.relations)), step.number))

    @property
    def _words(self) -> tuple[int, ...]:
        """The tokens of the words that the loss reads, each by itself."""
        return self.scene.words if self.loss.reads.words else ()


def _in_main_memory(*tensors: Tensor) -> list[Tensor]:
    """Copies in float32, brought over at once: each by itself would wait for the device."""
    packed = torch.cat([tensor.float().flatten() for tensor in tensors]).cpu()
    parts = packed.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors)]


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    """(batch,) shaped to multiply (batch, …)."""
    return values.view(-1, *[1] * (like.dim() - 1))
