"""Labelled pictures: which relation do two objects have in it?

Every source is a sequence of examples that can be read in any order, so that several processes
share it, and a stopped recording goes on where it was.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ..described import brief, described, one_line, read_json
from ..miniature.world import (
    IMAGE_SIZE,
    MAX_OBJECTS,
    OBJECTS,
    is_unseen_pair,
    render,
    sample_layout,
    sample_objects,
    unseen_pairs,
)
from ..parser import parse
from ..places import path_within
from ..relations import CARDINAL_RELATIONS, Relation, SpatialRelation

#: Boxes that share more than this much of the smaller one leave it open how they lie.
_MOST_OVERLAP = 0.25
#: Objects whose box has less than this share of the picture's area are hardly seen by the model.
_LEAST_AREA = 0.01
#: A relation must hold by this share of the picture's side between the centres …
_LEAST_DISTANCE = 0.1
#: … and the distance along its axis be so many times that across it, or a diagonal is as true.
_LEAST_DOMINANCE = 1.5
#: Of a picture with more objects, only so many are paired: there are as many pairs as the square of them.
_MOST_PAIRED = 100
#: A photograph is in one of these; Pillow reads others by running programs.
_PICTURE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


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


@dataclass(frozen=True)
class Box:
    """An object's place in a picture: left, top, width and height in shares of its sides."""

    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """As a share of the picture's."""
        return self.width * self.height

    def overlap(self, other: Box) -> float:
        """The common area, as a share of the smaller box."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height) / min(self.area, other.area)


def unambiguous_relation(subject: Box, object: Box) -> Relation | None:
    """The one of ``CARDINAL_RELATIONS`` that clearly holds; none where that could be disputed.

    Both boxes have at least 1 % of the picture, share at most a quarter of the smaller one, and
    their centres lie at least a tenth of the side apart, along one axis 1.5 times as far as along
    the other.
    """
    if min(subject.area, object.area) < _LEAST_AREA or subject.overlap(object) > _MOST_OVERLAP:
        return None
    dx = subject.left + subject.width / 2 - object.left - object.width / 2
    dy = subject.top + subject.height / 2 - object.top - object.height / 2
    along, across = max(abs(dx), abs(dy)), min(abs(dx), abs(dy))
    if along < _LEAST_DISTANCE or along < _LEAST_DOMINANCE * across:
        return None
    if abs(dx) > abs(dy):
        return Relation.LEFT_OF if dx < 0 else Relation.RIGHT_OF
    return Relation.ABOVE if dy < 0 else Relation.BELOW


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


@dataclass(frozen=True)
class _Annotated:
    """A picture's file and the pairs in it whose relation is beyond dispute."""

    file: Path
    pairs: tuple[tuple[str, Relation, str], ...]


class AnnotatedPictures:
    """Photographs with boxes: one pair of each picture that has an unambiguous one.

    Of several pairs the one is taken whose relation is the rarest so far, so that the four come
    about equally often. Made by ``coco_pictures`` and ``gqa_pictures``.

    Raises:
        ValueError: no picture has such a pair; for an index, its picture is damaged.
    """

    def __init__(self, pictures: Iterable[_Annotated], description: Mapping[str, Any], seed: int) -> None:
        self.description = {**description, "seed": seed}
        rng = np.random.default_rng((seed, 7))
        taken: Counter[Relation] = Counter()
        self._chosen: list[tuple[Path, tuple[str, Relation, str]]] = []
        for picture in pictures:
            if picture.pairs:
                ties = rng.permutation(len(picture.pairs))
                best = min(range(len(ties)), key=lambda index: (taken[picture.pairs[index][1]], ties[index]))
                taken[picture.pairs[best][1]] += 1
                self._chosen.append((picture.file, picture.pairs[best]))
        if not self._chosen:
            raise ValueError(f"No picture has a pair of objects whose relation is beyond dispute: {self.description}")

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Example:
        file, (subject, relation, object) = self._chosen[index]
        return Example(f"{index:07d}", _read_picture(file), subject, relation, object)


def coco_pictures(annotations: Path, pictures: Path, seed: int, within: Path | None = None) -> AnnotatedPictures:
    """A folder of pictures with boxes in COCO's JSON format.

    A pair counts if each of its categories occurs once in the picture, no crowd among them, and
    ``unambiguous_relation`` finds one. Of more than 100 objects in a picture the first 100 are paired.

    Args:
        annotations: JSON with ``images``, ``annotations`` and ``categories``.
        pictures: folder in which the ``file_name`` of every image lies.
        within: a folder that the pictures may not lie outside of, links followed.

    Raises:
        ValueError: the file is not of this format, names the entry; a picture is missing or lies elsewhere; or no
            pair is left.
        OSError: the file cannot be read.
    """
    content = described(_Coco, read_json(annotations), str(annotations), strict=False)
    names = {category.id: category.name for category in content.categories}
    boxes: dict[_Id, list[tuple[str, Box | None]]] = {image.id: [] for image in content.images}
    sizes = {image.id: image for image in content.images}
    for number, annotation in enumerate(content.annotations):
        image, name = sizes.get(annotation.image_id), names.get(annotation.category_id)
        if image is None or name is None:
            unknown = ("image", annotation.image_id) if image is None else ("category", annotation.category_id)
            raise ValueError(f"{annotations}: annotations[{number}]: there is no {unknown[0]} {brief(unknown[1])}.")
        box = None if annotation.iscrowd else _relative(annotation.bbox, image.width, image.height)
        boxes[annotation.image_id].append((name, box))
    folder = _Folder(annotations, pictures, within)
    annotated = [folder.annotated(image.file_name, _pairs(boxes[image.id])) for image in content.images]
    return AnnotatedPictures(annotated, {"kind": "coco", **_told_apart("annotations", annotations)}, seed)


