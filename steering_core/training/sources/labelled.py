"""Pictures whose labels were given in words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from PIL import Image

from ...parser import parse
from ...relations.relation import CARDINAL_RELATIONS, Relation
from .example import Example


class LabelledPictures:
    """Pictures with a label in words each, such as "a dog to the left of a cat".

    Raises:
        ValueError: there are not as many labels as pictures, or one states no relation, several, or
            another than left, right, above and below.
    """

    def __init__(self, pictures: Sequence[Image.Image], labels: Sequence[str]) -> None:
        if len(labels) != len(pictures):
            raise ValueError(
                f"labels: a line for each of the {len(pictures)} pictures was expected, and there are {len(labels)}."
            )
        self._pictures, self._labels = pictures, tuple(labels)
        self._relations = [_labelled_relation(label) for label in labels]

    @property
    def description(self) -> dict[str, Any]:
        """See ``Source``; the pictures are told apart by a hash."""
        digest = hashlib.sha256()
        for picture in self._pictures:
            digest.update(picture.tobytes())
        return {"kind": "labelled", "labels": list(self._labels), "pictures": digest.hexdigest()}

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Example:
        return Example(f"{index:07d}", self._pictures[index], *self._relations[index])


def _labelled_relation(label: str) -> tuple[str, Relation, str]:
    relations = parse(label).relations
    if len(relations) == 1:
        relation, object = relations[0].relation, relations[0].object
        if isinstance(relation, Relation) and relation in CARDINAL_RELATIONS and object is not None:
            return relations[0].subject.text, relation, object.text
    raise ValueError(
        f'labels: "{label}" was expected to state one relation of two objects, left, right, above or below.'
    )
