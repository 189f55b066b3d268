"""The relation classifier of Learn-to-Steer: the maps that it reads, its network, its checkpoints."""

from .checkpoints import CLASSIFIERS_DIR, MINIATURE_CLASSIFIER, load_classifier, save_classifier
from .layout import MapLayout
from .network import RelationClassifier
from .published import UnknownNetworkError
from .settings import ClassifierSettings, TransformerSettings

__all__ = [
    "CLASSIFIERS_DIR",
    "MINIATURE_CLASSIFIER",
    "ClassifierSettings",
    "MapLayout",
    "RelationClassifier",
    "TransformerSettings",
    "UnknownNetworkError",
    "load_classifier",
    "save_classifier",
]
