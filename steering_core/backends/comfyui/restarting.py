"""Where a ComfyUI sampler began, and from where its pictures may begin again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CellType
from typing import Any, TypeVar

import comfy.hooks
import comfy.samplers
from torch import Tensor

from ...report.outcomes import Restarts
from ...restarts import Attempt, begin_again, new_noise
from ...steering import Steering
from .conditions import control_hints
from .probe import EASYCACHE

T = TypeVar("T")

#: Of a variable that a function has not set yet.
_EMPTY_CELL = CellType()


@contextmanager
def cache_of_its_own(transformer_options: dict[str, Any], sampling: Any) -> Iterator[None]:
    """In this context core's EasyCache and LazyCache begin anew: they know a batch by all of its pictures.

    Args:
        transformer_options: of the sampler that is run in the context.
        sampling: the model's ``model_sampling``.
    """
    cache = transformer_options.get(EASYCACHE)
    if cache is None:
        yield
        return
    transformer_options[EASYCACHE] = cache.clone().prepare_timesteps(sampling)
    try:
        yield
    finally:
        transformer_options[EASYCACHE] = cache


@dataclass(frozen=True)
class Beginning:
    """What a sampler was given to begin from.

    Attributes:
        guider: while it samples.
        sampler: whose latent it is.
        noise: of each picture, (batch, …).
        latent_image: what is denoised, likewise.
        denoise_mask: the part that is, if not all.
        model_options: of the run.
        remembered: see ``remembered_by``, before the first step.
    """

    guider: comfy.samplers.CFGGuider
    sampler: comfy.samplers.KSAMPLER
    noise: Tensor
    latent_image: Tensor | None
    denoise_mask: Tensor | None
    model_options: Mapping[str, Any]
    remembered: Sequence[Tensor]

    def again(self, sigmas: Tensor, images: Sequence[int], attempt: int) -> Tensor:
        """The sampler's first latent of some pictures, from other noise; see ``restarts.new_noise``."""
        rows = list(images)
        given = None if self.latent_image is None else self.latent_image[rows]
        sampling = self.guider.inner_model.model_sampling
        full = self.sampler.max_denoise(self.guider, sigmas)
        return sampling.noise_scaling(sigmas[0], new_noise(self.noise[rows], attempt), given, full)

    def begin_again(self, steering: Steering, look: int | None, sigmas: Tensor, attempt: Attempt[T]) -> dict[int, T]:
        """See ``restarts.begin_again``; none does where something of an input picture is kept."""
        if kept := self._kept(sigmas):
            steering.restarts.append(Restarts(len(self.noise), (), kept))
            return {}
        return begin_again(steering, look, len(self.noise), attempt, _alike(self.guider.conds))

    def _kept(self, sigmas: Tensor) -> str:
        """What the run keeps that new noise would lose, in words; empty if nothing."""
        if self.denoise_mask is not None:
            return "a part of the picture is kept by a mask"
        if not self.noise.any():
            return "the sampler goes on from a latent that has its noise already"
        empty = self.latent_image is None or not self.latent_image.any()
        if not empty and not self.sampler.max_denoise(self.guider, sigmas):
            return "the run begins with a picture (denoise below 1)"
        if any(len(hook.hook_keyframe.keyframes) > 1 for hook in self._hooks()):
            return "the weights' keyframes, once passed, do not come again"
        known = {id(tensor) for tensor in self.remembered}
        if any(id(tensor) not in known for tensor in remembered_by(self.model_options)):
            return "a patch of the guidance goes on from what it saw in earlier steps (APG's momentum does)"
        return ""

    def _hooks(self) -> Iterator[comfy.hooks.Hook]:
        """Those of all conditionings."""
        for listed in self.guider.conds.values():
            for condition in listed:
                if group := condition.get("hooks"):
                    yield from group.hooks


def remembered_by(model_options: Mapping[str, Any]) -> list[Tensor]:
    """What functions around the network's calls hold between them, if it may have a row for each picture."""
    cells = [cell for function in _around_calls(model_options) for cell in getattr(function, "__closure__", None) or ()]
    held = [cell.cell_contents for cell in cells if cell != _EMPTY_CELL]
    return [value for value in held if isinstance(value, Tensor) and value.dim()]


def _around_calls(model_options: Mapping[str, Any]) -> Iterator[Callable[..., Any] | None]:
    """The functions of a model's options that patches of the guidance are."""
    yield from (model_options.get(name) for name in ("model_function_wrapper", "sampler_cfg_function"))
    for name in ("sampler_pre_cfg_function", "sampler_post_cfg_function"):
        yield from model_options.get(name, ())


def _alike(conds: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Whether all pictures of a batch have the same conditions, so that some can be sampled without the others."""
    return all(len(tensor) <= 1 for cond in conds.values() for entry in cond for tensor in _tensors(entry))


def _tensors(entry: Mapping[str, Any]) -> Iterator[Tensor]:
    """Those of a conditioning that may have a picture in each row."""
    values = [
        *entry.values(),
        *(getattr(cond, "cond", None) for cond in entry.get("model_conds", {}).values()),
        *(hint for _, hint in control_hints(entry.get("control"), "cond_hint_original")),
    ]
    each = itertools.chain.from_iterable(one if isinstance(one, (list, tuple)) else [one] for one in values)
    yield from (value for value in each if isinstance(value, Tensor) and value.dim())
