"""Where in the picture each object of a scene belongs, by what its relations and places say.

On each axis, the objects of which something is said stand in an order. An object with others before it and others
after it on the longest such chain gets its own of as many equal bands as the chain has objects: of two objects each
gets a half, of three in a row each a third. What a relation asks for so holds between any two bands: with l objects
before and h after, a band is [l, l + 1] / (l + 1 + h), and of a before b, l grows by one at least and h falls by one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from .relations.place import Place
from .tokens import GroundedRelation, GroundedScene
from .wording import several

#: The picture's middle, among objects by their positions in the scene.
_MIDDLE = -1
#: On each side of what lies in the center, at least so many bands of its width: alone, it gets the middle half.
_BESIDE_CENTER = 0.5
_WHOLE = (0.0, 1.0)
#: Objects that are named with their regions at most.
_MOST_SAID = 8
#: Of the first, the middle and the last of two or three equal bands, by axis.
_SIDES = (("left", "middle", "right"), ("upper", "middle", "lower"))
_FRACTIONS = {2: "half", 3: "third"}

#: Of an axis, from where to where, as shares of it.
Band = tuple[float, float]
_Pair = tuple[int, int]


@dataclass(frozen=True)
class Region:
    """A part of the picture: bands of its width and of its height, as shares."""

    x: Band = _WHOLE
    y: Band = _WHOLE

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, upper, right, lower) as shares of the picture."""
        return self.x[0], self.y[0], self.x[1], self.y[1]

    def cells(self, height: int, width: int) -> Tensor:
        """Which cells of a grid lie in it by their centres, (height, width); in each direction at least one."""
        return _cells(self.y, height)[:, None] & _cells(self.x, width)

    def __str__(self) -> str:
        bands = [_band_in_words(band, axis) for axis, band in enumerate((self.x, self.y)) if band != _WHOLE]
        return " and ".join(bands)


@dataclass(frozen=True)
class Regions:
    """Of each object of a scene, in the scene's order.

    Attributes:
        names: see ``GroundedScene``.
        of_objects: none where an object may be anywhere: nothing is said of it that has a direction, or what is said
            contradicts itself.
        contradictory: the objects of which the latter is true, by their positions.
    """

    names: tuple[str, ...] = ()
    of_objects: tuple[Region | None, ...] = ()
    contradictory: frozenset[int] = field(default_factory=frozenset)

    @property
    def count(self) -> int:
        """How many objects are to be bound."""
        return sum(region is not None for region in self.of_objects)

    @property
    def any(self) -> bool:
        """Whether there is an object to be bound."""
        return self.count > 0

    def __str__(self) -> str:
        """What is bound where, and what is not, and why."""
        placed = [f"{name} in the {region}" for name, region in zip(self.names, self.of_objects) if region]
        why = {True: "its relations contradict one another", False: "no side is said"}
        free = [
            f"not {name}, {why[number in self.contradictory]}"
            for number, name in enumerate(self.names)
            if self.of_objects[number] is None
        ]
        return "; ".join([several(placed, ", ", _MOST_SAID) or "nothing", *([several(free)] if free else [])])


def regions_of(scene: GroundedScene) -> Regions:
    """Divide the picture among the objects of a scene, in time linear in its relations.

    "Next to" has no direction, and divides nothing. Objects that lie in a circle of relations on either axis, or
    between two such circles, are contradictory.
    """
    axes = [_Axis.of(scene.relations, axis) for axis in range(2)]
    bad = axes[0].contradictory | axes[1].contradictory
    kept = [relation for relation in scene.relations if bad.isdisjoint(relation.ends)]
    x, y = (_Axis.of(kept, axis).bands() for axis in range(2))
    regions = [Region(x.get(number, _WHOLE), y.get(number, _WHOLE)) for number in range(len(scene.names))]
    return Regions(scene.names, tuple(one if one != Region() else None for one in regions), frozenset(bad))


