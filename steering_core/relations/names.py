"""What choices and files call relations and places."""

from __future__ import annotations

from .place import Place
from .relation import Relation

#: Of relations, of places, and of all that can be steered.
RELATION_NAMES = tuple(relation.value for relation in Relation)
PLACE_NAMES = tuple(place.value for place in Place)
STEERED_NAMES = (*RELATION_NAMES, *PLACE_NAMES)


def relation_named(name: str) -> Relation | Place:
    """The relation or place of a name such as "left_of" or "at_left".

    Raises:
        ValueError: there is none.
    """
    return Place(name) if name in PLACE_NAMES else Relation(name)
