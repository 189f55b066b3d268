"""Loading of the models that ship with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ..steering_core.backends.comfyui.miniature import load_miniature
from ..steering_core.miniature.folder import FLUX_MINIATURE_DIR, MINIATURE_DIR
from .types import CATEGORY

_UNET, _FLUX = "Stable Diffusion", "FLUX"
_FOLDERS = {_UNET: MINIATURE_DIR, _FLUX: FLUX_MINIATURE_DIR}


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
                "Loads one of the two small text-to-image models that ship with this pack: nothing to download. They "
                "draw one to five of 24 everyday objects at 128×128 pixels, and place them about as often wrong as "
                "right, which makes them a quick place to try steering."
            ),
            inputs=[
                io.Combo.Input(
                    "shape",
                    options=list(_FOLDERS),
                    default=_UNET,
                    optional=True,
                    tooltip=(
                        "Stable Diffusion: a UNet with cross-attention; 25 steps and cfg 5 suit it. FLUX: a "
                        "transformer in which text and image share an attention, and a rectified flow; 25 steps and "
                        "cfg 3.5 suit it."
                    ),
                )
            ],
            outputs=[
                io.Model.Output(tooltip="The denoiser. Works with KSampler and every other sampler node."),
                io.Clip.Output(tooltip="The text encoder that the model was trained with, or both of them."),
                io.Vae.Output(tooltip="The autoencoder: 128×128 pixels to a 16×16 latent and back."),
            ],
        )

    @classmethod
    def execute(cls, shape: str = _UNET) -> io.NodeOutput:
        """Load a shipped folder."""
        return io.NodeOutput(*load_miniature(_FOLDERS[shape]))
