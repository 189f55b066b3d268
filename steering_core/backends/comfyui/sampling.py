"""Steering inside ComfyUI's samplers.

The model that comes in is never changed: a clone of it carries wrappers around its samplers and what they call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import comfy.patcher_extension
import comfy.samplers
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...networks import ReadableNetwork
from ...report.log import RunLog
from ...steering import Steering
from .conditions import CARRIED, Condition, carried_relations, check_width, tie
from .families import readable_network
from .own_forwards import WRAPPER_KEY
from .run import SteeredRun
from .watch import STOPS, BeginListener, EndListener, StepListener, tell


def steer_model(
    model: ModelPatcher,
    steering: Steering,
    log: RunLog | None = None,
    *,
    on_begin: BeginListener | None = None,
    on_step: StepListener | None = None,
    on_end: EndListener | None = None,
) -> ModelPatcher:
    """A clone of the model whose samplers are steered, with any sampler node.

    The steered window of a sampler runs one interval of the schedule at a time, with the latent
    moved between them (latent descent), or with the prediction shifted after classifier-free
    guidance (noise guidance). Step shares count the steps that the sampler is given.

    What does not fit together is a ``SteeringError`` when a sampler begins, before it samples: relations of another
    prompt than its positive conditioning, or a conditioning of another model's text encoder. Nothing is asked of what
    is connected where the schedule is idle.

    Args:
        model: shares its weights with the clone.
        steering: its trace is that of the last run. With the scene ``CARRIED``, each run is steered by the
            relations that its positive conditioning carries.
        log: is given every run that ends well.
        on_begin: called before the first step of a run, also of one in which nothing is steered.
        on_step: called after each step of the window.
        on_end: called after the last step of a run that ends well.

    Raises:
        ValueError: the model is steered already, or nothing says how its network attends to the prompt, or has
            weights without a gradient, or the loss cannot read it, or cannot score one of the relations.
    """
    wrappers = comfy.patcher_extension.WrappersMP
    if is_steered(model):
        raise ValueError(
            "model: it is steered already. Give the model itself to one steering node only, with all relations: "
            "chain them with Spatial Relation, and add losses up with Combine Losses."
        )
    steered = _SteeredModel(model, steering, log or RunLog(), on_begin, on_step, on_end)
    clone = model.clone()
    clone.add_wrapper_with_key(wrappers.OUTER_SAMPLE, WRAPPER_KEY, steered.outer_sample)
    clone.add_wrapper_with_key(wrappers.PREPARE_SAMPLING, WRAPPER_KEY, steered.prepare)
    clone.add_wrapper_with_key(wrappers.SAMPLER_SAMPLE, WRAPPER_KEY, steered.sample)
    clone.add_wrapper_with_key(wrappers.PREDICT_NOISE, WRAPPER_KEY, steered.predict_noise)
    clone.add_wrapper_with_key(wrappers.CALC_COND_BATCH, WRAPPER_KEY, steered.calc_cond_batch)
    if steering.schedule.bound != 0:  # where it is not said, each run's network and scene decide
        clone.add_wrapper_with_key(wrappers.APPLY_MODEL, WRAPPER_KEY, steered.apply_model)
    return clone


def is_steered(model: ModelPatcher) -> bool:
    """Whether it is what ``steer_model`` gives, or made of that."""
    return bool(model.get_wrappers(comfy.patcher_extension.WrappersMP.SAMPLER_SAMPLE, WRAPPER_KEY))


class _SteeredModel:
    """Stands between a model's guiders and their samplers; for one run after the other."""

    def __init__(
        self,
        model: ModelPatcher,
        steering: Steering,
        log: RunLog,
        on_begin: BeginListener | None,
        on_step: StepListener | None,
        on_end: EndListener | None,
    ) -> None:
        self._steering, self._log = steering, log
        self._on_begin, self._on_step, self._on_end = on_begin, on_step, on_end
        if steering.scene is not CARRIED:
            self._for_model(steering, model)  # what cannot be steered is said before the sampler's node runs
        self._run: SteeredRun | None = None

    def outer_sample(
        self,
        executor: Any,
        noise: Tensor,
        latent_image: Tensor,
        sampler: comfy.samplers.Sampler,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Wrapper of ``CFGGuider.outer_sample``: begins a run, and logs it when it has ended."""
        conditions = executor.class_obj.conds
        steering = self._steering
        if steering.scene is CARRIED and not steering.schedule.is_idle:
            steering = replace(steering, scene=carried_relations(conditions))
        # The sampler's own: a node behind the one that steers may have given the model another network.
        model, keeps_a_part = executor.class_obj.model_patcher, denoise_mask is not None
        steering, network = self._for_model(steering, model, keeps_a_part)
        steering.begin()
        if network is not None:
            check_width(_of_the_model(conditions, executor.class_obj), network.text_width)
            tie(conditions, steering.scene)
        self._run = run = SteeredRun(steering, network, self._on_begin, self._on_step)
        latent = executor(noise, latent_image, sampler, sigmas, denoise_mask, *args, **kwargs)
        self._log.add(run.ended(latent))
        tell(self._on_end)
        return latent

    def prepare(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """Wrapper of ``prepare_sampling``, which loads the model."""
        assert self._run is not None
        return self._run.prepare(executor, *args, **kwargs)

    def sample(
        self, executor: Any, guider: comfy.samplers.CFGGuider, sigmas: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Wrapper of ``Sampler.sample``."""
        assert self._run is not None
        with self._run.binding(guider, sigmas):
            return self._run.sample(executor, guider, sigmas, *args, **kwargs)

    def predict_noise(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Wrapper of ``CFGGuider.predict_noise``."""
        return self._run.predict_noise(executor, *args, **kwargs) if self._run else executor(*args, **kwargs)

    def calc_cond_batch(self, executor: Any, *args: Any, **kwargs: Any) -> list[Tensor]:
        """Wrapper of ``calc_cond_batch``."""
        forwards = self._run and self._run.own_forwards
        return forwards.calc_cond_batch(executor, *args, **kwargs) if forwards else executor(*args, **kwargs)

    def apply_model(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Wrapper of ``BaseModel.apply_model``."""
        forwards = self._run and self._run.forwards
        return forwards.apply_model(executor, *args, **kwargs) if forwards else executor(*args, **kwargs)

    @staticmethod
    def _for_model(
        steering: Steering, model: ModelPatcher, keeps_a_part: bool = False
    ) -> tuple[Steering, ReadableNetwork | None]:
        """The steering tied to the model, and the network that a probe reads; none where nothing is steered.

        Args:
            keeps_a_part: only a part of the picture is sampled, in which an object's region may not lie.
        """
        if not steering.scene.relations or steering.schedule.is_idle:
            return steering, None
        network = readable_network(model)
        steering = steering.for_network(
            network.layers,
            stops=STOPS,
            changes_in_place=network.changes_in_place,
            spreads=network.spreads,
            binds=network.is_joint and not keeps_a_part,
        )
        return steering, network


def _of_the_model(
    conditions: Mapping[str, Sequence[Condition]], guider: comfy.samplers.CFGGuider
) -> dict[str, Sequence[Condition]]:
    """Those that the guider's own model reads; *Dual Model CFG Guider* has another for the negative ones."""
    others = {"negative"} if getattr(guider, "uncond_model_patcher", None) is not None else set()
    return {name: listed for name, listed in conditions.items() if name not in others}
