"""Objects found in pictures, and their places: what every detector gives and every score takes."""

from __future__ import annotations

from dataclasses import dataclass

#: x to the right and y downward, in shares of the picture's sides.
Point = tuple[float, float]

#: Decimals of a pixel beyond which there is but what rounding has left.
_DIGITS = 5


@dataclass(frozen=True)
class Box:
    """An object's place in a picture: left, top, width and height in shares of its sides."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def of_pixels(cls, box: tuple[float, float, float, float], width: int, height: int) -> Box:
        """Of left, top, width and height in pixels of a picture of this size; what lies beyond it is cut off."""
        left, right = (min(max(x / width, 0.0), 1.0) for x in (box[0], box[0] + box[2]))
        top, bottom = (min(max(y / height, 0.0), 1.0) for y in (box[1], box[1] + box[3]))
        return cls(left, top, max(right - left, 0.0), max(bottom - top, 0.0))

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """Left, top, width and height."""
        return self.left, self.top, self.width, self.height

    @property
    def centre(self) -> Point:
        """(x, y)."""
        return self.left + self.width / 2, self.top + self.height / 2

    def offset_from(self, other: Box, size: tuple[int, int]) -> Point:
        """From the other's centre to this one's, in pixels of a picture of this (width, height)."""
        (x, y), (other_x, other_y) = self.centre, other.centre
        return round((x - other_x) * size[0], _DIGITS), round((y - other_y) * size[1], _DIGITS)

    @property
    def area(self) -> float:
        """As a share of the picture's."""
        return self.width * self.height

    def common_area(self, other: Box) -> float:
        """What both cover, as a share of the picture's area."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def overlap(self, other: Box) -> float:
        """The common area, as a share of the smaller box."""
        return self.common_area(other) / min(self.area, other.area)

    def iou(self, other: Box) -> float:
        """The common area over that of both together; 0 where neither has any."""
        common = self.common_area(other)
        together = self.area + other.area - common
        return common / together if together else 0.0


@dataclass(frozen=True)
class Found:
    """An object that a detector found.

    Attributes:
        label: the detector's name for it.
        score: the higher, the surer.
    """

    label: str
    box: Box
    score: float = 1.0
