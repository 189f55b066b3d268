"""ComfyUI-Spatial-Steering: spatial relations in a prompt come true while the image is sampled."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The pack's nodes, for ComfyUI."""
    from .nodes import SpatialSteeringExtension

    return SpatialSteeringExtension()
