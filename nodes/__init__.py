"""The pack's ComfyUI nodes: each a schema and one call into the core."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .losses import CentroidLossNode
from .miniature import LoadMiniatureModel
from .relations import SpatialRelationParser
from .sampling import SteeredKSampler

#: All nodes by their ids, which saved workflows refer to: they never change.
NODE_CLASS_MAPPINGS: dict[str, type[io.ComfyNode]] = {
    "SpatialSteeringLoadMiniatureModel": LoadMiniatureModel,
    "SpatialSteeringRelationParser": SpatialRelationParser,
    "SpatialSteeringCentroidLoss": CentroidLossNode,
    "SpatialSteeringSteeredKSampler": SteeredKSampler,
}


class SpatialSteeringExtension(ComfyExtension):
    """What ComfyUI asks a pack for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes of the pack."""
        return list(NODE_CLASS_MAPPINGS.values())
