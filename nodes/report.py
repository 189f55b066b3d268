"""Pictures and words that say what steering did, and why."""

from __future__ import annotations

import json

import torch
from comfy_api.latest import io, ui
from PIL import Image
from torch import Tensor

from ..steering_core.curves import run_curves
from ..steering_core.trace import RunLog
from ..steering_core.viz import from_image, map_sheet
from .types import CATEGORY, Trace


class TokenMapPreview(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and output."""
        return io.Schema(
            node_id="SpatialSteeringTokenMapPreview",
            display_name="Token Map Preview",
            category=CATEGORY,
            search_aliases=["attention maps", "heat map", "centroids", "debug", "visualize"],
            description=(
                "Shows where the model looked for each object while it was steered: a map in the object's colour on "
                "what the picture was at that step, and the way of its centre. One sheet for each picture of the batch."
            ),
            inputs=[_latent_input(), _trace_input(), io.Vae.Input("vae", tooltip="Decodes the picture of each step.")],
            outputs=[io.Image.Output(display_name="sheets", tooltip="A sheet for each picture of the batch.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, latent: dict, steering_trace: RunLog, vae) -> io.NodeOutput:
        """Decode the steps, and lay the maps on them."""
        run = steering_trace.run_of(latent["samples"])
        trace = [entry for entry in run.last_of_steps if entry.step in run.predictions]
        if not trace:
            return _shown(cls, [run_curves(run)])
        pictures = [_decoded(vae, run.predictions[entry.step]) for entry in trace]
        final = _decoded(vae, latent["samples"])
        sheets = [
            map_sheet(run.scene, trace, [picture[image] for picture in pictures], final[image], image)
            for image in range(len(final))
        ]
        return _shown(cls, sheets)


class SteeringReport(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringSteeringReport",
            display_name="Steering Report",
            category=CATEGORY,
            search_aliases=["loss curve", "plot", "verdict", "trace", "debug"],
            description=(
                "Says for each relation whether the model's attention stood as it should when steering last looked, "
                "and draws loss, displacement and gradient over the steps."
            ),
            inputs=[_latent_input(), _trace_input()],
            outputs=[
                io.Image.Output(display_name="curves", tooltip="Loss, displacement and gradient norm over the steps."),
                io.String.Output(display_name="verdict", tooltip="A line for each relation."),
                io.String.Output(display_name="trace_json", tooltip="All that was seen, as JSON."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, latent: dict, steering_trace: RunLog) -> io.NodeOutput:
        """Draw the run of this latent."""
        run = steering_trace.run_of(latent["samples"])
        return _shown(cls, [run_curves(run)], run.summary(), json.dumps(run.as_json()))


def _latent_input() -> io.Input:
    return io.Latent.Input("latent", tooltip="The sampler's output, just as it comes from there.")


def _trace_input() -> io.Input:
    return Trace.Input(
        "steering_trace", tooltip="From the node that steered this sampler: Apply Spatial Steering or Steered KSampler."
    )


def _decoded(vae, latent: Tensor) -> Tensor:
    """Pictures (batch, 3, H, W) in [0, 1]."""
    return vae.decode(latent).movedim(-1, 1)


def _shown(node: type[io.ComfyNode], pictures: list[Image.Image], *others: str) -> io.NodeOutput:
    """Pictures as an IMAGE, on the node itself too, and the other outputs."""
    images = torch.stack([from_image(picture) for picture in pictures]).movedim(1, -1)
    return io.NodeOutput(images, *others, ui=ui.PreviewImage(images, cls=node))
