"""Steering inside the calls of pipelines of the diffusers library."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial, wraps
from math import prod
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from ...attributes import replaced
from ...binding import Binding, BoundText
from ...layers import AttentionLayer
from ...networks import ReadableNetwork, Transformer, uncompiled
from ...process_wide import uncompiled_forwards
from ...random_state import keeping_random_state
from ...schedule import SamplingStep
from ...steering import Steering, SteeringError
from ...token_maps import TokenMaps
from .batches import are_alike, part_of
from .families import readable_network
from .pipelines import PipelineKind, keeps_a_part, kind_of
from .probe import native_attention, predicted_and_probed, probe_network
from .schedulers import (
    StepLevel,
    check_scheduler,
    keeps_every_moved_latent,
    keeps_moved_latent,
    moved_sample,
    noise_level,
    noise_shares,
    prediction_per_noise,
    removed_share,
)
from .text import check_texts, check_tokens


@contextmanager
def steered(pipeline: DiffusionPipeline, steering: Steering) -> Iterator[Steering]:
    """Within this context, calls of the pipeline are steered; afterwards it is as it was.

    Works with any scheduler that tells its noise levels, and with what is hung on the network: LoRAs, IP-Adapters,
    ControlNets, T2I-Adapters, FreeU. All images of a call belong to the steering's one prompt, in every argument whose
    tokens the network attends to; it can be given encoded as well, of which the length alone is checked. Each call
    begins the steering's trace anew. Another pipeline of the same network, as ``from_pipe`` makes, is not to be called
    within.

    Args:
        pipeline: of one of the kinds in ``pipelines.PIPELINES``.

    Raises:
        ValueError: the pipeline or the prediction type is of another kind, the scheduler does not tell its noise
            levels, the network keeps parts of earlier steps, the loss cannot read it, or cannot score one of the
            relations; or the schedule has restarts, for which the pipeline has to be called by ``generate``.
        SteeringError: the steering was made with another pipeline. By a call, before its first step, when its prompt is
            another than the steering's, or it has several; or when another network or scheduler has come into the
            pipeline since the context was entered, or something was hung on the network that calls its forward.
    """
    if steering.scene.relations:
        check_tokens(pipeline, steering.scene)
        if steering.schedule.restarts:
            raise ValueError(
                "restarts: a picture begins again only where its noise is made here. Draw it with generate, or set "
                "restarts to 0."
            )
    with steered_by(pipeline, steering, SteeredRun):
        yield steering


def layers_of(pipeline: DiffusionPipeline) -> tuple[AttentionLayer, ...]:
    """Whose attention can be read, in running order.

    Raises:
        ValueError: the pipeline or its network is of no kind that can be steered.
    """
    return readable_network(kind_of(pipeline).network_of(pipeline)).layers


def check_steering(pipeline: DiffusionPipeline, steering: Steering) -> None:
    """Refuse what ``generate`` would, before anything is sampled.

    Raises:
        ValueError: see ``steered``; restarts are no fault here.
    """
    with steered_by(pipeline, steering, SteeredRun):
        pass


@contextmanager
def steered_by(pipeline: DiffusionPipeline, steering: Steering, make_run: Callable[..., SteeredRun]) -> Iterator[None]:
    """``steered`` by a run that is made of the arguments of ``SteeredRun``; by none where there are no relations."""
    kind = kind_of(pipeline)
    check_scheduler(pipeline.scheduler)
    network, scheduler = kind.network_of(pipeline), pipeline.scheduler
    if _is_of_run(vars(scheduler).get("step")) or _is_of_run(vars(network).get("forward")):
        raise ValueError(
            f"{type(pipeline).__name__} is being steered already, or another pipeline of its network is. Put all "
            f"relations into one scene, and add losses up with CombinedLoss."
        )
    if fault := _cache_fault(network):
        raise ValueError(fault)
    if not steering.scene.relations:
        yield
        return
    readable = readable_network(network)
    steering = steering.for_network(
        readable.layers,
        changes_in_place=readable.changes_in_place,
        spreads=readable.spreads,
        binds=readable.is_joint and not keeps_a_part(pipeline),
        keeps_moves=keeps_every_moved_latent(scheduler),
    )
    run = make_run(pipeline, kind, readable, steering)
    # The pipeline reads from their signatures what it may pass on, such as the generator.
    step = wraps(scheduler.step)(partial(run.scheduler_step))
    set_timesteps = wraps(scheduler.set_timesteps)(partial(run.set_timesteps))
    own = {"encode_prompt": wraps(pipeline.encode_prompt)(partial(run.encode_prompt))}
    if hasattr(pipeline, "check_inputs"):
        own["check_inputs"] = wraps(pipeline.check_inputs)(partial(run.check_inputs))
    with (
        run.in_place(),
        replaced(scheduler, step=step, set_timesteps=set_timesteps),
        replaced(pipeline, **own),
    ):
        yield


def _cache_fault(network: torch.nn.Module) -> str:
    """What is to be said of a network that keeps parts of earlier steps; nothing of another."""
    if not getattr(network, "is_cache_enabled", False):
        return ""
    return (
        f"{type(network).__name__} leaves out layers whose results it has kept from earlier steps, so that they cannot "
        f"be read. Call its disable_cache() first."
    )


def _is_of_run(method: Any) -> bool:
    """Whether what stands in the place of a scheduler's step or a network's forward is a run's."""
    own = inspect.unwrap(getattr(method, "func", method))
    return isinstance(getattr(own, "__self__", None), SteeredRun)


