"""Places of an object in the picture."""

from __future__ import annotations

from .relative_position import RelativePosition

#: Of the picture, (x, y).
MIDDLE = (0.5, 0.5)
#: A centre at most this far from the middle, in widths of the image, lies in the center: a circle somewhat larger than
#: the middle one of nine fields.
CENTER_DISTANCE = 0.2


class Place(RelativePosition):
    """Where an object lies in the picture: a relation of it to the picture's middle, and to no other object."""

    AT_LEFT = "at_left", (-1, 0), "on the left"
    AT_RIGHT = "at_right", (1, 0), "on the right"
    AT_TOP = "at_top", (0, -1), "at the top"
    AT_BOTTOM = "at_bottom", (0, 1), "at the bottom"
    AT_CENTER = "at_center", (0, 0), "in the center"
    AT_TOP_LEFT = "at_top_left", (-1, -1), "in the upper left corner"
    AT_TOP_RIGHT = "at_top_right", (1, -1), "in the upper right corner"
    AT_BOTTOM_LEFT = "at_bottom_left", (-1, 1), "in the lower left corner"
    AT_BOTTOM_RIGHT = "at_bottom_right", (1, 1), "in the lower right corner"

    @property
    def reach(self) -> float:
        """Of the center: how far from the middle a centre may be that lies there, in widths of the image."""
        return CENTER_DISTANCE

    def holds(self, subject: tuple[float, float]) -> bool:
        """Whether a centre (x, y) lies there.

        As VISOR judges relations: at a side when it lies strictly beyond the middle to that side, in a corner when it
        does so on both axes; in the center when it is at most ``CENTER_DISTANCE`` from the middle.
        """
        return self.holds_at((subject[0] - MIDDLE[0], subject[1] - MIDDLE[1]))

    def displacement(self, subject: tuple[float, float]) -> float:
        """By how much a centre (x, y) lies there, in widths of the image, negative where it doesn't.

        How far it is beyond the middle, 0.5 at the picture's edge; of a corner the smaller of both axes. For
        ``AT_CENTER``, by how much its distance to the middle is less than ``CENTER_DISTANCE``.
        """
        return self.margin((subject[0] - MIDDLE[0], subject[1] - MIDDLE[1]))
