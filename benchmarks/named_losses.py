"""Losses by a name that travels between processes: "gelu", "learned", "gelu + 0.3 learned + 0.2 presence"."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.separation import SeparationLoss
from steering_core.classifier import MINIATURE_CLASSIFIER, RelationClassifier, load_classifier
from steering_core.losses import CentroidLoss, CombinedLoss, LearnedLoss, PresenceLoss, SteeringLoss
from steering_core.losses.centroid import FUNCTIONS


def named_loss(
    name: str,
    classifier: Path = MINIATURE_CLASSIFIER,
    layers: tuple[str, ...] = (),
    over_all_keys: bool = False,
    standardised: bool = True,
) -> SteeringLoss:
    """A centroid loss by its function, ``learned``, ``presence``, ``separation``, or a weighted sum of those.

    Args:
        classifier: of the learned loss.
        layers, over_all_keys: of the others; see ``CentroidLoss``.
        standardised: of the centroid losses, likewise.

    Raises:
        ValueError: a part of the name is none of these.
    """
    parts = name.split("+")
    reading = {"layers": layers, "over_all_keys": over_all_keys}
    terms = [_term(part, classifier, reading, standardised) for part in parts]
    return terms[0][0] if len(parts) == len(parts[0].split()) == 1 else CombinedLoss(tuple(terms))


def _term(part: str, classifier: Path, reading: dict[str, Any], standardised: bool) -> tuple[SteeringLoss, float]:
    """Such as "gelu" or "0.3 learned"."""
    weight, _, name = part.strip().rpartition(" ")
    if name in FUNCTIONS:
        loss: SteeringLoss = CentroidLoss(name, **reading, standardised=standardised)
    elif name == "learned":
        loss = LearnedLoss(_classifier(classifier))
    elif name == "presence":
        loss = PresenceLoss(**reading)
    elif name == "separation":
        loss = SeparationLoss(**reading)
    else:
        known = ", ".join((*FUNCTIONS, "learned", "presence", "separation"))
        raise ValueError(f"A loss must be one of {known}, not {name!r}.")
    return loss, float(weight or 1)


@cache
def _classifier(file: Path) -> RelationClassifier:
    return load_classifier(file)
