"""Scenes of the miniature's world."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...detection.boxes import Box
from ...miniature.world import (
    IMAGE_SIZE,
    MAX_OBJECTS,
    OBJECTS,
    is_unseen_pair,
    render,
    sample_layout,
    sample_objects,
    unseen_pairs,
)
from ...relations.relation import CARDINAL_RELATIONS
from .clear_relation import unambiguous_relation
from .example import Example


class MiniatureScenes:
    """Pictures of two objects of the miniature's world, the four relations equally often.

    Args:
        count: how many.
        seed: of names and places.
        unseen_pairs: take only the pairs that the miniature never saw together, or only the others.
        without: objects that never occur.
        others: at most so many more objects are in a picture, which its label does not name.

    Raises:
        ValueError: an object is not of this world, fewer than two are left, or the others do not fit in.
    """

    def __init__(
        self, count: int, seed: int, unseen_pairs: bool = False, without: Sequence[str] = (), others: int = 0
    ) -> None:
        unknown = set(without) - set(OBJECTS)
        if unknown:
            raise ValueError(f"The miniature's world has no {', '.join(sorted(unknown))}, only {', '.join(OBJECTS)}.")
        if not 0 <= others <= MAX_OBJECTS - 2:
            raise ValueError(f"A scene has {MAX_OBJECTS} objects at most: others must be 0 to {MAX_OBJECTS - 2}.")
        self._count, self._seed, self._others = count, seed, others
        self._unseen, self._without = unseen_pairs, tuple(without)
        left = itertools.combinations([name for name in OBJECTS if name not in without], 2)
        if not any(is_unseen_pair(*pair) == unseen_pairs for pair in left):
            raise ValueError(f"No pair of objects is left without {', '.join(without)}.")

    @property
    def description(self) -> dict[str, Any]:
        """See ``Source``."""
        return {
            "kind": "miniature",
            "seed": self._seed,
            "unseen_pairs": self._unseen,
            "without": list(self._without),
            "others": self._others,
            "count": self._count,
        }

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng((self._seed, 6, index))
        wanted = CARDINAL_RELATIONS[index % len(CARDINAL_RELATIONS)]
        names = self._names(rng)
        shown = [*names, *self._more(rng, names)]
        while True:
            layout = sample_layout(rng, shown)
            boxes = [
                Box(*(value / IMAGE_SIZE for value in (*placement.box[:2], placement.width, placement.height)))
                for placement in layout.placements[:2]
            ]
            if unambiguous_relation(*boxes) is wanted:
                return Example(f"{index:07d}", Image.fromarray(render(layout)), names[0], wanted, names[1])

    def _names(self, rng: np.random.Generator) -> list[str]:
        while True:
            if self._unseen:
                pairs = unseen_pairs()
                names = list(pairs[rng.integers(len(pairs))])
                rng.shuffle(names)
            else:
                names = sample_objects(rng, 2)
            if not set(names) & set(self._without):
                return names

    def _more(self, rng: np.random.Generator, names: Sequence[str]) -> list[str]:
        """Objects beside those of the label, none in a pair that the miniature never saw."""
        wanted = int(rng.integers(self._others + 1)) if self._others else 0
        return sample_objects(rng, wanted, names, self._without) if wanted else []
