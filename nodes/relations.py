"""Reading of spatial relations from a prompt."""

from __future__ import annotations

from comfy_api.latest import io

from ..steering_core.backends.comfyui import ground_prompt
from .types import CATEGORY, Relations


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
                "above, below, diagonals, next to, between. Connect both outputs to Steered KSampler. A prompt "
                "without relations is fine: it is then sampled unsteered."
            ),
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model that will sample."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip=(
                        'The prompt, for instance "a giraffe above an airplane" or "a cup to the left of a book and '
                        'a clock below a cat". Name each object; weights like (dog:1.2) are understood.'
                    ),
                ),
            ],
            outputs=[
                io.Conditioning.Output(tooltip="The encoded prompt, for the sampler's positive input."),
                Relations.Output(
                    display_name="relations",
                    tooltip="The relations found and the tokens of their objects, for Steered KSampler.",
                ),
                io.String.Output(display_name="summary", tooltip="What was understood, in words."),
            ],
        )

    @classmethod
    def execute(cls, clip, text: str) -> io.NodeOutput:
        """Encode the text and tie its relations to the tokens."""
        scene = ground_prompt(clip, text)
        conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        return io.NodeOutput(conditioning, scene, scene.summary())
