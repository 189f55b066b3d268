"""Photographs with boxes, as COCO and GQA have them: what both share."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ...detection.boxes import Box
from ...files.paths import path_within
from ...files.whole import sha256_of
from ...pictures import opened_picture
from ...relations.relation import Relation
from ...wording import brief
from .clear_relation import unambiguous_relation
from .example import Example

#: Of a picture with more objects, only so many are paired: there are as many pairs as the square of them.
_MOST_PAIRED = 100
#: A photograph is in one of these.
_PICTURE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
#: An object of which less than this share lies in the square that is recorded is not seen there.
_LEAST_WITHIN = 0.5
#: Left, top, width and height in pixels.
BoxInPixels = tuple[float, float, float, float]


@dataclass(frozen=True)
class Annotated:
    """A picture's file, its (width, height), and the pairs in it whose relation is beyond dispute."""

    file: Path
    size: tuple[int, int]
    pairs: tuple[tuple[str, Relation, str], ...]


class AnnotatedPictures:
    """Photographs with boxes: one pair of each picture that has an unambiguous one.

    Of several pairs the one is taken whose relation is the rarest so far, so that the four come
    about equally often. Made by ``coco_pictures`` and ``gqa_pictures``.

    Raises:
        ValueError: no picture has such a pair; for an index, its picture is damaged, or of another shape than its
            annotations say.
    """

    def __init__(
        self, annotations: Path, pictures: Iterable[Annotated], description: Mapping[str, Any], seed: int
    ) -> None:
        self.description = {**description, "seed": seed}
        rng = np.random.default_rng((seed, 7))
        taken: Counter[Relation] = Counter()
        self._chosen: list[tuple[Annotated, tuple[str, Relation, str]]] = []
        for picture in pictures:
            if picture.pairs:
                ties = rng.permutation(len(picture.pairs))
                best = min(range(len(ties)), key=lambda index: (taken[picture.pairs[index][1]], ties[index]))
                taken[picture.pairs[best][1]] += 1
                self._chosen.append((picture, picture.pairs[best]))
        if not self._chosen:
            raise ValueError(
                f"{annotations}: no picture has a pair of objects whose relation is beyond dispute. Give annotations "
                f"of pictures in which two things, the only ones of their kind there, lie clearly side by side or one "
                f"above the other."
            )

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Example:
        chosen, (subject, relation, object) = self._chosen[index]
        return Example(f"{index:07d}", _read_picture(chosen.file, chosen.size), subject, relation, object)


@dataclass(frozen=True)
class Sized:
    """Something with sides in pixels.

    Raises:
        ValueError: a side is less than one.
    """

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"width and height must be 1 or more, not {self.width} and {self.height}.")

    def in_square(self, box: BoxInPixels) -> Box | None:
        """A box in the square of the picture's centre, to which a recording cuts it.

        None if less than half of it is there; what lies beyond the picture counts for nothing.
        """
        seen = Box.of_pixels(box, self.width, self.height).area * self.width * self.height
        side = min(self.width, self.height)
        left, top = box[0] - (self.width - side) / 2, box[1] - (self.height - side) / 2
        within = Box.of_pixels((left, top, box[2], box[3]), side, side)
        return within if within.area * side**2 >= _LEAST_WITHIN * seen else None


def check_named(name: str) -> None:
    """Refuse a name without a word.

    Raises:
        ValueError: it has none.
    """
    if not name.strip():
        raise ValueError("a name must have a word.")


def check_box(box: BoxInPixels) -> None:
    """Refuse a box with a side below 0.

    Raises:
        ValueError: it has one.
    """
    if min(box[2:]) < 0:
        raise ValueError(f"the sides of a box must be 0 or more, not {box[2]} and {box[3]}.")


def told_apart(kind: str, file: Path) -> dict[str, str]:
    """What a dataset's manifest says of the file that it was made from: its name, and what was in it."""
    return {kind: file.name, "sha256": sha256_of(file)}


def clear_pairs(objects: Sequence[tuple[str, Box | None]]) -> tuple[tuple[str, Relation, str], ...]:
    """Ordered pairs of objects that occur once, with their relation where it is beyond dispute."""
    counts = Counter(_noun(name) for name, _ in objects)
    single = [(name, box) for name, box in objects if box is not None and counts[_noun(name)] == 1]
    pairs = []
    for (subject, first), (object, second) in itertools.permutations(single[:_MOST_PAIRED], 2):
        relation = unambiguous_relation(first, second)
        if relation is not None:
            pairs.append((subject, relation, object))
    return tuple(pairs)


def _noun(name: str) -> str:
    """The last word of a name in a common form, so that "black dogs" counts as a dog."""
    word = name.split()[-1].lower()
    return word.removesuffix("s") if not word.endswith("ss") else word


@dataclass(frozen=True)
class PictureFolder:
    """Where the pictures of an annotation file lie."""

    annotations: Path
    pictures: Path
    within: Path | None = None

    def annotated(self, name: str, size: Sized, pairs: tuple[tuple[str, Relation, str], ...]) -> Annotated:
        """A picture by the name and the size that the annotations have for it.

        Raises:
            ValueError: it has pairs and is missing, or lies where it may not; names the file.
        """
        file = self.pictures / name
        if self.within is not None:
            try:
                file = path_within(self.within, file)
            except ValueError as error:
                raise ValueError(f"{self.annotations}: {error}") from error
        # os.path passes over what could be no file's name.
        if pairs and not os.path.isfile(file):
            raise ValueError(
                f"{brief(str(file))} was expected: {self.annotations} names it. Give the folder that holds the "
                f"pictures."
            )
        return Annotated(file, (size.width, size.height), pairs)


def _read_picture(file: Path, size: tuple[int, int]) -> Image.Image:
    """A photograph in RGB, upright where its annotations have it so.

    Args:
        size: (width, height) by the annotations; a copy that was scaled will do.
    """
    with opened_picture(file, _PICTURE_FORMATS) as opened:
        upright = opened if _has_shape(opened.size, size) else ImageOps.exif_transpose(opened)
        picture = upright.convert("RGB")
    if not _has_shape(picture.size, size):
        raise ValueError(
            f"{file} has {picture.width} × {picture.height} pixels, where its annotations have {size[0]} × {size[1]}, "
            f"so that its boxes do not fit it. Give the picture that was annotated, or a scaled copy."
        )
    return picture


def _has_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one is the other scaled: to a pixel, for sides are rounded."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= max(*size, *other)
