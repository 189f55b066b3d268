"""Core's area conditioning, in terms of diffusers: each object's own prompt in its part of the canvas.

What ComfyUI does with the whole prompt and two Conditioning (Set Area) of strength 1, put together by Conditioning
(Combine): ``calc_cond_batch`` in its comfy/samplers.py, read in 0.33.0. In every step the latent is cut to each area,
the network predicts of the cut what the area's prompt asks for, and the predictions are averaged with the whole
prompt's, weighted by 1, but for an area's inner border, where its weight rises over a quarter of its side or 8 cells
of the latent. What guidance leads away from is put together in the same areas. Left out is what ComfyUI does besides
where conditions have masks, times, hooks or controls, of which there are none here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import DiffusionPipeline, FluxPipeline
from torch import Tensor

from benchmarks.calls import Call, Forward, answered
from steering_core.backends.diffusers.pipelines import kind_of
from steering_core.regions import Region

#: Cells over which an area's weight rises at most.
_FUZZ = 8


@dataclass(frozen=True)
class Area:
    """A part of the canvas, all in shares of its height and width."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0

    @classmethod
    def of(cls, region: Region) -> Area:
        """The part of the canvas that an object's region takes."""
        left, upper, right, lower = region.box
        return cls(upper, left, lower - upper, right - left)

    def cells(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of a grid that the area takes."""
        top, left = round(self.top * height), round(self.left * width)
        return slice(top, top + round(self.height * height)), slice(left, left + round(self.width * width))

    def weight(self, height: int, width: int) -> Tensor:
        """Of each of its cells on a grid of this size, (rows, columns) in (0, 1]."""
        rows, columns = self.cells(height, width)
        return _rising(rows, height)[:, None] * _rising(columns, width)


def _rising(cells: slice, whole: int) -> Tensor:
    """The weights along one axis, which rise from where the area borders on the rest of the canvas."""
    length = cells.stop - cells.start
    weights, fuzz = torch.ones(length), min(_FUZZ, length // 4)
    rise = torch.arange(1, fuzz + 1) / max(fuzz, 1)
    if cells.start > 0:
        weights[:fuzz] *= rise
    if cells.stop < whole:
        weights[length - fuzz :] *= rise.flip(0)
    return weights


@contextmanager
def area_conditioned(pipeline: DiffusionPipeline, prompts: Sequence[tuple[str, Area]]) -> Iterator[None]:
    """In this context one call of the pipeline is conditioned by these prompts in their areas as well.

    Args:
        pipeline: of Stable Diffusion 1 or FLUX.1.
    """
    encoded = [(_encoded(pipeline, text), area) for text, area in prompts]
    with answered(pipeline, partial(_composed, pipeline=pipeline, encoded=encoded)):
        yield


def _encoded(pipeline: DiffusionPipeline, text: str) -> dict[str, Tensor]:
    """The inputs of the network that hold a prompt, each (1, …)."""
    if isinstance(pipeline, FluxPipeline):
        context, pooled, _ = pipeline.encode_prompt(text, **kind_of(pipeline).text_options(pipeline))
        return {"encoder_hidden_states": context, "pooled_projections": pooled}
    context, _ = pipeline.encode_prompt(text, pipeline.device, 1, do_classifier_free_guidance=False)
    return {"encoder_hidden_states": context}


def _composed(
    call: Call, forward: Forward, pipeline: DiffusionPipeline, encoded: Sequence[tuple[Mapping[str, Tensor], Area]]
) -> tuple[Tensor]:
    """The prediction that all prompts make together."""
    predict = partial(_predicted_of_tokens if isinstance(pipeline, FluxPipeline) else _predicted, forward)
    latent = _cells(call.inputs) if isinstance(pipeline, FluxPipeline) else call.inputs["sample"]
    height, width = latent.shape[-2:]
    total, weights = predict(call.inputs, latent), torch.ones_like(latent)
    for conditioning, area in encoded:
        rows, columns = area.cells(height, width)
        inputs = {**call.inputs, **_conditioned(call, conditioning)}
        weight = area.weight(height, width).to(latent)
        total[..., rows, columns] += weight * predict(inputs, latent[..., rows, columns])
        weights[..., rows, columns] += weight
    composed = total / weights
    return (_tokens(composed) if isinstance(pipeline, FluxPipeline) else composed,)


def _conditioned(call: Call, conditioning: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inputs that hold the prompt, with another one in the parts of the batch that are prompted."""
    given = {}
    for name, value in conditioning.items():
        parts = call.inputs[name].chunk(len(call.prompted))
        given[name] = torch.cat(
            [value.expand_as(part) if is_one else part for part, is_one in zip(parts, call.prompted)]
        )
    return given


def _predicted(forward: Forward, inputs: Mapping[str, Any], latent: Tensor) -> Tensor:
    """Of a latent (batch, channels, H, W), and in its shape."""
    (prediction,) = forward(**{**inputs, "sample": latent})
    return prediction


def _predicted_of_tokens(forward: Forward, inputs: Mapping[str, Any], latent: Tensor) -> Tensor:
    """The same of a network that is given tokens of 2 × 2 cells, whose places it counts from the cut's corner."""
    height, width = latent.shape[-2] // 2, latent.shape[-1] // 2
    ids = inputs["img_ids"]
    rows, columns = (int(last) + 1 for last in ids[-1, 1:])
    places = ids.view(rows, columns, -1)[:height, :width].flatten(0, 1)
    (prediction,) = forward(**{**inputs, "hidden_states": _tokens(latent), "img_ids": places})
    return _untokened(prediction, height, width)


def _cells(inputs: Mapping[str, Any]) -> Tensor:
    """The latent of a network that is given tokens, (batch, channels, H, W)."""
    height, width = (int(last) + 1 for last in inputs["img_ids"][-1, 1:])
    return _untokened(inputs["hidden_states"], height, width)


def _tokens(latent: Tensor) -> Tensor:
    """(batch, channels, H, W) to (batch, H·W / 4, 4·channels), as FLUX.1's pipeline packs it."""
    return FluxPipeline._pack_latents(latent, *latent.shape)


def _untokened(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of ``_tokens``, given the size in tokens."""
    return FluxPipeline._unpack_latents(tokens, 2 * height, 2 * width, vae_scale_factor=1)
