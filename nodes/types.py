"""The pack's own types of links, and the category of its nodes."""

from __future__ import annotations

from comfy_api.latest import io

CATEGORY = "Spatial Steering"

#: Carries a ``GroundedScene``.
Relations = io.Custom("RELATIONS")
#: Carries a ``SteeringLoss``.
Loss = io.Custom("STEERING_LOSS")
#: Carries a ``RelationClassifier``.
Classifier = io.Custom("RELATION_CLASSIFIER")
#: Carries the folder of a dataset, a ``Path``.
Dataset = io.Custom("RELATION_DATASET")