@dataclass(frozen=True)
class _View:
    """What is seen in the first call of a step.

    Attributes:
        latent: of the prompt's part, as the network receives it, (batch, …).
        probe: of such a latent; with ``serves_both`` its forward is the call's own as well.
        can_serve_both: whether the call's forward is what a probe's is, as long as nothing is bound in it: it has no
            other part than the prompt's, and the network is not compiled.
    """

    latent: Tensor
    probe: Callable[..., TokenMaps]
    can_serve_both: bool


class SteeredRun:
    """Stands between the pipeline and its network and scheduler.

    The first call of a step is looked at. The latent of all its calls moves by the same, and so does the scheduler's
    own; or the step's prediction is bent, once it is put together from all calls. One forward serves the look and the
    call where the latent is not moved between the two, if the call has no other part than the prompt's, whose forward
    would have to be run by itself. In the first steps the calls' own attention can be bound besides.

    Args:
        steering: tied to the pipeline's network.
    """

    def __init__(
        self, pipeline: DiffusionPipeline, kind: PipelineKind, readable: ReadableNetwork, steering: Steering
    ) -> None:
        self._pipeline, self._kind, self._readable = pipeline, kind, readable
        self._given = self._steering = steering
        self._network, self._scheduler = kind.network_of(pipeline), pipeline.scheduler
        # A compiler would otherwise take the steering for a part of the network.
        self._steered_forward = torch.compiler.disable(self.forward)
        self._signature = inspect.signature(type(uncompiled(self._network)).forward)
        self._step, self._set_timesteps = self._scheduler.step, self._scheduler.set_timesteps
        self._encode_prompt, self._check_inputs = pipeline.encode_prompt, getattr(pipeline, "check_inputs", None)
        self._is_over = False
        self._begin()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """In this context the network's forward is the run's."""
        self._take_place()
        own = vars(self._network)
        try:
            yield
        finally:
            self._is_over = True
            if own.get("forward") is self._steered_forward:
                del own["forward"]
                if self._before is not None:
                    own["forward"] = self._before

    def _take_place(self) -> None:
        """Stand where the network's forward is, if something else has come there.

        Raises:
            SteeringError: what has come there calls this run's own forward in turn.
        """
        own, ours = vars(self._network), self._steered_forward
        if own.get("forward") is not ours:
            if inspect.unwrap(self._network.forward, stop=lambda one: one is ours) is ours:
                raise SteeringError(
                    f"network: something that calls its forward was hung on {type(self._network).__name__} while it is "
                    f"steered, such as by enable_model_cpu_offload. Do that before steered(…) is entered."
                )
            self._before, self._network_forward = own.get("forward"), self._network.forward
            own["forward"] = ours

    def _begin(self) -> None:
        self._number = 0
        self._is_prompt_encoded = False
        #: That the call draws, once its first step has told.
        self._pictures: int | None = None
        self._binding = Binding(self._readable, self._steering.regions.of_objects)
        self._is_looked_at = False
        self._move: Tensor | None = None
        self._bend: Tensor | None = None
        self._prediction: Any = None
        #: The step whose own forward is to show what the last of few moves has led to.
        self._shown_in: int | None = None

    def check_inputs(self, *args: Any, **kwargs: Any) -> None:
        """The pipeline's own, by which its calls begin; Z-Image has none."""
        self._is_prompt_encoded = False  # the call before may have ended in an error
        assert self._check_inputs is not None
        self._check_inputs(*args, **kwargs)

    def encode_prompt(self, *args: Any, **kwargs: Any) -> Any:
        """The pipeline's own; of a call the first is of the prompt, and others are of what guidance leads away from.

        Z-Image, which does not tell that a call begins, encodes both at once.
        """
        if not self._is_prompt_encoded or self._check_inputs is None:
            given = inspect.signature(self._encode_prompt).bind(*args, **kwargs).arguments
            check_texts(self._pipeline, self._given.scene, given)
        encoded = self._encode_prompt(*args, **kwargs)
        self._is_prompt_encoded = True
        return encoded

    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        """A new call of the pipeline begins."""
        self._check_parts()
        # At the end of a call a pipeline that moves its parts to the processor makes the network's forward anew.
        self._take_place()
        self._set_timesteps(*args, **kwargs)
        self._steering.begin()
        self._begin()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The network's forward, from the moved latent, and bound."""
        if self._is_over:  # something that was hung on the network meanwhile still calls this
            return self._network_forward(*args, **kwargs)
        self._check_parts()  # another scheduler has not told that the call began
        if self._number == 0:
            self._lay_window()
        is_first = not self._is_looked_at
        if is_first:
            self._look(self._named(args, kwargs))
            self._is_looked_at = True
            prediction, self._prediction = self._prediction, None
            if prediction is not None:
                return prediction
        if self._move is not None:
            given = self._named(args, kwargs)
            latent = self._latent(given)
            moved = latent + torch.cat([self._move] * (len(latent) // len(self._move)))
            args, kwargs = (), self._with_latent(given, moved)
        if not self._steering.is_bound(self._number, self._steps()):
            return self._network_forward(*args, **kwargs)
        return self._bound_forward(self._named(args, kwargs), is_first)

    def scheduler_step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The scheduler's step, from the moved latent or with the bent prediction."""
        if self._move is not None:
            sample = moved_sample(self._scheduler, sample, timestep, self._move.reshape(sample.shape))
        if self._bend is not None:
            model_output = (model_output + self._bend.reshape(model_output.shape)).to(model_output.dtype)
        self._move = self._bend = None
        self._is_looked_at = False
        self._number += 1
        self._pictures = len(sample)
        return self._step(model_output, timestep, sample, *args, **kwargs)

    def _lay_window(self) -> None:
        """Before the first step, when the noise of all is known: in an image to image pipeline no sooner."""
        self._steering = self._given.along(noise_shares(self._scheduler, self._steps()))

    def _bound_forward(self, given: dict[str, Any], is_first: bool) -> Any:
        """The network's forward, with the objects of the prompt bound to their regions.

        Args:
            is_first: of the step's calls.
        """
        prompt = BoundText(self._steering.scene.tokens)
        prompted = self._kind.prompted_parts(self._pipeline, self._latent(given), is_first, self._pictures)
        if not any(prompted):
            return self._network_forward(**given)
        with (
            self._binding.bound([prompt if is_its else None for is_its in prompted], begun=((), given)),
            uncompiled_forwards(),
            native_attention(list(self._network.modules())),
        ):
            predicted = self._network_forward(**given)
        self._steering.notes.took_bound(self._number, self._binding.reason)
        return predicted

    def _look(self, given: dict[str, Any]) -> None:
        """Find out where this step is to be moved, or what the last move has led to.

        Args:
            given: the network's arguments in the first call of the step.
        """
        if self._number == 0:
            self._check_prompt(given)
        level = noise_level(self._scheduler, given.get("timestep", 0))
        step = SamplingStep(self._number, self._steps(), level.progress)
        if step.number == self._shown_in:
            view = self._view(given)
            self._look_after(view, view.latent, step, serves_both=view.can_serve_both)
        elif not self._steering.is_active(step.number, step.steps):
            return
        elif self._steering.schedule.uses_guidance:
            self._bend = self._bent(self._view(given), level, step, given)
        elif keeps_moved_latent(self._scheduler):
            self._move = self._moved(self._view(given), level, step)

    def _bent(self, view: _View, level: StepLevel, step: SamplingStep, given: Mapping[str, Any]) -> Tensor | None:
        """What to add to the prediction of a step, if anything."""
        is_bound = self._steering.is_bound(step.number, step.steps)
        probe = partial(view.probe, serves_both=self._can_serve_both(view, step) and not is_bound)
        removes = removed_share(self._scheduler, given.get("timestep", 0))
        shift = self._steering.noise_shift(view.latent, probe, replace(step, removes=removes))
        return None if shift is None else shift * prediction_per_noise(self._scheduler, level)

    def _moved(self, view: _View, level: StepLevel, step: SamplingStep) -> Tensor | None:
        """How far to move the latent before a step, if at all; the last of few moves is looked at."""
        moved = self._steering.descend(view.latent, view.probe, level.sigma, step)
        if self._steering.is_to_look_after(step):
            shown_in = self._steering.step_that_shows(step) if self._can_serve_both(view, step) else None
            if shown_in is None or shown_in == step.number:
                self._look_after(view, moved, step, serves_both=shown_in is not None)
            else:
                self._shown_in = shown_in
        # Some schedulers forget their last steps where the latent is moved.
        return None if torch.equal(moved, view.latent) else moved - view.latent

    def _can_serve_both(self, view: _View, step: SamplingStep) -> bool:
        """Whether one forward serves a steered step's look and its call, as long as nothing is bound in it."""
        # With a gradient the same kernels can round otherwise: a step of length zero must not change a bit.
        return view.can_serve_both and self._steering.schedule.size_at(step) > 0

    def _look_after(self, view: _View, latent: Tensor, step: SamplingStep, serves_both: bool) -> None:
        """See ``Steering.look_after``."""
        self._steering.look_after(latent, partial(view.probe, serves_both=serves_both), step)

    def _view(self, given: dict[str, Any]) -> _View:
        """What is seen in the first call of a step."""
        whole = self._latent(given)
        parts, which = self._prompted_part(whole)
        latent = whole.chunk(parts)[which]

        def probe(moved: Tensor, serves_both: bool = False) -> TokenMaps:
            part = part_of(given, parts, which, len(whole), self._kind.listed)
            # What a forward draws that is the call's own as well is not to be drawn again.
            with nullcontext() if serves_both else keeping_random_state(latent.device):
                return self._probe(self._with_latent(part, moved.to(whole.dtype)), serves_both)

        return _View(latent, probe, parts == 1 and uncompiled(self._network) is self._network)

    def _probe(self, given: dict[str, Any], serves_both: bool) -> TokenMaps:
        """Of the part of what the network is given that holds the prompt.

        Args:
            serves_both: the forward goes on, and what it predicts is kept.
        """
        request = self._steering.request
        with replaced(self._network, forward=self._network_forward):
            if not serves_both:
                return probe_network(self._network, given, request)
            self._prediction, maps = predicted_and_probed(self._network, given, request)
            return maps

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The network's arguments by name."""
        named = self._signature.bind(None, *args, **kwargs).arguments
        return {name: value for name, value in named.items() if name != "self"}

    def _latent(self, given: dict[str, Any]) -> Tensor:
        """(batch, channels, …), or packed (batch, tokens, channels), without what else stands in the same argument."""
        value = given[self._kind.latent]
        whole = torch.stack(value) if self._kind.latent in self._kind.listed else value
        return whole[self._place(whole, given)]

    def _with_latent(self, given: dict[str, Any], latent: Tensor) -> dict[str, Any]:
        """The same arguments with another latent."""
        value = given[self._kind.latent]
        if self._kind.latent in self._kind.listed:
            return {**given, self._kind.latent: list(latent)}
        place = self._place(value, given)
        if value[place].shape == value.shape:
            return {**given, self._kind.latent: latent}
        # Written in, so that neither channels nor references are lost that follow.
        whole = value.clone()
        whole[place] = latent
        return {**given, self._kind.latent: whole}

    def _place(self, whole: Tensor, given: dict[str, Any]) -> tuple[slice, ...]:
        """Where in the argument the latent is."""
        channels = slice(self._kind.latent_channels(self._pipeline))
        if whole.dim() > 3:
            return slice(None), channels
        assert isinstance(self._readable, Transformer)
        return slice(None), slice(prod(self._readable.size_in_tokens((), given))), channels

    def _prompted_part(self, whole: Tensor) -> tuple[int, int]:
        """How many parts the batch of a step's first call has, and which of them is the prompt's."""
        prompted = self._kind.prompted_parts(self._pipeline, whole, True, self._pictures)
        return len(prompted), prompted.index(True)

    def _check_parts(self) -> None:
        """The pipeline still samples by what this run stands in the place of, and by all of the network.

        Raises:
            SteeringError: it does not.
        """
        if fault := _cache_fault(self._network):
            raise SteeringError(fault)
        parts = (
            ("scheduler", self._pipeline.scheduler, self._scheduler),
            ("network", self._kind.network_of(self._pipeline), self._network),
        )
        for name, part, own in parts:
            if part is not own:
                raise SteeringError(
                    f"{name}: {type(part).__name__} has come into the pipeline while it is steered. Put it there "
                    f"before steered(…) is entered."
                )

    def _check_prompt(self, given: dict[str, Any]) -> None:
        """All pictures are of one prompt, and the steering's tokens lie within it."""
        whole = self._latent(given)
        parts, which = self._prompted_part(whole)
        first, *others = part_of(given, parts, which, len(whole), self._kind.listed)[self._kind.context]
        if not all(are_alike(first, other) for other in others):
            raise SteeringError(
                "prompt: this call draws pictures of several prompts, and the relations are those of one. Call the "
                "pipeline once for each prompt, steered by its own relations."
            )
        keys = len(first)
        if max(index for indices in self._steering.request.tokens for index in indices) >= keys:
            raise SteeringError(
                f"prompt: the steering's relations lie beyond the {keys} tokens that the network is given, so they "
                f"belong to another prompt, or to this one in another length. Make the steering with ground_prompt and "
                f"the prompt that is sampled, and leave max_sequence_length out."
            )

    def _steps(self) -> int:
        """Of this call; an image to image pipeline leaves out the first ones of the scheduler."""
        if hasattr(self._pipeline, "num_timesteps"):
            return self._pipeline.num_timesteps
        return len(self._scheduler.timesteps)
