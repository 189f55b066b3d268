"""Loading of the model that ships with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ..steering_core.backends.comfyui.miniature import load_miniature
from ..steering_core.miniature.folder import MINIATURE_DIR
from .types import CATEGORY


class LoadMiniatureModel(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's outputs."""
        return io.Schema(
            node_id="SpatialSteeringLoadMiniatureModel",
            display_name="Load Miniature Model",
            category=CATEGORY,
            search_aliases=["miniature", "spatial steering checkpoint", "load checkpoint"],
            description=(
                "Loads the small text-to-image model that ships with this pack: nothing to download. It draws one "
                "to five of 24 everyday objects at 128×128 pixels, and places them about as often wrong as right, "
                "which makes it a quick place to try steering."
            ),
            inputs=[],
            outputs=[
                io.Model.Output(tooltip="The denoiser. Works with KSampler and every other sampler node."),
                io.Clip.Output(tooltip="The text encoder that the model was trained with."),
                io.Vae.Output(tooltip="The autoencoder: 128×128 pixels to a 16×16 latent and back."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        """Load the shipped folder."""
        return io.NodeOutput(*load_miniature(MINIATURE_DIR))
