"""Pictures and words that say what steering did, and why."""

from __future__ import annotations

import json

from comfy_api.latest import io, ui
from PIL import Image
from torch import Tensor

from ..steering_core.detection.bounding_boxes import read_boxes
from ..steering_core.detection.look import Look
from ..steering_core.report.curves import note_picture, run_curves
from ..steering_core.report.log import RunLog
from ..steering_core.report.run import SteeringRun
from ..steering_core.report.viz import map_sheet
from .types import CATEGORY, Trace, boxes_input, image_of


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
                "what the picture was at that step, and the way of its centre. It tells of the model's attention, not "
                "of what is in the picture. One sheet for each picture of the batch."
            ),
            inputs=[_latent_input(), _trace_input(), io.Vae.Input("vae", tooltip="Decodes the picture of each step.")],
            outputs=[io.Image.Output(display_name="sheets", tooltip="A sheet for each picture of the batch.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, latent: dict, steering_trace: RunLog, vae) -> io.NodeOutput:
        """Decode the steps, and lay the maps on them."""
        try:
            run = steering_trace.run_of(latent["samples"])
        except ValueError as error:
            return _shown(cls, [note_picture(str(error))])
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
            search_aliases=["loss curve", "plot", "verdict", "trace", "debug", "judge", "detector", "missing object"],
            description=(
                "Says for each relation where the model's attention stood when steering last looked, how present each "
                "object was in it, and draws how it came to that. With the finished pictures connected, it also says "
                "what is seen in them: of the miniatures by their own detector, of other models by the boxes of a "
                "detection node."
            ),
            inputs=[
                _latent_input(),
                _trace_input(),
                io.Image.Input(
                    "picture",
                    optional=True,
                    tooltip="The finished pictures of this latent, from VAE Decode. Those of the miniatures are looked "
                    "at by their own detector; for those of other models connect boxes as well.",
                ),
                boxes_input(optional=True),
            ],
            outputs=[
                io.Image.Output(display_name="curves", tooltip="Loss, displacement and gradient norm over the steps."),
                io.String.Output(
                    display_name="verdict",
                    tooltip="What is seen in the pictures, if anyone looked; where attention settled; how present "
                    "each object is in it; and which steps were not steered, and why.",
                ),
                io.String.Output(display_name="trace_json", tooltip="All that was seen, as JSON."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, latent: dict, steering_trace: RunLog, picture: Tensor | None = None, boxes: list | dict | None = None
    ) -> io.NodeOutput:
        """Draw the run of this latent, and look at its pictures."""
        try:
            run = steering_trace.run_of(latent["samples"])
        except ValueError as error:
            return _shown(cls, [note_picture(str(error))], str(error), json.dumps({"note": str(error)}))
        note = ""
        try:
            look = _look(steering_trace, run, picture, boxes)
        except ValueError as error:
            look, note = None, f"not judged: {error}"
        summary = "\n".join(filter(None, [note, run.summary(look)]))
        report = {**run.as_json(look), "note": note}
        return _shown(cls, [run_curves(run, look, note)], summary, json.dumps(report, allow_nan=False))


def _look(log: RunLog, run: SteeringRun, picture: Tensor | None, boxes: list | dict | None) -> Look | None:
    """What is in the finished pictures; none where no picture is connected.

    Args:
        picture: (batch, H, W, channels) in [0, 1].

    Raises:
        ValueError: nobody can tell; says why, and what to connect.
    """
    if picture is None:
        if boxes is not None:
            raise ValueError("boxes: the pictures that they were found in were expected too. Connect picture.")
        return None
    if len(picture) != len(run.latent):
        raise ValueError(
            f"picture: the {len(run.latent)} of this latent were expected, not {len(picture)}. Connect its VAE Decode."
        )
    if boxes is not None:
        height, width = picture.shape[1:3]
        return read_boxes(boxes, len(picture), width, height)
    if log.look is None:
        raise ValueError(
            "picture: no detector here knows what this model draws. Connect boxes, from a detection node such as Run "
            "Real-Time Detection (RT-DETR)."
        )
    return log.look(picture[..., :3].movedim(-1, 1))


def _latent_input() -> io.Input:
    return io.Latent.Input("latent", tooltip="The sampler's output, just as it comes from there.")


def _trace_input() -> io.Input:
    return Trace.Input(
        "steering_trace", tooltip="From the node that steered this sampler: Apply Spatial Steering or Steered KSampler."
    )


def _decoded(vae, latent: Tensor) -> Tensor:
    """Pictures (batch, 3, H, W) in [0, 1]; of an autoencoder of videos the first frame of each.

    Raises:
        ValueError: there is no autoencoder.
    """
    if vae is None:
        raise ValueError("vae: none was given, as by a checkpoint that holds none. Connect one from Load VAE.")
    images = vae.decode(latent)
    return (images[:, 0] if images.dim() == 5 else images).movedim(-1, 1)


def _shown(node: type[io.ComfyNode], pictures: list[Image.Image], *others: str) -> io.NodeOutput:
    """Pictures as an IMAGE, on the node itself too, and the other outputs."""
    images = image_of(pictures)
    return io.NodeOutput(images, *others, ui=ui.PreviewImage(images, cls=node))
