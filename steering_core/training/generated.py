"""Pictures that the model draws itself, labelled by a detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ..detection.detectors import ObjectDetector
from ..relations.relation import CARDINAL_RELATIONS
from ..relations.scene import relation_scene
from .sources import Example, unambiguous_relation

#: Draws a prompt with a seed.
Draw = Callable[[str, int], Image.Image]

#: For so many pictures the wanted relation is waited for; after that any that is beyond dispute serves.
_PATIENCE = 25
#: A model that draws two objects beyond dispute less than once in so many pictures is as good as none.
_MOST_TRIES = 250


@dataclass(frozen=True)
class GeneratedPictures:
    """Pictures that a model draws of "A … B", with the relation that the detector sees in them.

    Each index wants one of the four relations, in turn, and draws until a picture shows it beyond
    dispute, with each of the two objects once; where that takes long, another relation will do.

    Attributes:
        draw: draws a prompt.
        detector: labels.
        objects: names of which two are drawn at a time.
        count: how many pictures.
        seed: of names and pictures.
        drawing: what the manifest says of the drawing, in plain values.

    Raises:
        ValueError: there are fewer than two objects, or the detector does not know one.
    """

    draw: Draw
    detector: ObjectDetector
    objects: tuple[str, ...]
    count: int
    seed: int
    drawing: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not 1 < len(self.objects) == len(set(self.objects)):
            raise ValueError(f"Two or more different objects were expected, not {', '.join(self.objects)}.")
        self.detector.check(self.objects)

    @property
    def description(self) -> dict[str, Any]:
        """See ``Source``."""
        return {
            "kind": "generated",
            "objects": list(self.objects),
            "detector": self.detector.description,
            "count": self.count,
            "seed": self.seed,
            **self.drawing,
        }

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng((self.seed, 10, index))
        wanted = CARDINAL_RELATIONS[index % len(CARDINAL_RELATIONS)]
        spare = None
        for number in range(_MOST_TRIES):
            subject, object = (self.objects[position] for position in rng.permutation(len(self.objects))[:2])
            picture = self.draw(relation_scene(subject, wanted, object).prompt, int(rng.integers(2**32)))
            found = self.detector.find(picture, (subject, object))
            boxes = {one.label: one.box for one in found}
            if len(found) == len(boxes) == 2:
                relation = unambiguous_relation(boxes[subject], boxes[object])
                if relation is not None and (spare is None or relation is wanted):
                    spare = Example(f"{index:07d}", picture, subject, relation, object)
            if spare is not None and (spare.relation is wanted or number >= _PATIENCE):
                return spare
        raise ValueError(
            f"In {_MOST_TRIES} pictures of two of {', '.join(self.objects)}, the detector found none with both in a "
            f"relation beyond dispute. Choose objects that the model draws well and the detector knows."
        )
