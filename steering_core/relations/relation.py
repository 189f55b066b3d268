"""Relations of an object to another."""

from __future__ import annotations

from .relative_position import RelativePosition

#: Centres at most this far apart, in widths of the image, count as near each other.
NEAR_DISTANCE = 0.5


class Relation(RelativePosition):
    """How the subject lies relative to the object. The phrase is put between the two."""

    LEFT_OF = "left_of", (-1, 0), "to the left of"
    RIGHT_OF = "right_of", (1, 0), "to the right of"
    ABOVE = "above", (0, -1), "above"
    BELOW = "below", (0, 1), "below"
    ABOVE_LEFT = "above_left", (-1, -1), "above and to the left of"
    ABOVE_RIGHT = "above_right", (1, -1), "above and to the right of"
    BELOW_LEFT = "below_left", (-1, 1), "below and to the left of"
    BELOW_RIGHT = "below_right", (1, 1), "below and to the right of"
    NEAR = "near", (0, 0), "next to"

    @property
    def directions(self) -> tuple[Relation, ...]:
        """The one or two of left, right, above and below that it is made of; none for ``NEAR``."""
        dx, dy = self.direction
        return tuple(Relation.of(part) for part, sign in (((0, dy), dy), ((dx, 0), dx)) if sign)

    @property
    def inverse(self) -> Relation:
        """The relation of the object to the subject."""
        dx, dy = self.direction
        return Relation.of((-dx, -dy))

    @property
    def reach(self) -> float:
        """Of a relation without a direction: how far apart centres may be that stand in it, in widths of the image."""
        return NEAR_DISTANCE

    def holds(self, subject: tuple[float, float], object: tuple[float, float]) -> bool:
        """Whether two centres (x, y) stand in this relation, as VISOR judges it.

        A direction holds when the centres differ strictly in its sign (Gokhale et al. 2022, VISOR,
        section 3); a diagonal when both of its directions do; ``NEAR`` when the distance is at
        most ``NEAR_DISTANCE``.
        """
        return self.holds_at((subject[0] - object[0], subject[1] - object[1]))

    def displacement(self, subject: tuple[float, float], object: tuple[float, float]) -> float:
        """By how much two centres (x, y) stand in this relation, negative where they don't.

        InfSplign eq. 8: how far the subject lies to the relation's side; of a diagonal the smaller of its
        two directions. For ``NEAR``, by how much the distance is less than ``NEAR_DISTANCE``.
        """
        return self.margin((subject[0] - object[0], subject[1] - object[1]))


#: The four relations of the VISOR benchmark.
CARDINAL_RELATIONS = (Relation.LEFT_OF, Relation.RIGHT_OF, Relation.ABOVE, Relation.BELOW)
