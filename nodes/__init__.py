"""The pack's ComfyUI nodes: each a schema and one call into the core."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .boxes import AreasOfObjects, BoundingBoxesToPlaces
from .learned import LearnedRelationLoss, LoadRelationClassifier
from .losses import CentroidLossNode, CombineLosses, PresenceLossNode
from .miniature import LoadMiniatureModel
from .prompt import SpatialPrompt
from .relations import EditRelations, SceneLayout, SpatialRelation, SpatialRelationParser
from .report import SteeringReport, TokenMapPreview
from .routes import add_routes
from .sampling import ApplySpatialSteering, SteeredKSampler
from .schedule import SteeringScheduleNode
from .score import DetectMiniatureObjects, KeepBest, SpatialScore
from .training import RecordRelationMaps, TrainRelationClassifier

#: All nodes by their ids, which saved workflows refer to: they never change.
NODE_CLASS_MAPPINGS: dict[str, type[io.ComfyNode]] = {
    "SpatialSteeringLoadMiniatureModel": LoadMiniatureModel,
    "SpatialSteeringSpatialPrompt": SpatialPrompt,
    "SpatialSteeringRelationParser": SpatialRelationParser,
    "SpatialSteeringSpatialRelation": SpatialRelation,
    "SpatialSteeringEditRelations": EditRelations,
    "SpatialSteeringSceneLayout": SceneLayout,
    "SpatialSteeringBoundingBoxesToPlaces": BoundingBoxesToPlaces,
    "SpatialSteeringAreasOfObjects": AreasOfObjects,
    "SpatialSteeringCentroidLoss": CentroidLossNode,
    "SpatialSteeringPresenceLoss": PresenceLossNode,
    "SpatialSteeringLoadRelationClassifier": LoadRelationClassifier,
    "SpatialSteeringLearnedRelationLoss": LearnedRelationLoss,
    "SpatialSteeringCombineLosses": CombineLosses,
    "SpatialSteeringRecordRelationMaps": RecordRelationMaps,
    "SpatialSteeringTrainRelationClassifier": TrainRelationClassifier,
    "SpatialSteeringSteeringSchedule": SteeringScheduleNode,
    "SpatialSteeringApplySpatialSteering": ApplySpatialSteering,
    "SpatialSteeringSteeredKSampler": SteeredKSampler,
    "SpatialSteeringTokenMapPreview": TokenMapPreview,
    "SpatialSteeringSteeringReport": SteeringReport,
    "SpatialSteeringDetectMiniatureObjects": DetectMiniatureObjects,
    "SpatialSteeringSpatialScore": SpatialScore,
    "SpatialSteeringKeepBest": KeepBest,
}


class SpatialSteeringExtension(ComfyExtension):
    """What ComfyUI asks a pack for."""

    async def on_load(self) -> None:
        """The front end's questions are answered from now on."""
        add_routes()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes of the pack."""
        return list(NODE_CLASS_MAPPINGS.values())
