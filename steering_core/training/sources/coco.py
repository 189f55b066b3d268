"""Photographs with boxes in COCO's JSON format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ...detection.boxes import Box
from ...files.described import described, read_json
from ...wording import brief
from .photographs import (
    AnnotatedPictures,
    BoxInPixels,
    PictureFolder,
    Sized,
    check_box,
    check_named,
    clear_pairs,
    told_apart,
)

_Id = int | str


def coco_pictures(annotations: Path, pictures: Path, seed: int, within: Path | None = None) -> AnnotatedPictures:
    """A folder of pictures with boxes in COCO's JSON format.

    A pair counts if each of its categories occurs once in the picture, no crowd among them, and
    ``unambiguous_relation`` finds one in the square of its centre, which is what is recorded. Of more than 100
    objects in a picture the first 100 are paired.

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
        box = None if annotation.iscrowd else image.in_square(annotation.bbox)
        boxes[annotation.image_id].append((name, box))
    folder = PictureFolder(annotations, pictures, within)
    annotated = [folder.annotated(image.file_name, image, clear_pairs(boxes[image.id])) for image in content.images]
    return AnnotatedPictures(annotations, annotated, {"kind": "coco", **told_apart("annotations", annotations)}, seed)


@dataclass(frozen=True)
class _CocoImage(Sized):
    id: _Id
    file_name: str


@dataclass(frozen=True)
class _CocoCategory:
    id: _Id
    name: str

    def __post_init__(self) -> None:
        check_named(self.name)


@dataclass(frozen=True)
class _CocoAnnotation:
    image_id: _Id
    category_id: _Id
    bbox: BoxInPixels
    iscrowd: int | bool = 0

    def __post_init__(self) -> None:
        check_box(self.bbox)


@dataclass(frozen=True)
class _Coco:
    images: tuple[_CocoImage, ...]
    annotations: tuple[_CocoAnnotation, ...]
    categories: tuple[_CocoCategory, ...]

    def __post_init__(self) -> None:
        for kind, parts in (("images", self.images), ("categories", self.categories)):
            if twice := [id for id, count in Counter(part.id for part in parts).items() if count > 1]:
                raise ValueError(f"each of the {kind} must have an id of its own; twice there are {brief(twice)}.")
