"""Latent descent in a ComfyUI sampler: its latent is moved before each steered step, and pictures may begin again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import comfy.model_management
import comfy.samplers
from torch import Tensor

from ...random_state import keeping_random_state
from ...schedule import SamplingStep
from ...steering import Steering, SteeringError
from .conditions import Condition, acting
from .intervals import Intervals, StateCallback, changes_size, resizing
from .noise import input_scale, mask_at, noise_level, progress, with_kept_region
from .own_forwards import OwnForwards
from .restarting import Beginning, cache_of_its_own
from .view import NetworkView
from .watch import Predictions, StepWatch


def check_can_be_moved(sampler: comfy.samplers.Sampler) -> None:
    """Refuse a sampler between whose steps the latent cannot be moved.

    Raises:
        SteeringError: names it, and what to do.
    """
    if not isinstance(sampler, comfy.samplers.KSAMPLER):
        raise SteeringError(
            f"sampler: latent descent cannot stand between the steps of {type(sampler).__name__}, which is not made of "
            f"a sampler function. Steer it by noise guidance."
        )
    if changes_size(sampler):
        raise resizing("SamplerLCMUpscale")


def by_intervals(
    sampler_function: Callable[..., Tensor],
    view: NetworkView,
    own_forwards: OwnForwards,
    beginning: Beginning,
    watch: StepWatch,
) -> Callable[..., Tensor]:
    """A sampler function, with the latent moved before each steered step; see ``Descent``."""

    def sample(
        model: comfy.samplers.KSamplerX0Inpaint,
        x: Tensor,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: StateCallback,
        disable: bool,
        **options: Any,
    ) -> Tensor:
        intervals = Intervals(sampler_function, model, sigmas, extra_args, disable, options)
        return Descent(view, own_forwards, intervals, beginning, watch).sampled(x, callback)

    return sample


@dataclass(frozen=True)
class Descent:
    """One run of a sampler function, or one more attempt at its first steps.

    Attributes:
        view: of the run.
        own_forwards: of the run.
        intervals: the sampler function, which runs in parts.
        beginning: from where pictures may begin again.
        watch: of the run's steps.
        attempt: which one; 0 is the run itself.
    """

    view: NetworkView
    own_forwards: OwnForwards
    intervals: Intervals
    beginning: Beginning
    watch: StepWatch
    attempt: int = 0

    def sampled(self, x: Tensor, callback: StateCallback) -> Tensor:
        """The latent after the whole schedule, (batch, channels, H, W).

        Args:
            x: the sampler's first.
            callback: of the sampler.
        """
        restarts = self._steering.schedule.restarts
        for first, last in itertools.pairwise(self._cuts):
            x = self._moved(x, first)
            if restarts and first == self._active[-1]:
                x = self._begun_again(x)
            x = self._after_interval(x, first, last, callback)
        return x

    @property
    def _steering(self) -> Steering:
        return self.view.steering

    @cached_property
    def _active(self) -> Sequence[int]:
        """The steps that are steered."""
        return self._steering.schedule.steered_steps(self.intervals.steps)

    @cached_property
    def _cuts(self) -> list[int]:
        """The steps at which an interval begins, and the schedule's end."""
        return sorted({0, self.intervals.steps, *self._active, *(step + 1 for step in self._active)})

    def _after_interval(self, x: Tensor, first: int, last: int, callback: StateCallback) -> Tensor:
        """See ``Intervals.sampled``."""
        if self.view.forwards:
            self.view.forwards.go_on_from(first)
        with self._looking_after(x, first, last):
            return self.intervals.sampled(x, first, last, callback, self.attempt)

    def _moved(self, x: Tensor, number: int) -> Tensor:
        """The sampler's latent before a step, moved if that is steered."""
        if number not in self._active:
            return x
        sigma = float(self.intervals.sigmas[number])
        tied = self.view.acting(sigma, number)
        if tied is None:
            return x
        guider = self.view.guider
        visible, mask = self._visible(x, sigma)
        latent, probe = self.view.of(visible, sigma, self._options, tied)
        scale, step = input_scale(guider, sigma), self._step(number)
        level = noise_level(guider.inner_model.model_sampling, sigma) * scale
        with keeping_random_state(x.device):
            moved = self._steering.descend(latent, probe, level, step, mask)
            if self._steering.is_to_look_after(step) and self._shown_in(step) is None:
                self._steering.look_after(moved, probe, step)
        return x + (moved - latent) / scale

    def _visible(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor | None]:
        """The latent as the model will see it, and the mask of the part that is denoised, if not all."""
        guider, model = self.view.guider, self.intervals.model
        mask = mask_at(guider, self.intervals.extra_args["denoise_mask"], x, sigma, model.sigmas, self._options)
        return (x if mask is None else with_kept_region(guider, model, x, sigma, mask)), mask

    def _looking_after(self, x: Tensor, first: int, last: int) -> AbstractContextManager[None]:
        """In this context, of the steps from ``first`` to before ``last``, a forward of the sampler's tells what the
        last of few moves has led to, if one of these can.
        """
        moved = self._step(self._active[-1])
        shown = self._shown_in(moved) if self._steering.is_to_look_after(moved) else None
        if shown is None or not first <= shown[0] < last:
            return nullcontext()
        number, tied = shown
        look = partial(self._steering.look_after, step=self._step(number))
        return self.own_forwards.looking(look, x.shape, tied, partial(self._look_apart, x, first))

    def _look_apart(self, x: Tensor, number: int) -> None:
        """Look at the latent before a step, by a forward of its own."""
        sigma = float(self.intervals.sigmas[number])
        tied = self.view.acting(sigma, number)
        if tied is not None:
            look, (visible, _) = partial(self._steering.look_after, step=self._step(number)), self._visible(x, sigma)
            self.own_forwards.look_apart(look, visible, sigma, tied, self._options)

    def _shown_in(self, step: SamplingStep) -> tuple[int, tuple[Condition, int]] | None:
        """The step whose forward, of the sampler's own, serves the look after a step's last move, and what acts there;
        none where a forward is run for that alone.
        """
        number = self._steering.step_that_shows(step)
        tied = None if number is None else acting(self.view.guider.conds, float(self.intervals.sigmas[number]))
        if number is None or tied is None or not self.own_forwards.can_serve(step, tied[0], self._options):
            return None
        return number, tied

    def _step(self, number: int) -> SamplingStep:
        sampling, sigma = self.view.guider.inner_model.model_sampling, float(self.intervals.sigmas[number])
        return SamplingStep(number, self.intervals.steps, progress(sampling, sigma))

    @property
    def _options(self) -> dict[str, Any]:
        """The model options of the run."""
        return self.intervals.extra_args["model_options"]

    def _begun_again(self, x: Tensor) -> Tensor:
        """The latent with those pictures that begin again as in their best attempts."""
        options, sampling = self._options, self.view.guider.inner_model.model_sampling
        look = self._steering.schedule.look_before_restart(self.intervals.steps)
        with keeping_random_state(x.device), cache_of_its_own(options["transformer_options"], sampling):
            kept = self.beginning.begin_again(self._steering, look, self.intervals.sigmas, self._try_again)
        return self._with_attempts(x, kept)

    def _with_attempts(self, x: Tensor, kept: Mapping[int, tuple[Tensor, Predictions]]) -> Tensor:
        """The latent with these pictures as in their attempts; what is shown of the steps before follows."""
        x = x.clone()
        for image, (latent, predictions) in kept.items():
            x[image] = latent
            self.watch.replace_image(image, predictions)
        return x

    def _try_again(self, again: Steering, images: Sequence[int], number: int) -> list[tuple[Tensor, Predictions]]:
        """Of each picture the latent at the look, moved, and what was predicted on the way there; see ``Attempt``."""
        seen: Predictions = {}
        watch = StepWatch(again, self.view.guider.inner_model, seen)
        attempt = replace(self, view=replace(self.view, steering=again), watch=watch, attempt=number)
        x = attempt._at_look(images)
        return [(x[i], {step: batch[i] for step, batch in seen.items()}) for i in range(len(images))]

    def _at_look(self, images: Sequence[int]) -> Tensor:
        """The latent of these pictures, begun with other noise, at the look, moved."""
        look = self._active[-1]

        def told(state: dict[str, Any]) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            self.watch.saw(state["denoised"])

        x = self.beginning.again(self.intervals.sigmas, images, self.attempt)
        for first, last in itertools.pairwise(cut for cut in self._cuts if cut <= look):
            x = self._moved(x, first)
            x = self._after_interval(x, first, last, told)
        return self._moved(x, look)
