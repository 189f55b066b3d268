"""Evaluations in which nothing is drawn: what a detector would have found is written down as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from benchmarks import measuring
from steering_core.evaluation.arms import Arm
from steering_core.evaluation.cost import Cost
from steering_core.evaluation.folder import EvaluationFolder
from steering_core.evaluation.suites import Triplet

#: From one object of a chain to the next, what keeps those apart that would stand at one place, and their sides.
_STRIDE, _APART, _SIDE = 0.2, 0.01, 0.1


def as_if_drawn(
    monkeypatch,
    right: Callable[[str, int], bool] = lambda arm, at: True,
    cost: Callable[[str], Cost] = lambda arm: Cost(1.0, 0.0, 0.0),
) -> list[tuple[EvaluationFolder, str, int]]:
    """From now on measurements find all objects, and the relations as it is said; what is asked of them.

    Args:
        right: of an arm's name and the place of a seed whether the picture is right.
        cost: of an arm's pictures.
    """
    asked = []

    def draw_and_look(folder: EvaluationFolder, arm: Arm, number: int, batch: int | None) -> None:
        asked.append((folder, arm.name, number))
        relations = folder.suite.prompts[number].relations
        found = [_found(relations, right(arm.name, at)) for at in range(len(folder.suite.seeds))]
        file = folder.folder / "arms" / arm.name / "found" / f"{number:06d}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"size": [128, 128], "found": found}))

    monkeypatch.setattr(measuring, "draw_and_look", draw_and_look)
    monkeypatch.setattr(EvaluationFolder, "cost", lambda folder, arm, numbers: cost(arm))
    return asked


def _found(relations: Sequence[Triplet], right: bool) -> list[list]:
    """The objects of a chain, each where its relation to the one before says, or on the other side."""
    x, y = 0.5, 0.5
    found = [[relations[0][0], x, y, _SIDE, _SIDE, 1.0]]
    for _, relation, name in relations:
        dx, dy = relation.direction if right else relation.inverse.direction
        x, y = x - dx * _STRIDE + _APART, y - dy * _STRIDE + _APART
        found.append([name, x, y, _SIDE, _SIDE, 1.0])
    return found
