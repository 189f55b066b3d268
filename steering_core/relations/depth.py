"""Depth in the picture."""

from __future__ import annotations

from enum import Enum


class Depth(str, Enum):
    """What is nearer to the viewer. It is read and told, but nothing steers it: no axis of the picture holds it.

    Attributes:
        phrase: in words, to be put after a noun phrase, and before another where it relates two.
    """

    _value_: str
    phrase: str

    IN_FRONT_OF = "in_front_of", "in front of"
    BEHIND = "behind", "behind"
    IN_FOREGROUND = "in_foreground", "in the foreground"
    IN_BACKGROUND = "in_background", "in the background"

    def __new__(cls, name: str, phrase: str) -> Depth:
        """A member of a row: its name, its phrase."""
        member = str.__new__(cls, name)
        member._value_, member.phrase = name, phrase
        return member

    @property
    def inverse(self) -> Depth:
        """Of what relates two: the depth of the object to the subject."""
        return Depth.BEHIND if self is Depth.IN_FRONT_OF else Depth.IN_FRONT_OF
