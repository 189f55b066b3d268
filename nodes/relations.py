"""The relations of a scene: read from the prompt, or made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..steering_core.backends.comfyui.text import encode_prompt
from ..steering_core.editing import RelationEdit, edited, read_edits, with_relation
from ..steering_core.layout import Layout, laid_out, read_layout
from ..steering_core.relations.names import STEERED_NAMES, relation_named
from ..steering_core.relations.place import Place
from ..steering_core.relations.scene import Scene
from ..steering_core.relations.statement import check_object
from ..steering_core.tokens import GroundedScene, ground
from .types import CATEGORY, LayoutOfScene, RelationEdits, Relations, complaint, held


class SpatialRelationParser(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringRelationParser",
            display_name="Spatial Relation Parser",
            category=CATEGORY,
            search_aliases=["left of", "right of", "above", "below", "parse prompt", "clip text encode"],
            description=(
                "Encodes the prompt, as CLIP Text Encode does, and reads the spatial relations in it: left, right, "
                "above, below, diagonals, next to, between; and places in the picture, such as on the left. Connect "
                "them to Apply Spatial Steering or Steered KSampler. A prompt without relations is fine: it is then "
                "sampled unsteered."
            ),
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model that will sample."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip=(
                        'The prompt, in English if its relations are to be read: "a giraffe above an airplane" or "a '
                        'cup to the left of a book and a clock in the upper right corner". Name each object; weights '
                        "like (dog:1.2) are understood."
                    ),
                ),
            ],
            outputs=[
                io.Conditioning.Output(tooltip="The encoded prompt, for the sampler's positive input."),
                Relations.Output(
                    display_name="relations",
                    tooltip="The relations found, for Apply Spatial Steering or Steered KSampler.",
                ),
                io.String.Output(
                    display_name="summary",
                    tooltip="What was understood, in words; also what is not steered: behind, in front of.",
                ),
            ],
        )

    @classmethod
    def execute(cls, clip, text: str) -> io.NodeOutput:
        """Encode the text and tie its relations to the tokens."""
        conditioning, scene = encode_prompt(clip, text)
        return io.NodeOutput(conditioning, scene, scene.summary(), ui={"prompt": [scene.scene.as_written]})


class SpatialRelation(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringSpatialRelation",
            display_name="Spatial Relation",
            category=CATEGORY,
            search_aliases=["left of", "right of", "above", "below", "triplet", "manual relation", "add relation"],
            description=(
                "Adds one relation by hand, or one object's place in the picture, for a scene whose prompt does not "
                "say it, or says it in another language. Chain several, beginning with Spatial Relation Parser, which "
                "encodes the prompt."
            ),
            inputs=[
                Relations.Input(
                    "relations", tooltip="From Spatial Relation Parser, or from another Spatial Relation in the chain."
                ),
                io.String.Input(
                    "subject",
                    default="",
                    tooltip="The object that is to lie somewhere, with the words of the prompt: dog, red car, Hund.",
                ),
                io.Combo.Input(
                    "relation",
                    options=list(STEERED_NAMES),
                    tooltip="Where it is to lie, seen from the other object; or with at_… where in the picture, and "
                    "then object stays empty. Left and right are the picture's.",
                ),
                io.String.Input(
                    "object",
                    default="",
                    tooltip="The object that it lies left of, above …, with the prompt's words. Empty with at_…",
                ),
            ],
            outputs=relation_outputs(),
        )

    @classmethod
    def validate_inputs(
        cls, subject: str | None = None, relation: str | None = None, object: str | None = None
    ) -> bool | str:
        """Refuse what makes no relation before anything runs; what comes by a link is known only then."""
        if relation is not None and relation not in STEERED_NAMES:
            return f"relation: one of {', '.join(STEERED_NAMES)} was expected, and {relation!r} was given."
        if subject is not None and not subject.strip():
            return "subject: words of the prompt that name an object were expected, such as dog; nothing was given."
        if relation is None or object is None:
            return True
        if isinstance(relation_named(relation), Place):
            return complaint(lambda: check_object(relation_named(relation), object.strip() or None))
        if not object.strip():
            return "object: words of the prompt that name an object were expected, such as dog; nothing was given."
        if subject is not None and subject.strip().casefold() == object.strip().casefold():
            return f"subject and object: two objects were expected, and both are {subject!r}."
        return True

    @classmethod
    def execute(cls, relations: GroundedScene, subject: str, relation: str, object: str) -> io.NodeOutput:
        """Add the relation."""
        scene = with_relation(relations.scene, subject, relation_named(relation), object.strip() or None)
        return with_scene(relations, scene)


class EditRelations(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringEditRelations",
            display_name="Edit Relations",
            category=CATEGORY,
            search_aliases=["change relations", "switch off relation", "correct parser", "toggle"],
            description=(
                "Lists the relations and places that were read from the prompt, before anything is sampled. Switch one "
                "off, or choose another in its stead."
            ),
            inputs=[
                Relations.Input("relations", tooltip="From Spatial Relation Parser or Spatial Relation."),
                RelationEdits.Input(
                    "edits",
                    tooltip="A line for each relation: the switch says whether it is steered, the menu which it is.",
                ),
            ],
            outputs=relation_outputs(),
        )

    @classmethod
    def validate_inputs(cls, edits: dict | str | None = None) -> bool | str:
        """Refuse edits of another form before anything runs."""
        return True if edits is None else complaint(lambda: edits_of(edits))

    @classmethod
    def execute(cls, relations: GroundedScene, edits: dict | str) -> io.NodeOutput:
        """Edit the relations."""
        return with_scene(relations, edited(relations.scene, edits_of(edits)))


class SceneLayout(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringSceneLayout",
            display_name="Scene Layout",
            category=CATEGORY,
            search_aliases=[
                "where",
                "position",
                "place objects",
                "drag objects",
                "composition",
                "canvas",
                "regional",
                "area",
                "bounding box",
                "layout",
            ],
            description=(
                "The objects of the prompt on a small canvas: drag them to where they should be in the picture. Two "
                "that the prompt relates stay related as they then lie to each other; where they touch, they are to be "
                "near each other. Objects can be added by words of the prompt, in any language, given other words, and "
                "taken off."
            ),
            inputs=[
                Relations.Input(
                    "relations", tooltip="From Spatial Relation Parser: the prompt whose objects are placed."
                ),
                LayoutOfScene.Input(
                    "layout",
                    tooltip="Drag with mouse or finger, or choose one with Tab and move it with the arrow keys. +, "
                    "\N{LOWER RIGHT PENCIL} and \N{MULTIPLICATION X} add an object, give it other words and take it "
                    "off. Ctrl+Z takes a change back.",
                ),
            ],
            outputs=relation_outputs(),
        )

    @classmethod
    def validate_inputs(cls, layout: dict | str | None = None) -> bool | str:
        """Refuse a layout of another form before anything runs."""
        return True if layout is None else complaint(lambda: layout_of(layout))

    @classmethod
    def execute(cls, relations: GroundedScene, layout: dict | str) -> io.NodeOutput:
        """Put the layout's relations in the place of the prompt's."""
        return with_scene(relations, laid_out(relations.scene, layout_of(layout)))


def edits_of(value: Any) -> list[RelationEdit]:
    """What the widget of Edit Relations holds.

    Raises:
        ValueError: it is of another form; names the part.
    """
    return read_edits(held(value, "edits"))


def layout_of(value: Any) -> Layout:
    """What a canvas holds.

    Raises:
        ValueError: it is of another form; names the part.
    """
    return read_layout(held(value, "layout"))


def relation_outputs() -> list[io.Output]:
    """Those of a node that changes relations."""
    return [
        Relations.Output(display_name="relations", tooltip="For Apply Spatial Steering or Steered KSampler."),
        io.String.Output(display_name="summary", tooltip="The relations in words."),
    ]


def with_scene(relations: GroundedScene, scene: Scene) -> io.NodeOutput:
    """Another scene of the same prompt, tied to the same tokens; and what the front end shows of it."""
    grounded = replace(ground(scene, relations.sequence), conditioning=relations.conditioning)
    return io.NodeOutput(grounded, grounded.summary(), ui={"prompt": [relations.scene.as_written]})
