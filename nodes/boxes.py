"""Places in the picture from the boxes of ComfyUI's box canvas, and boxes from places."""

from __future__ import annotations

from comfy_api.latest import io

from ..steering_core.areas import areas, as_elements, placed_by_boxes, read_elements
from ..steering_core.detection.bounding_boxes import as_bounding_boxes
from ..steering_core.detection.boxes import Found
from ..steering_core.tokens import GroundedScene
from .ranges import in_ranges
from .relations import relation_outputs, with_scene
from .types import CATEGORY, Elements, Relations


class BoundingBoxesToPlaces(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringBoundingBoxesToPlaces",
            display_name="Bounding Boxes to Places",
            category=CATEGORY,
            search_aliases=["bounding box", "boxes", "regional", "area", "where", "position", "layout", "bbox"],
            description=(
                "Gives each object that has a box the place where the middle of its box is: a side, a corner or the "
                "center of the picture. Draw the boxes with Create Bounding Boxes, and describe each with the words "
                "that name the object in the prompt, in any language. Their sizes are not steered."
            ),
            inputs=[
                Relations.Input(
                    "relations", tooltip="From Spatial Relation Parser: the prompt that names the objects."
                ),
                Elements.Input("elements", tooltip="From Create Bounding Boxes: its boxes with their descriptions."),
            ],
            outputs=relation_outputs(),
        )

    @classmethod
    def execute(cls, relations: GroundedScene, elements: list) -> io.NodeOutput:
        """Put the boxes' places in the place of the prompt's."""
        return with_scene(relations, placed_by_boxes(relations.scene, read_elements(elements)))


class AreasOfObjects(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringAreasOfObjects",
            display_name="Areas of Objects",
            category=CATEGORY,
            search_aliases=["area", "bounding box", "boxes", "regional", "bbox", "places to boxes"],
            description=(
                "A box for each object that has a place in the picture, such as on the left: the part of the picture "
                "in which the object is at its place, a half, a quarter or the middle. For nodes that take boxes, such "
                "as Create Bounding Boxes and Draw BBoxes."
            ),
            inputs=[
                Relations.Input("relations", tooltip="From Scene Layout, Spatial Prompt or another node of relations."),
                io.Int.Input("width", default=1024, min=16, max=16384, tooltip="Of the picture, in pixels."),
                io.Int.Input("height", default=1024, min=16, max=16384, tooltip="Of the picture, in pixels."),
            ],
            outputs=[
                io.BoundingBox.Output(display_name="bboxes", tooltip="In pixels, with the objects' names as labels."),
                Elements.Output(display_name="elements", tooltip="For bboxes of Create Bounding Boxes, with names."),
            ],
        )

    @classmethod
    @in_ranges
    def execute(cls, relations: GroundedScene, width: int, height: int) -> io.NodeOutput:
        """Box the places."""
        boxes = areas(relations.scene)
        found = [Found(name, box) for name, box in boxes]
        return io.NodeOutput(as_bounding_boxes([found], width, height, whole=True), as_elements(boxes))
