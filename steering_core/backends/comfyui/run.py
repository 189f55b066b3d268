"""One run of a steered sampler: where it looks, and what it moves."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import comfy.model_management
import comfy.samplers
from comfy.latent_formats import LatentFormat
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...attributes import replaced
from ...bends import bounded_shift
from ...families import ReadableNetwork
from ...random_state import keeping_random_state
from ...run_report import SteeringRun
from ...schedule import SamplingStep
from ...steering import Steering, SteeringError
from ...token_maps import TokenMaps
from .binding import BoundForwards
from .gradients import ordinary_weights
from .intervals import Intervals, StateCallback, changes_size, name_of, resizing
from .noise import FollowedSteps, input_scale, mask_at, noise_level, noise_shares, progress, with_kept_region
from .probe import probe_model
from .restarting import Beginning, cache_of_its_own, remembered_by
from .room import loaded_with_room
from .text import Condition, acting

#: By which an artist ends a run.
STOPS = (comfy.model_management.InterruptProcessingException,)

_log = logging.getLogger(__name__)

#: Of ComfyUI's samplers: (step, denoised, x, steps), the latents (batch, channels, H, W).
SamplerCallback = Callable[[int, Tensor, Tensor, int], None]
#: By step what the model then took the clean latent of a picture to be.
_Predictions = dict[int, Tensor]
#: Is told of a run that begins: the steering, tied to its scene, and how many steps there are.
BeginListener = Callable[[Steering, int], None]
#: Is told of a steered step: the steering with its trace, the step from 0, how many there are, the denoised latent
#: (batch, channels, H, W) and its format.
StepListener = Callable[[Steering, int, int, Tensor, LatentFormat], None]


class SteeredRun:
    """One run of a sampler.

    Attributes:
        forwards: binds objects to their regions while it samples; none where nothing is bound.
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
        self._predictions: _Predictions = {}
        self._bend: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    def ended(self, latent: Tensor) -> SteeringRun:
        """What there is to tell of it, with its result."""
        steering = self._steering
        trace, unsteered, restarts = (tuple(seen) for seen in (steering.trace, steering.unsteered, steering.restarts))
        binding = steering.binding(self._steps)
        return SteeringRun(
            steering.scene, self._steps, trace, self._predictions, latent.cpu(), unsteered, binding, restarts
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
            _tell(self._on_begin, self._steering, steps)
        rest = (self._watching(callback, guider), noise, latent_image, denoise_mask, disable_pbar)
        active = self._steering.schedule.steered_steps(steps)
        if not (self._steering.scene.relations and active):
            return executor(guider, sigmas, extra_args, *rest)
        sampler, options = executor.class_obj, extra_args["model_options"]
        sampling = partial(executor, guider, sigmas, extra_args, *rest)
        with ordinary_weights(guider):
            if self._steering.schedule.uses_guidance:
                bend = self._prediction_shift(guider, sampler, sigmas, options, denoise_mask)
                with replaced(self, _bend=bend):
                    latent = sampling()
                if not (self._steering.trace or self._steering.unsteered):
                    reason = f"{type(guider).__name__} hands its predictions past what would bend them"
                    self._steering.notes.leave_out(active[0], f"{reason}: steer by latent descent")
                return latent
            _check_can_be_moved(sampler)
            remembered = remembered_by(options)
            beginning = Beginning(guider, sampler, noise, latent_image, denoise_mask, options, remembered)
            with replaced(sampler, sampler_function=self._by_intervals(sampler.sampler_function, guider, beginning)):
                return sampling()

    def predict_noise(self, executor: Any, x: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Wrapper of ``CFGGuider.predict_noise``: bends what the guider makes of all its predictions."""
        denoised = executor(x, timestep, *args, **kwargs)
        return denoised if self._bend is None else self._bend(x, timestep, denoised)

    def _watching(self, callback: SamplerCallback | None, guider: comfy.samplers.CFGGuider) -> SamplerCallback:
        """The sampler's callback, and after it what steering has to tell of the step."""
        seen = unsteered = 0

        def watch(step: int, denoised: Tensor, x: Tensor, steps: int) -> None:
            nonlocal seen, unsteered
            if callback is not None:
                callback(step, denoised, x, steps)
            # The steps that were probed tell which this is: some samplers count in another way.
            probed = {entry.step for entry in self._steering.trace[seen:]} - self._predictions.keys()
            left_out = {entry.step for entry in self._steering.unsteered[unsteered:]}
            seen, unsteered = len(self._steering.trace), len(self._steering.unsteered)
            if probed:
                prediction = guider.inner_model.process_latent_out(denoised.float()).cpu()
                self._predictions.update(dict.fromkeys(probed, prediction))
            if told := probed | left_out:
                _tell(self._on_step, self._steering, max(told), self._steps, denoised, guider.inner_model.latent_format)

        return watch

    def _prediction_shift(
        self,
        guider: comfy.samplers.CFGGuider,
        sampler: comfy.samplers.Sampler,
        sigmas: Tensor,
        model_options: dict[str, Any],
        denoise_mask: Tensor | None,
    ) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """What moves the denoised latent (batch, channels, H, W) of a latent and a sigma."""
        steps, all_arrives = len(sigmas) - 1, _goes_on_from_prediction(sampler)
        followed = FollowedSteps(sigmas.tolist())

        def shift(x: Tensor, timestep: Tensor, denoised: Tensor) -> Tensor:
            sigma = float(timestep.flatten()[0])
            number = followed.at(sigma)
            if not self._steering.is_active(number, steps):
                return denoised
            tied = self._acting(guider, sigma, number)
            if tied is None:
                return denoised
            removes = 1.0 if all_arrives else 1 - float(sigmas[number + 1] / sigmas[number])
            step = SamplingStep(number, steps, progress(guider.inner_model.model_sampling, sigma), removes)
            mask = mask_at(guider, denoise_mask, x, sigma, sigmas, model_options)
            latent, probe = self._network_view(guider, x, sigma, model_options, tied)
            with keeping_random_state(x.device):
                noise_shift = self._steering.noise_shift(latent, probe, step, mask)
            if noise_shift is None:
                return denoised
            # The denoised latent is x - sigma·epsilon whatever the network predicts.
            level = noise_level(guider.inner_model.model_sampling, sigma)
            bounded = level * bounded_shift(input_scale(guider, sigma))
            return (denoised - bounded * noise_shift).to(denoised.dtype)

        return shift

    def _acting(self, guider: comfy.samplers.CFGGuider, sigma: float, step: int) -> tuple[Condition, int] | None:
        """The conditioning to probe with, and where the relations' tokens begin in it."""
        tied = acting(guider.conds, sigma)
        if tied is None:
            self._steering.notes.leave_out(step, "the conditioning of the relations does not act at this step")
        return tied

    def _by_intervals(
        self, sampler_function: Callable[..., Tensor], guider: comfy.samplers.CFGGuider, beginning: Beginning
    ) -> Callable[..., Tensor]:
        """The sampler, with the latent moved before each steered step.

        Args:
            beginning: from where pictures may begin again.
        """

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
            steps, schedule = intervals.steps, self._steering.schedule
            active, look = schedule.steered_steps(steps), schedule.look_before_restart(steps)
            cuts = sorted({0, steps, *active, *(step + 1 for step in active)})

            def moved(run: SteeredRun, x: Tensor, first: int) -> Tensor:
                if first not in active:
                    return x
                return run._moved(guider, model, x, float(sigmas[first]), extra_args, first, steps)

            def sampled(x: Tensor, first: int, last: int, callback: StateCallback, attempt: int = 0) -> Tensor:
                if self.forwards:
                    self.forwards.go_on_from(first)
                return intervals.sampled(x, first, last, callback, attempt)

            def attempt(again: Steering, images: Sequence[int], number: int) -> list[tuple[Tensor, _Predictions]]:
                """Of each picture the latent at the look, moved, and what was predicted on the way there."""
                run = SteeredRun(again, self._network, None, None)
                run.forwards = self.forwards  # a look is not bound
                watch = run._watching(None, guider)

                def told(state: dict[str, Any]) -> None:
                    comfy.model_management.throw_exception_if_processing_interrupted()
                    watch(state["i"], state["denoised"], state["x"], steps)

                x = beginning.again(sigmas, images, number)
                for first, last in itertools.pairwise(cut for cut in cuts if cut <= look):
                    x = moved(run, x, first)
                    x = sampled(x, first, last, told, number)
                x, seen = moved(run, x, look), run._predictions
                return [(x[i], {step: batch[i] for step, batch in seen.items()}) for i in range(len(images))]

            for first, last in itertools.pairwise(cuts):
                x = moved(self, x, first)
                if schedule.restarts and first == active[-1]:
                    options, sampling = extra_args["model_options"], guider.inner_model.model_sampling
                    with keeping_random_state(x.device), cache_of_its_own(options["transformer_options"], sampling):
                        begun_again = beginning.begin_again(self._steering, look, sigmas, attempt)
                    x = self._with_attempts(x, begun_again)
                x = sampled(x, first, last, callback)
            return x

        return sample

    def _with_attempts(self, x: Tensor, kept: Mapping[int, tuple[Tensor, _Predictions]]) -> Tensor:
        """The latent with these pictures as in their attempts; what is shown of the steps before follows."""
        x = x.clone()
        for image, (latent, predictions) in kept.items():
            x[image] = latent
            for step in predictions.keys() & self._predictions.keys():
                self._predictions[step][image] = predictions[step]
        return x

    def _moved(
        self,
        guider: comfy.samplers.CFGGuider,
        model: comfy.samplers.KSamplerX0Inpaint,
        x: Tensor,
        sigma: float,
        extra_args: dict[str, Any],
        number: int,
        steps: int,
    ) -> Tensor:
        """The sampler's latent, moved by latent descent."""
        tied = self._acting(guider, sigma, number)
        if tied is None:
            return x
        options = extra_args["model_options"]
        mask = mask_at(guider, extra_args["denoise_mask"], x, sigma, model.sigmas, options)
        visible = x if mask is None else with_kept_region(guider, model, x, sigma, mask)
        latent, probe = self._network_view(guider, visible, sigma, options, tied)
        scale = input_scale(guider, sigma)
        sampling = guider.inner_model.model_sampling
        step = SamplingStep(number, steps, progress(sampling, sigma))
        with keeping_random_state(x.device):
            moved = self._steering.descend(latent, probe, noise_level(sampling, sigma) * scale, step, mask)
        return x + (moved - latent) / scale

    def _network_view(
        self,
        guider: comfy.samplers.CFGGuider,
        x: Tensor,
        sigma: float,
        model_options: dict[str, Any],
        tied: tuple[Condition, int],
    ) -> tuple[Tensor, Callable[[Tensor], TokenMaps]]:
        """The latent as the network receives it, and the probe of such a latent."""
        scale = input_scale(guider, sigma)
        condition, first = tied
        request, network = self._steering.request.from_token(first), self._network
        assert network is not None

        def probe(latent: Tensor) -> TokenMaps:
            comfy.model_management.throw_exception_if_processing_interrupted()
            with self.forwards.paused() if self.forwards else nullcontext():
                return probe_model(guider, condition, latent / scale, sigma, model_options, network, request)

        return x * scale, probe


def _tell(listener: Callable[..., None] | None, *told: Any) -> None:
    """Tell a listener of a run; what fails there costs what it shows, not the picture."""
    if listener is None:
        return
    try:
        listener(*told)
    except STOPS:
        raise
    except Exception:
        _log.warning("Spatial Steering: what is steered cannot be shown. The picture is sampled on.", exc_info=True)


def _check_can_be_moved(sampler: comfy.samplers.Sampler) -> None:
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


def _goes_on_from_prediction(sampler: comfy.samplers.Sampler) -> bool:
    """Whether each step begins at the denoised latent, so that all of a bend arrives, however small the step.

    So does ``lcm``, which draws new noise besides and forgets a small bend in it; it is bent as other samplers are.
    """
    return name_of(getattr(sampler, "sampler_function", sampler)).endswith("_cfg_pp")
