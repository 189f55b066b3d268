"""More examples from the same records: what a mirror, or the other object's point of view, makes of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..relations.relation import CARDINAL_RELATIONS, Relation


def _renamed(inverts: Callable[[Relation], bool]) -> list[int]:
    """For each relation's position in ``CARDINAL_RELATIONS``, that of what it becomes."""
    becomes = [relation.inverse if inverts(relation) else relation for relation in CARDINAL_RELATIONS]
    return [CARDINAL_RELATIONS.index(relation) for relation in becomes]


#: Changes of maps (batch, 2, maps, H, W), each with what it makes of the relation.
_CHANGES: tuple[tuple[Callable[[Tensor], Tensor], list[int]], ...] = (
    (lambda maps: maps.flip(-1), _renamed(lambda relation: relation.direction[0] != 0)),
    (lambda maps: maps.flip(-2), _renamed(lambda relation: relation.direction[1] != 0)),
    (lambda maps: maps.flip(1), _renamed(lambda relation: True)),
)


def augmented(maps: Tensor, relation: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror each example left to right, top to bottom, and swap its objects, each at a chance of one half.

    Args:
        maps: (batch, 2, maps, H, W).
        relation: positions in ``CARDINAL_RELATIONS``, (batch,).
    """
    for change, renamed in _CHANGES:
        chosen = torch.rand(len(relation), device=relation.device) < 0.5
        maps = torch.where(chosen.view(-1, 1, 1, 1, 1), change(maps), maps)
        relation = torch.where(chosen, torch.tensor(renamed, device=relation.device)[relation], relation)
    return maps, relation
