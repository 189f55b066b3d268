"""The short way in: a prompt, encoded, and a model that makes its relations come true."""

from __future__ import annotations

from comfy_api.latest import io

from ..steering_core.backends.comfyui.reading import read_prompt
from ..steering_core.backends.comfyui.text import encode_prompt
from ..steering_core.layout import laid_out
from ..steering_core.losses import CentroidLoss
from ..steering_core.schedule import SteeringSchedule
from .ranges import in_ranges
from .relations import layout_of
from .sampling import steered
from .schedule import UPDATES, strength_input
from .types import CATEGORY, LayoutOfScene, Relations, Trace, advanced, complaint


class SpatialPrompt(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringSpatialPrompt",
            display_name="Spatial Prompt",
            category=CATEGORY,
            search_aliases=[
                "where",
                "position",
                "place objects",
                "composition",
                "regional",
                "area",
                "bounding box",
                "layout",
                "prompt encode",
            ],
            description=(
                "A prompt whose objects come where it says. In place of CLIP Text Encode: connect the model through "
                "this node to any sampler, and CONDITIONING to its positive input. Drag the objects where the words "
                "are not enough."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model that is to draw. It is not changed."),
                io.Clip.Input("clip", tooltip="The text encoder of the same model."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip='The prompt. Say in English where things are: "a giraffe above an airplane". In other '
                    "languages, add the objects on the canvas.",
                ),
                strength_input("How firmly the objects are moved. 1: as measured best; 0: not at all."),
                io.Float.Input(
                    "how_long",
                    default=SteeringSchedule.end,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="For how much of the sampling they are moved, as a share from its beginning. Places are "
                    "decided in the first quarter, 0.25. In fewer than 16 steps of a transformer (FLUX, Qwen-Image, "
                    "Z-Image …) whose objects are not bound to regions, it lasts longer, up to half of them. More "
                    "costs time and can spoil details.",
                ),
                io.Float.Input(
                    "spacing",
                    default=CentroidLoss().resolved().margin,
                    min=0.0,
                    max=0.95,
                    step=0.05,
                    tooltip="How far apart the objects' centres are to be, as a share of the picture's side; for a "
                    "place in the picture, how far beyond its middle.",
                ),
                advanced(
                    io.Combo.Input(
                        "update",
                        options=["automatic", "automatic_guidance"],
                        tooltip="automatic serves all samplers but lcm, which wants automatic_guidance.",
                    )
                ),
                LayoutOfScene.Input(
                    "layout",
                    optional=True,
                    tooltip="What was read of the prompt. Drag an object to where it should be, or choose one with Tab "
                    "and move it with the arrow keys; + adds one by words of the prompt, in any language; Reset goes "
                    "back to what the prompt says.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="For the model input of a sampler or guider."),
                io.Conditioning.Output(tooltip="The encoded prompt, for the sampler's positive input."),
                io.String.Output(display_name="summary", tooltip="What will be steered, in words."),
                Relations.Output(display_name="relations", tooltip="The same, for Spatial Score."),
                Trace.Output(
                    display_name="steering_trace", tooltip="For Token Map Preview and Steering Report, after sampling."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, layout: dict | str | None = None) -> bool | str:
        """Refuse a layout of another form before anything runs."""
        return True if layout is None else complaint(lambda: layout_of(layout))

    @classmethod
    @in_ranges
    def execute(
        cls,
        model,
        clip,
        text: str,
        strength: float,
        how_long: float,
        spacing: float,
        update: str,
        layout: dict | str | None = None,
    ) -> io.NodeOutput:
        """Encode the text, and steer a clone of the model by its relations, or by those of the layout."""
        conditioning, scene = encode_prompt(clip, text, laid_out(read_prompt(text), layout_of(layout)))
        schedule = SteeringSchedule(UPDATES[update], end=how_long, strength=strength)
        steered_model, log = steered(model, scene, CentroidLoss(margin=spacing), schedule)
        return io.NodeOutput(
            steered_model, conditioning, scene.summary(), scene, log, ui={"prompt": [scene.scene.as_written]}
        )
