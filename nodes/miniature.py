"""Loading of the models that ship with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ..steering_core.backends.comfyui.miniature import load_miniature
from ..steering_core.miniature.folder import FLUX_MINIATURE_DIR, MINIATURE_DIR
from .types import CATEGORY

#: What the node offers, by the names that saved workflows hold.
_FOLDERS = {"Stable Diffusion": MINIATURE_DIR, "FLUX": FLUX_MINIATURE_DIR}
_FIRST = next(iter(_FOLDERS))


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
                "Loads a small text-to-image model that ships with this pack: nothing to download. It draws one "
                "to five of 24 everyday objects at 128×128 pixels, and places them about as often wrong as right, "
                "which makes it a quick place to try steering."
            ),
            inputs=[
                io.Combo.Input(
                    "shape",
                    options=list(_FOLDERS),
                    default=_FIRST,
                    optional=True,  # workflows from before there was a second one go on with the first
                    tooltip=(
                        "Two models that draw the same world. Stable Diffusion: a UNet with cross-attention; cfg 5 "
                        "suits it. FLUX: a transformer with joint attention that samples a flow; cfg 3.5 and the "
                        "scheduler simple suit it."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The denoiser. Works with KSampler and every other sampler node."),
                io.Clip.Output(tooltip="The text encoder that the model was trained with."),
                io.Vae.Output(tooltip="The autoencoder: 128×128 pixels to a 16×16 latent and back."),
            ],
        )

    @classmethod
    def execute(cls, shape: str = _FIRST) -> io.NodeOutput:
        """Load a shipped folder."""
        return io.NodeOutput(*load_miniature(_FOLDERS[shape]))
