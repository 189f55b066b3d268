"""What a source is a sequence of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from ...relations.relation import Relation


@dataclass(frozen=True)
class Example:
    """One labelled picture.

    Attributes:
        key: names it within its source.
        picture: RGB.
        subject, object: names, singular.
        relation: of the subject to the object, one of ``CARDINAL_RELATIONS``.
    """

    key: str
    picture: Image.Image
    subject: str
    relation: Relation
    object: str


class Source(Protocol):
    """A sequence of examples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...

    @property
    def description(self) -> Mapping[str, Any]:
        """What it is, for the manifest of a dataset: plain values that tell it from every other."""
