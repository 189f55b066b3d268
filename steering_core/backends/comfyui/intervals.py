"""A ComfyUI sampler that runs its schedule in parts, so that something can be done between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import comfy.samplers
from comfy.extra_samplers import uni_pc
from comfy.k_diffusion.sampling import sample_euler
from torch import Tensor

from ...steering import SteeringError

#: Number of seeds: PyTorch takes 64 bits, and ComfyUI's samplers add 1 to the one that they get.
_SEEDS = 2**64 - 1
#: Of the functions that samplers are made of.
StateCallback = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Intervals:
    """A sampler function with what ComfyUI calls it with.

    Attributes:
        function: as ``KSAMPLER.sampler_function``.
        model: the denoiser.
        sigmas: the whole schedule.
        extra_args, disable, options: as the function takes them.
    """

    function: Callable[..., Tensor]
    model: comfy.samplers.KSamplerX0Inpaint
    sigmas: Tensor
    extra_args: Mapping[str, Any]
    disable: bool
    options: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """How many the whole schedule has."""
        return len(self.sigmas) - 1

    def sampled(self, x: Tensor, first: int, last: int, callback: StateCallback, attempt: int = 0) -> Tensor:
        """The latent after the steps from ``first`` to before ``last``.

        Args:
            x: the latent before them, (batch, …).
            callback: told of the steps as of the whole schedule's.
            attempt: where they are sampled more than once, which time this is, from 0.

        Raises:
            SteeringError: the latent comes back in another size: it would grow again in each part.
        """
        seed = self.extra_args.get("seed")
        # UniPC only looks at the model, and takes no step, where it is given one interval alone.
        alone = last - first == 1 and self.function in (uni_pc.sample_unipc, uni_pc.sample_unipc_bh2)
        # Another seed for each interval, or a sampler that draws noise would draw the same again.
        seeded = {} if seed is None else {"seed": (seed + first + attempt * self.steps) % _SEEDS}
        latent = (sample_euler if alone else self.function)(
            self.model,
            x,
            self.sigmas[first : last + 1],
            extra_args={**self.extra_args, **seeded},
            callback=lambda state: callback({**state, "i": state["i"] + first}),
            disable=self.disable or last - first == 1,
            **({} if alone else self.options),
        )
        if latent.shape != x.shape:
            raise resizing(name_of(self.function))
        return latent


def changes_size(sampler: comfy.samplers.KSAMPLER) -> bool:
    """Whether a sampler is known to give back a latent of another size than it was given."""
    # Of comfy_extras' SamplerLCMUpscale.
    is_upscale = name_of(sampler.sampler_function) == "sample_lcm_upscale"
    return is_upscale and sampler.extra_options.get("total_upscale") != 1


def resizing(sampler: str) -> SteeringError:
    """What to say of a sampler that gives back a latent of another size.

    Args:
        sampler: its name.
    """
    return SteeringError(
        f"sampler: latent descent cannot stand between the steps of {sampler}, which changes the latent's size. Steer "
        f"it by noise guidance."
    )


def name_of(function: Callable[..., Tensor]) -> str:
    """Of a sampler function; another callable, such as a partial one, goes by its class."""
    return getattr(function, "__name__", type(function).__name__)
