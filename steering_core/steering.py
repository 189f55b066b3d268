"""The loop: probe, loss, gradient, update.

A latent is given here as the network itself receives it (after the sampler's input scaling),
and the noise level is the standard deviation of the noise in it; so a step means the same under
every sampler and library.

Whatever fails while a probe runs costs that step its steering, never the picture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from .care import Care, Watchful, care_after_success, frugal, more_careful, mutable, plain
from .layers import AttentionLayer, check_layers
from .losses import SteeringLoss
from .outcomes import BoundSteps, Restarts, UnsteeredStep
from .probe import MapRequest
from .regions import Regions, regions_of
from .schedule import GUIDANCE, SamplingStep, SteeringSchedule
from .token_maps import TokenMaps, centroids, threshold_at_mean
from .tokens import GroundedRelation, GroundedScene
from .trace import TraceEntry
from .wording import brief, fault

#: From a latent (batch, …) in float32 to token maps in its autograd graph.
Probe = Callable[[Tensor], TokenMaps]

#: The loss is scaled up by this before the backward pass, and the gradient down after it, because its entries can
#: be smaller than the smallest number of a half-precision network. Where one grows beyond the largest, the next.
_GRADIENT_SCALES = (2.0**10, 2.0**4, 2.0**-2)

#: How much signal a latent alpha·x0 + sigma·epsilon is taken to hold at least when its noise is bent. Schedules
#: rescaled to zero terminal signal start at alpha = 0, where what a shift of the noise does is unbounded; Stable
#: Diffusion's own start at 0.068.
LEAST_ALPHA = 0.05

#: What a step is taken to remove of the noise at least when its prediction is bent by a strength: where it hardly
#: removes any, no bend moves the latent far, and a large one would only mislead solvers that remember it.
LEAST_REMOVED = 0.01

_log = logging.getLogger(__name__)


class SteeringError(RuntimeError):
    """What is connected does not fit together; raised before anything is sampled."""


@dataclass
class Steering:
    """Steers a sampler towards a scene, one run after the other.

    Attributes:
        scene: what is wanted.
        loss: scores one relation; ``for_network`` ties it to a network.
        schedule: when and how strongly to steer.
        trace: what was seen so far in this run, in order.
        unsteered: steps of this run's window that could not be steered, in order.
        bound: steps of this run in which objects were bound to their regions, in order.
        unbound: steps of this run in which they could not be, in order.
        restarts: which pictures of this run began again, once that is decided.
    """

    scene: GroundedScene
    loss: SteeringLoss
    schedule: SteeringSchedule = field(default_factory=SteeringSchedule)
    trace: list[TraceEntry] = field(default_factory=list)
    unsteered: list[UnsteeredStep] = field(default_factory=list)
    bound: list[int] = field(default_factory=list)
    unbound: list[UnsteeredStep] = field(default_factory=list)
    restarts: list[Restarts] = field(default_factory=list)
    _words: tuple[int, ...] = ()
    _stops: tuple[type[Exception], ...] = ()
    _usual_care: Care = plain
    _care: Care = field(default_factory=Watchful)
    #: By relations that met the target together, the turn at which they are looked at again.
    _looked_at_again: dict[tuple[int, ...], int] = field(default_factory=dict)

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
    ) -> Steering:
        """The same steering, with its loss and schedule tied to a network. It writes the same trace.

        Args:
            stops: exceptions by which the user ends a run; all others end a step's steering only.
            changes_in_place: the network's blocks add to their activations in place.
            spreads: the network wants moves spread over more of few steps, unless the schedule says whether.

        Raises:
            ValueError: the loss cannot read this network, or cannot score one of the relations.
            TypeError: it is none.
        """
        if isinstance(self.loss, type) or not hasattr(self.loss, "for_network"):
            raise TypeError(f'loss: a loss such as CentroidLoss("gelu") was expected, not {brief(self.loss)}.')
        loss = self.loss.for_network(network, [relation.relation for relation in self.scene.relations])
        check_layers(loss.layers, network)
        words = self.scene.words if loss.reads_words else ()
        schedule = replace(self.schedule, spread=spreads if self.schedule.spread is None else self.schedule.spread)
        care = mutable if changes_in_place else plain
        return replace(self, loss=loss, schedule=schedule, _words=words, _stops=tuple(stops), _usual_care=care)

    @property
    def request(self) -> MapRequest:
        """What a probe reads: maps of each object, and then of each word of the prompt if the loss reads those."""
        return MapRequest(
            tokens=(*self.scene.tokens, *((word,) for word in self._words)),
            layers=self.loss.layers,
            over_all_keys=self.loss.over_all_keys,
            objects=len(self.scene.tokens),
            standardised=self.loss.standardised_layers,
            follows_own=self.loss.follows_own,
        )

    def begin(self) -> None:
        """A new run: nothing has been seen of it yet."""
        self.trace.clear()
        self.unsteered.clear()
        self.bound.clear()
        self.unbound.clear()
        self.restarts.clear()
        self._looked_at_again.clear()
        self._care = Watchful(self._usual_care)

    def along(self, noise: Sequence[float]) -> Steering:
        """The same steering for one run, whose noise is known: see ``SteeringSchedule``. It writes the same trace."""
        return replace(self, schedule=self.schedule.along(noise))

    def for_another_attempt(self) -> Steering:
        """The same steering with a trace of its own, of a part of a run that is sampled again.

        It looks at every step, so that its trace has those at which this one looked, whose place it may take.
        """
        schedule = replace(self.schedule, rest=0)
        return replace(self, schedule=schedule, trace=[], unsteered=[], restarts=[], _looked_at_again={})

    def spare_memory(self) -> None:
        """For the rest of this run, blocks are run again in place of keeping what they computed."""
        self._care = frugal

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

    def descend(
        self, latent: Tensor, probe: Probe, noise_level: float, step: SamplingStep, mask: Tensor | None = None
    ) -> Tensor:
        """Move the latent down the loss until every due relation meets the target, or the cap.

        Each image of the batch stops by itself. Published as z - eta·dL/dz (Learn-to-Steer). Where hardly a step is
        steered, the last move is looked at too: no step comes after it that would.

        Args:
            mask: of the latent's shape or one that is expanded to it, in [0, 1]: what is 0 is kept as it is, and counts
                for nothing in how far the rest is moved. Everything is moved when not given.

        Returns:
            The moved latent: outside the graph, the same tensor if nothing was to be moved.
        """
        most = self.schedule.refinements_in(step.steps)
        for refinement in range(most):
            direction = self._direction(latent, probe, step, refinement, mask)
            if direction is None:
                return latent
            scale = noise_level if self.schedule.normalize else 1.0
            latent = (latent - self.schedule.size_at(step) * scale * direction).to(latent.dtype)
        if self.schedule.is_last_of_few(step):
            self._look_back(latent, probe, step, most)
        return latent

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
        probed = sum(entry.step == step.number for entry in self.trace)
        direction = self._direction(latent, probe, step, probed, mask)
        if direction is None:
            return None
        size = self.schedule.size_at(step)
        if self.schedule.step_size is None:
            size /= min(1.0, max(LEAST_REMOVED, abs(step.removes)))  # a schedule can also stand still, or go up
        return size * direction

    def leave_out(self, step: int, reason: str, images: Sequence[int] = ()) -> None:
        """Take down that a step of the window is not steered; the log is told once a run.

        Args:
            step: from 0.
            reason: one line.
            images: the pictures of the batch that it concerns; all when none is named.
        """
        _add_told(UnsteeredStep(step, " ".join(reason.split()), tuple(images)), self.unsteered)

    def binding(self, steps: int) -> BoundSteps | None:
        """What became of the binding in a run of so many steps; none where none was asked for."""
        asked = self.schedule.bound_steps(steps)
        return BoundSteps(self.regions, asked, tuple(self.bound), tuple(self.unbound)) if asked else None

    def took_bound(self, step: int, reason: str) -> None:
        """Take down of a forward whether the objects were bound in it; the log is told once a run if not.

        Args:
            step: from 0. One of whose forwards was not bound counts as not bound.
            reason: why they were not, in one line; empty where they were.
        """
        if step in (left_out.step for left_out in self.unbound):
            return
        if reason:
            _add_told(UnsteeredStep(step, reason, lacks="bound"), self.unbound)
            if step in self.bound:
                self.bound.remove(step)
        elif step not in self.bound:
            self.bound.append(step)

    @property
    def stops(self) -> tuple[type[Exception], ...]:
        """Exceptions by which the user ends a run."""
        return self._stops

    def _direction(
        self, latent: Tensor, probe: Probe, step: SamplingStep, refinement: int, mask: Tensor | None
    ) -> Tensor | None:
        """``_look``, or none if it failed or the step rests."""
        if self._rests(step):
            return None
        try:
            return self._look(latent, probe, step, refinement, mask)
        except self._stops:
            raise
        except Exception as error:  # whatever it is, the picture is worth more than this step's steering
            self.leave_out(step.number, fault(error))
            return None

    def _look_back(self, latent: Tensor, probe: Probe, step: SamplingStep, refinement: int) -> None:
        """Take down what the last move has led to. It is only told of, so that it may fail."""
        due = self._due(step)
        try:
            with torch.inference_mode(False), torch.no_grad(), self._care():
                maps = self._read(probe, latent.detach().float().clone())
                losses = torch.stack([self.loss(maps, relation, step.progress) for _, relation in due])
                still = torch.zeros(len(latent), device=losses.device)
                self._take_down(maps, losses, still, still.isfinite(), step, refinement)
        except self._stops:
            raise
        except Exception as error:
            _log.warning("Spatial Steering: step %d, nothing was seen after its last move: %s", step.number + 1, error)

    def _look(
        self, latent: Tensor, probe: Probe, step: SamplingStep, refinement: int, mask: Tensor | None
    ) -> Tensor | None:
        """The gradient to follow, zero for images that are done or cannot be moved; none if that is so of all."""
        due = self._due(step)
        maps, losses, gradient = self._probe(latent, probe, [relation for _, relation in due], step.progress)
        size: float | Tensor = gradient[0].numel() ** 0.5
        if mask is not None:
            mask = mask.to(gradient).expand_as(gradient)
            gradient, size = gradient * mask, mask.flatten(1).norm(dim=1).clamp_min(1.0)
        norm = gradient.flatten(1).norm(dim=1)
        finite = norm.isfinite() & losses.isfinite().all(dim=0)
        gradient = torch.where(_per_image(finite, gradient), gradient, 0.0)
        norm = torch.where(finite, norm, 0.0)
        norms = self._take_down(maps, losses, norm, finite, step, refinement)
        self._rest_after(step)
        self._tell_unmoved(norms, step)
        if not (norms > 0).any():
            return None
        if self.schedule.normalize:
            root_mean_square = norm / size
            gradient = gradient / _per_image(root_mean_square, gradient).clamp_min(torch.finfo(gradient.dtype).tiny)
        return gradient

    def _tell_unmoved(self, norms: Tensor, step: SamplingStep) -> None:
        """Take down in which pictures a relation misses the target and nothing that may be moved acts on it.

        Args:
            norms: of the gradients, (batch,), on the CPU; 0 also where one is not finite, which is told already.
        """
        batch = range(len(norms))
        told = {image for one in self.unsteered if one.step == step.number for image in one.images or batch}
        unmoved = ((norms == 0) & ~self.trace[-1].met.all(dim=0)).nonzero().flatten().tolist()
        if images := [image for image in unmoved if image not in told]:
            reason = "nothing that may be moved acts on the attention, as where a mask keeps the picture"
            self.leave_out(step.number, reason, images if len(images) < len(batch) else ())

    def _read(self, probe: Probe, latent: Tensor) -> TokenMaps:
        """What a probe reads, the words apart from the objects."""
        maps = probe(latent)
        if not self._words:
            return maps
        return maps.with_words([[self._words.index(token) for token in tokens] for tokens in self.scene.tokens])

    def _rests(self, step: SamplingStep) -> bool:
        """Whether all that this step works on held when it was last looked at, and that was not long ago."""
        again = self._looked_at_again.get(self._numbers(step), 0)
        return self.schedule.turn(step.number) < again and not self.schedule.is_last(step)

    def _rest_after(self, step: SamplingStep) -> None:
        """Where all that was just seen meets the target, the next steps that work on it rest."""
        if self.schedule.rest and self.trace[-1].met.all():
            numbers = self._numbers(step)
            turns = len(self.scene.relations) // len(numbers)
            self._looked_at_again[numbers] = self.schedule.turn(step.number) + turns * (1 + self.schedule.rest)

    def _numbers(self, step: SamplingStep) -> tuple[int, ...]:
        """Of the relations that a step works on, in the scene."""
        return tuple(number for number, _ in self._due(step))

    def _due(self, step: SamplingStep) -> Sequence[tuple[int, GroundedRelation]]:
        """The relations that a step works on, with their positions in the scene."""
        return self.schedule.due(list(enumerate(self.scene.relations)), step.number)

    def _take_down(
        self, maps: TokenMaps, losses: Tensor, norm: Tensor, finite: Tensor, step: SamplingStep, refinement: int
    ) -> Tensor:
        """Add what was seen to the trace.

        Args:
            losses: of the relations that are due, (relations, batch).
            norm: of each image's gradient, (batch,).
            finite: of each image, whether its gradient and losses are finite.

        Returns:
            ``norm`` on the CPU.
        """
        mean_map = maps.mean_map()
        seen = (losses, centroids(threshold_at_mean(mean_map)), norm, mean_map, maps.strength(), finite)
        loss, centres, norms, objects, strength, followed = _in_main_memory(*seen)
        if left_alone := (followed == 0).nonzero().flatten().tolist():
            self.leave_out(step.number, "the gradient of the steering loss is not finite", left_alone)
        met = loss <= self.schedule.target
        seen_of = (loss, centres, norms, objects, strength, met)
        self.trace.append(TraceEntry(step.number, refinement, self._numbers(step), *seen_of))
        return norms

    def _probe(
        self, latent: Tensor, probe: Probe, relations: list[GroundedRelation], progress: float
    ) -> tuple[TokenMaps, Tensor, Tensor]:
        """``_maps_and_gradient``, and again with more care where it fails; the rest of the run keeps that care."""
        while True:
            try:
                seen = self._maps_and_gradient(latent, probe, relations, progress)
                self._care = care_after_success(self._care)
                return seen
            except self._stops:
                raise
            except Exception as error:
                care = more_careful(self._care, error)
                if care is None:
                    raise
            # Not while the error is handled: it would hold on to the memory that its frames have taken.
            self._care = care

    def _maps_and_gradient(
        self, latent: Tensor, probe: Probe, relations: list[GroundedRelation], progress: float
    ) -> tuple[TokenMaps, Tensor, Tensor]:
        """Maps, losses (relations, batch) and the gradient of those that miss the target, in float32."""
        for scale in _GRADIENT_SCALES:
            with torch.inference_mode(False), torch.enable_grad(), self._care():
                leaf = latent.detach().float().clone().requires_grad_()
                maps = self._read(probe, leaf.clone())  # a patch may change it in place
                losses = torch.stack([self.loss(maps, relation, progress) for relation in relations])
                if losses.shape != (len(relations), len(latent)):
                    given = " × ".join(map(str, losses.shape[1:])) or "one number for all"
                    raise RuntimeError(f"the loss is to be a number for each of {len(latent)} pictures, not {given}")
                if not losses.requires_grad:
                    raise RuntimeError("a patch or a wrapper of the model keeps every gradient from the latent")
                missed = ~(losses <= self.schedule.target)  # what is not a number has not met it
                if not missed.any():
                    return maps.detach(), losses.detach(), torch.zeros_like(leaf)
                (gradient,) = torch.autograd.grad((losses * missed).sum() * scale, leaf)
            # A loss that is no number itself is none at another scale either.
            if gradient.isfinite().all() or not losses.isfinite().all():
                break
        return maps.detach(), losses.detach(), gradient / scale


def uses_guidance(steering: Steering) -> bool:
    """Whether the update goes into the predicted noise rather than the latent."""
    return steering.schedule.update == GUIDANCE


def bounded_shift(alpha: float) -> float:
    """What a shift of the noise is to be multiplied with, so that the clean image it implies stays bounded.

    In z = alpha·x0 + sigma·epsilon a shift s of the noise moves x0 by -s·sigma/alpha, which has no bound where the
    signal vanishes. With this factor it moves by at most s / ``LEAST_ALPHA``.

    Args:
        alpha: in [0, 1].

    Returns:
        1 from ``LEAST_ALPHA`` on, alpha / ``LEAST_ALPHA`` below it.
    """
    return min(1.0, alpha / LEAST_ALPHA)


def _add_told(left_out: UnsteeredStep, others: list[UnsteeredStep]) -> None:
    """Take down what a step lacks; the log is told of the first one."""
    if not others:
        _log.warning("Spatial Steering: %s. The picture is sampled on.", left_out)
    others.append(left_out)


def _in_main_memory(*tensors: Tensor) -> list[Tensor]:
    """Copies in float32, brought over at once: each by itself would wait for the device."""
    packed = torch.cat([tensor.float().flatten() for tensor in tensors]).cpu()
    parts = packed.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors)]


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    """(batch,) shaped to multiply (batch, …)."""
    return values.view(-1, *[1] * (like.dim() - 1))
