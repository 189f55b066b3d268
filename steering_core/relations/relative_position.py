"""Where a point lies as seen from a point of reference: what relations of two objects have in common with places."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, TypeVar

Position = TypeVar("Position", bound="RelativePosition")

#: Decimals of a share of the picture's width beyond which there is but what rounding has left: centres of pixels that
#: are the same must not differ.
_DIGITS = 10


class RelativePosition(str, Enum):
    """In a direction from the point of reference; or near it, where there is no direction.

    A member is written as one row: its name in files and choices, its direction, its phrase.

    Attributes:
        direction: signs (dx, dy) of the point minus the point of reference, y downward; 0 where an axis is left free.
        phrase: in words, to be put after a noun phrase.
    """

    _value_: str
    direction: tuple[int, int]
    phrase: str

    # Only the name is spelled out: to a type checker Relation("left_of"), which looks a member up, is a call of this.
    def __new__(cls, name: str, *row: Any) -> RelativePosition:
        """A member of a row."""
        member = str.__new__(cls, name)
        member._value_, (member.direction, member.phrase) = name, row
        return member

    @classmethod
    def of(cls: type[Position], direction: tuple[int, int]) -> Position:
        """That of a direction, (0, 0) for the one that has none."""
        return next(member for member in cls if member.direction == direction)

    @classmethod
    def towards(cls: type[Position], offset: tuple[float, float]) -> Position:
        """The one whose direction is closest to an offset (dx, dy), of those that have one."""

        def cosine(member: Position) -> float:
            x, y = member.direction
            return (offset[0] * x + offset[1] * y) / math.hypot(x, y)

        return max((member for member in cls if any(member.direction)), key=cosine)

    @property
    def reach(self) -> float:
        """Without a direction: how far from the point of reference it holds, in widths of the image."""
        raise NotImplementedError

    def margin(self, offset: tuple[float, float]) -> float:
        """How far an offset (dx, dy) goes in the direction, the less far of both axes; without one, how far it falls
        short of ``reach``. Negative where the position is missed; in widths of the image."""
        if any(self.direction):
            margin = min(part * sign for part, sign in zip(offset, self.direction) if sign)
        else:
            margin = self.reach - math.hypot(*offset)
        return round(margin, _DIGITS)

    def holds_at(self, offset: tuple[float, float]) -> bool:
        """Whether an offset (dx, dy) goes strictly in the direction; without one, whether it is at most ``reach``."""
        margin = self.margin(offset)
        return margin > 0 if any(self.direction) else margin >= 0
