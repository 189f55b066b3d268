"""Losses: functions of token maps and one relation, one value per image."""

from .base import MapsRead, SteeringLoss
from .centroid import CentroidLoss
from .combined import CombinedLoss
from .learned import LearnedLoss
from .presence import PresenceLoss

__all__ = ["CentroidLoss", "CombinedLoss", "LearnedLoss", "MapsRead", "PresenceLoss", "SteeringLoss"]
