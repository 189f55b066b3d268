"""The pack's own types of links, and the category of its nodes."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "Spatial Steering"

#: Carries a ``GroundedScene``.
Relations = io.Custom("RELATIONS")
#: Carries a ``SteeringLoss``.
Loss = io.Custom("STEERING_LOSS")
#: Carries a ``SteeringSchedule``.
Schedule = io.Custom("STEERING_SCHEDULE")
#: Carries a ``RunLog``, which fills while samplers run.
Trace = io.Custom("STEERING_TRACE")
#: Carries a ``RelationClassifier``.
Classifier = io.Custom("RELATION_CLASSIFIER")
#: Carries the folder of a dataset, a ``Path``.
Dataset = io.Custom("RELATION_DATASET")

#: Widget of the front end (web/js/edit_relations.js): what ``edited`` takes.
RelationEdits = io.Custom("RELATION_EDITS")
#: Widget of the front end (web/js/scene_layout.js): what ``laid_out`` takes.
SceneLayoutValue = io.Custom("SCENE_LAYOUT")