_Id = int | str
_Corner = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Sized:
    """Something with sides in pixels."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"width and height must be 1 or more, not {self.width} and {self.height}.")


@dataclass(frozen=True)
class _CocoImage(_Sized):
    id: _Id
    file_name: str


@dataclass(frozen=True)
class _CocoCategory:
    id: _Id
    name: str

    def __post_init__(self) -> None:
        _check_named(self.name)


@dataclass(frozen=True)
class _CocoAnnotation:
    image_id: _Id
    category_id: _Id
    bbox: _Corner
    iscrowd: int | bool = 0

    def __post_init__(self) -> None:
        _check_box(self.bbox)


@dataclass(frozen=True)
class _Coco:
    images: tuple[_CocoImage, ...]
    annotations: tuple[_CocoAnnotation, ...]
    categories: tuple[_CocoCategory, ...]

    def __post_init__(self) -> None:
        for kind, parts in (("images", self.images), ("categories", self.categories)):
            if twice := [id for id, count in Counter(part.id for part in parts).items() if count > 1]:
                raise ValueError(f"each of the {kind} must have an id of its own; twice there are {brief(twice)}.")


def gqa_pictures(scene_graphs: Path, pictures: Path, seed: int, within: Path | None = None) -> AnnotatedPictures:
    """The pictures of GQA with their scene graphs (Hudson and Manning 2019).

    A pair counts if the graph states one of the four relations for it, ``unambiguous_relation``
    finds the same one in the boxes, and no other object of the picture has the name, or the noun
    at the name's end, of either. Of more than 100 objects in a picture the first 100 are paired.

    Args:
        scene_graphs: such as ``train_sceneGraphs.json``.
        pictures: folder with ``IMAGE_ID.jpg``.
        within: a folder that the pictures may not lie outside of, links followed.

    Raises:
        ValueError: the file is not of this format, names the entry; a picture is missing or lies elsewhere; or no
            pair is left.
        OSError: the file cannot be read.
    """
    content = described(_Gqa, {"graphs": read_json(scene_graphs)}, str(scene_graphs), strict=False)
    folder, annotated = _Folder(scene_graphs, pictures, within), []
    for image, graph in content.graphs.items():
        boxes: list[tuple[str, Box | None]] = [
            (one.name, _relative((one.x, one.y, one.w, one.h), graph.width, graph.height))
            for one in graph.objects.values()
        ]
        stated = {
            (subject.name, relation.name, graph.objects[relation.object].name)
            for subject in graph.objects.values()
            for relation in subject.relations
        }
        pairs = tuple(pair for pair in _pairs(boxes) if (pair[0], pair[1].phrase, pair[2]) in stated)
        annotated.append(folder.annotated(f"{image}.jpg", pairs))
    return AnnotatedPictures(annotated, {"kind": "gqa", **_told_apart("scene_graphs", scene_graphs)}, seed)


@dataclass(frozen=True)
class _GqaRelation:
    name: str
    object: str


@dataclass(frozen=True)
class _GqaObject:
    name: str
    x: float
    y: float
    w: float
    h: float
    relations: tuple[_GqaRelation, ...]

    def __post_init__(self) -> None:
        _check_named(self.name)
        _check_box((self.x, self.y, self.w, self.h))


@dataclass(frozen=True)
class _GqaGraph(_Sized):
    objects: dict[str, _GqaObject]

    def __post_init__(self) -> None:
        super().__post_init__()
        for subject in self.objects.values():
            for relation in subject.relations:
                if relation.object not in self.objects:
                    raise ValueError(f"a relation has the object {brief(relation.object)}, which there is not.")


@dataclass(frozen=True)
class _Gqa:
    graphs: dict[str, _GqaGraph]


def _check_named(name: str) -> None:
    if not name.strip():
        raise ValueError("a name must have a word.")


def _check_box(box: _Corner) -> None:
    if min(box[2:]) < 0:
        raise ValueError(f"the sides of a box must be 0 or more, not {box[2]} and {box[3]}.")


def _told_apart(kind: str, file: Path) -> dict[str, str]:
    """What a dataset's manifest says of the file that it was made from: its name, and what was in it."""
    return {kind: file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def _pairs(objects: Sequence[tuple[str, Box | None]]) -> tuple[tuple[str, Relation, str], ...]:
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
class _Folder:
    """Where the pictures of an annotation file lie."""

    annotations: Path
    pictures: Path
    within: Path | None

    def annotated(self, name: str, pairs: tuple[tuple[str, Relation, str], ...]) -> _Annotated:
        """A picture by the name that the annotations have for it."""
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
        return _Annotated(file, pairs)


def _relative(box: _Corner, width: int, height: int) -> Box:
    """(left, top, width, height) in pixels to shares of the picture's sides; what lies beyond these is cut off."""
    left, right = (min(max(x / width, 0.0), 1.0) for x in (box[0], box[0] + box[2]))
    top, bottom = (min(max(y / height, 0.0), 1.0) for y in (box[1], box[1] + box[3]))
    return Box(left, top, right - left, bottom - top)


def _read_picture(file: Path) -> Image.Image:
    """A photograph in RGB."""
    try:
        with Image.open(file, formats=_PICTURE_FORMATS) as picture:
            return picture.convert("RGB")
    except Exception as error:  # Pillow's readers end in whatever a damaged file leads them to
        raise ValueError(f"{file} is no picture that can be read: {one_line(error)}") from error