@dataclass(frozen=True)
class _Axis:
    """What is said of one axis.

    Attributes:
        orders: pairs of which the first lies before the second, each an object or none for the picture's middle.
        centered: objects that lie at the middle, and stand for it.
    """

    orders: tuple[tuple[int | None, int | None], ...]
    centered: frozenset[int]

    @classmethod
    def of(cls, relations: Sequence[GroundedRelation], axis: int) -> _Axis:
        """Of a scene's relations."""
        orders = []
        for one in relations:
            if sign := one.relation.direction[axis]:
                orders.append((one.subject, one.object) if sign < 0 else (one.object, one.subject))
        return cls(tuple(orders), frozenset(one.subject for one in relations if one.relation is Place.AT_CENTER))

    @property
    def contradictory(self) -> frozenset[int]:
        """The objects that lie in a circle, or between two."""
        before, after = _chains(self._pairs), _chains(_reversed(self._pairs))
        circling = {end for pair in self._pairs for end in pair if end not in before and end not in after}
        of_circles = [ends for ends, pair in zip(self.orders, self._pairs) if circling.issuperset(pair)]
        return frozenset(end for ends in of_circles for end in ends if end is not None)

    def bands(self) -> dict[int, Band]:
        """Of each object of which something is said; only where nothing is contradictory."""
        width = 1.0 if self.centered else 0.0
        both = (self._pairs, _reversed(self._pairs))
        beside = max(_BESIDE_CENTER * width, *(_chains(pairs, width).get(_MIDDLE, 0.0) for pairs in both))
        # As much on one side of the middle as on the other, so that it stays where it is.
        before, after = (_chains(pairs, width, beside) for pairs in both)
        bands = {end: _band(before[end], 1.0, after[end]) for end in before if end != _MIDDLE}
        return bands | dict.fromkeys(self.centered, _band(beside, 1.0, beside))

    @cached_property
    def _pairs(self) -> list[_Pair]:
        """The orders, with the middle in the place of what stands for it."""
        return [(self._standing_for(first), self._standing_for(second)) for first, second in self.orders]

    def _standing_for(self, end: int | None) -> int:
        return _MIDDLE if end is None or end in self.centered else end


def _chains(pairs: Sequence[_Pair], middle: float = 0.0, beside: float = 0.0) -> dict[int, float]:
    """How much lies before each end on the longest chain that leads to it; ends of circles and after them are left out.

    Args:
        pairs: of which the first comes before the second.
        middle: width of the middle; that of an object is 1.
        beside: at least so much lies before the middle.
    """
    following: dict[int, list[int]] = defaultdict(list)
    waiting: Counter[int] = Counter()
    for first, second in pairs:
        following[first].append(second)
        waiting[second] += 1
    before = {end: beside if end == _MIDDLE else 0.0 for pair in pairs for end in pair}
    done, ready = {}, [end for end in before if not waiting[end]]
    while ready:
        end = ready.pop()
        done[end] = before[end]
        for other in following[end]:
            before[other] = max(before[other], before[end] + (middle if end == _MIDDLE else 1.0))
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    return done


def _reversed(pairs: Sequence[_Pair]) -> list[_Pair]:
    return [(second, first) for first, second in pairs]


def _band(before: float, width: float, after: float) -> Band:
    whole = before + width + after
    return before / whole, (before + width) / whole


def _cells(band: Band, length: int) -> Tensor:
    """Which of so many cells in a row lie in a band by their middles; if none does, the one that holds its own."""
    start, end = band
    middles = (torch.arange(length) + 0.5) / length
    inside = (middles >= start) & (middles < end)
    if not inside.any():
        inside[int((start + end) / 2 * length)] = True
    return inside


def _band_in_words(band: Band, axis: int) -> str:
    """Such as "left half" or "25 % to 50 % of the height"."""
    start, end = band
    parts = round(1 / (end - start))
    if parts in _FRACTIONS and math.isclose(start * parts, round(start * parts)) and round(start * parts) < parts:
        sides = _SIDES[axis]
        number = round(start * parts)
        return f"{sides[-1] if number == parts - 1 else sides[number]} {_FRACTIONS[parts]}"
    if (start, end) == _band(_BESIDE_CENTER, 1.0, _BESIDE_CENTER):
        return "middle half"
    return f"{start:.0%} to {end:.0%} of the {('width', 'height')[axis]}"
