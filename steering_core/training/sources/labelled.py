"""Pictures whose labels were given in words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from PIL import Image

from ...parser import parse
from ...relations import CARDINAL_RELATIONS, SpatialRelation
from .example import Example


class LabelledPictures:
    """Pictures with a label in words each, such as "a dog to the left of a cat".

    Raises:
        ValueError: there are not as many labels as pictures, or one states no relation, several, or
            another than left, right, above and below.
    """

    def __init__(self, pictures: Sequence[Image.Image], labels: Sequence[str]) -> None:
        if len(labels) != len(pictures):
            raise ValueError(f"A label for each of the {len(pictures)} pictures was expected, not {len(labels)}.")
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
        relation = self._relations[index]
        picture = self._pictures[index]
        return Example(f"{index:07d}", picture, relation.subject.text, relation.relation, relation.object.text)


def _labelled_relation(label: str) -> SpatialRelation:
    relations = parse(label).relations
    if len(relations) != 1 or relations[0].relation not in CARDINAL_RELATIONS:
        raise ValueError(
            f'The label "{label}" was expected to state one relation of two objects, left, right, above or below.'
        )
    return relations[0]
