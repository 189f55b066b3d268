"""A look at finished pictures: which of them show what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from comfy_api.latest import io, ui
from PIL import Image
from torch import Tensor

from ..steering_core.detection.bounding_boxes import as_bounding_boxes, read_boxes
from ..steering_core.detection.boxes import Found
from ..steering_core.detection.look import PlacedRelation, label_of, placed_relations
from ..steering_core.evaluation.ranking import ScoredPictures, score_pictures
from ..steering_core.miniature.look import look_at
from ..steering_core.pictures import to_image
from ..steering_core.report.viz import mark_boxes, mark_relations, object_colour
from ..steering_core.tokens import GroundedScene
from .live import show_text
from .ranges import in_ranges
from .types import CATEGORY, Relations, Scores, boxes_input, image_of


class DetectMiniatureObjects(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's input and output."""
        return io.Schema(
            node_id="SpatialSteeringDetectMiniatureObjects",
            display_name="Detect Miniature Objects",
            category=CATEGORY,
            search_aliases=["bounding box", "object detection", "find objects", "detector"],
            description=(
                "Finds the objects in pictures of the miniatures, of 128×128 pixels. It knows their 24 objects and "
                "nothing of the model. For pictures of other models, take a detection node such as Run Real-Time "
                "Detection (RT-DETR)."
            ),
            inputs=[io.Image.Input("images", tooltip="Pictures of the miniatures, from VAE Decode.")],
            outputs=[
                io.BoundingBox.Output(
                    display_name="boxes", tooltip="For each picture a list of boxes with label and score."
                )
            ],
        )

    @classmethod
    def execute(cls, images: Tensor) -> io.NodeOutput:
        """Look at each picture."""
        height, width = images.shape[1:3]
        found = look_at(images[..., :3].movedim(-1, 1), "images").found
        return io.NodeOutput(as_bounding_boxes(found, width, height))


class SpatialScore(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringSpatialScore",
            display_name="Spatial Score",
            category=CATEGORY,
            search_aliases=["judge", "verdict", "right or wrong", "rate", "evaluate", "detector"],
            description=(
                "Judges finished pictures by boxes that a detection node found in them: which relations are seen in "
                "which picture. It looks at the pictures and not at the model's attention, and is right as far as the "
                "detector is."
            ),
            inputs=[
                io.Image.Input("images", tooltip="The finished pictures, from VAE Decode."),
                Relations.Input(
                    "relations", tooltip="What should be seen: from Spatial Relation Parser, for instance."
                ),
                boxes_input(optional=False),
            ],
            outputs=[
                io.Image.Output(
                    display_name="marked",
                    tooltip="The pictures with the boxes of the named objects, and between them the relations: green "
                    "where one is seen, red where it is not.",
                ),
                Scores.Output(display_name="scores", tooltip="For Keep Best."),
                io.Float.Output(
                    display_name="score", tooltip="Share of relations that are seen, of all pictures: 0 to 1."
                ),
                io.String.Output(display_name="report", tooltip="What is seen in which picture, and what is not, why."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: Tensor, relations: GroundedScene, boxes: list | dict) -> io.NodeOutput:
        """Judge, and draw what was found."""
        height, width = images.shape[1:3]
        look = read_boxes(boxes, len(images), width, height)
        scored = score_pictures(relations, look)
        numbers = {label_of(phrase, look.labels): number for number, phrase in enumerate(relations.phrases)}
        stood = placed_relations(relations, look, scored.relations)
        marked = image_of(_marked(*one, numbers) for one in zip(images, look.found, stood))
        if scored.unjudged:
            show_text(scored.unjudged)
        mean = sum(score.share for score in scored.scores) / len(scored.scores)
        return io.NodeOutput(marked, scored, mean, scored.summary, ui=ui.PreviewImage(marked, cls=cls))


def _marked(
    picture: Tensor, found: Sequence[Found], stood: Sequence[PlacedRelation], numbers: Mapping[str | None, int]
) -> Image.Image:
    """A picture (H, W, channels) with the boxes of the scene's objects and its relations.

    Args:
        numbers: of the scene's objects, by the detector's names.
    """
    image = to_image(picture[..., :3].movedim(-1, 0))
    known = [one for one in found if one.label in numbers]
    mark_boxes(image, [(one.label, one.box.sides, object_colour(numbers[one.label])) for one in known])
    mark_relations(image, stood)
    return image


class KeepBest(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringKeepBest",
            display_name="Keep Best",
            category=CATEGORY,
            search_aliases=["select best", "best of", "filter", "pick", "rank", "sort"],
            description=(
                "Of a batch, keeps the pictures that score best: those with the most relations seen, and of equal "
                "ones those whose relations hold most clearly."
            ),
            inputs=[
                io.Image.Input("images", tooltip="The pictures that were scored."),
                Scores.Input("scores", tooltip="From Spatial Score."),
                io.Int.Input("count", default=4, min=1, max=4096, tooltip="How many to keep; all of a smaller batch."),
                io.Latent.Input("latent", optional=True, tooltip="Of these pictures, to be kept along with them."),
            ],
            outputs=[
                io.Image.Output(tooltip="The best pictures, the best first."),
                io.Latent.Output(
                    tooltip="Of these pictures, in this order. It notes their places in the batch, so that a sampler "
                    "gives each the noise that it had."
                ),
                io.String.Output(
                    display_name="which", tooltip='Their numbers in the batch, from 1, such as "3, 7, 1, 12".'
                ),
            ],
        )

    @classmethod
    @in_ranges
    def execute(cls, images: Tensor, scores: ScoredPictures, count: int, latent: dict | None = None) -> io.NodeOutput:
        """Sort and keep."""
        for name, number in (("images", len(images)), ("latent", None if latent is None else len(latent["samples"]))):
            if number not in (None, len(scores.scores)):
                raise ValueError(
                    f"{name}: the {len(scores.scores)} that were scored were expected, not {number}. Connect what "
                    f"Spatial Score was given."
                )
        best = scores.best(count)
        return io.NodeOutput(images[best], _kept(latent, best), ", ".join(str(at + 1) for at in best))


def _kept(latent: dict | None, best: list[int]) -> dict | None:
    """A latent's pictures of these numbers, with whatever it has for each picture."""
    if latent is None:
        return None
    batch = len(latent["samples"])
    if (mask := latent.get("noise_mask")) is not None:  # ComfyUI repeats one of fewer pictures over the batch
        latent = {**latent, "noise_mask": mask.repeat(-(-batch // len(mask)), *[1] * (mask.dim() - 1))[:batch]}
    kept = {
        key: value[best] if isinstance(value, Tensor) and len(value) == batch else value
        for key, value in latent.items()
    }
    places = latent.get("batch_index") or range(batch)
    return {**kept, "batch_index": [places[at % len(places)] for at in best]}
