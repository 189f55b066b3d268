"""Photographs with the scene graphs of GQA (Hudson and Manning 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...detection.boxes import Box
from ...files.described import described, read_json
from ...wording import brief
from .photographs import (
    AnnotatedPictures,
    PictureFolder,
    Sized,
    check_box,
    check_named,
    clear_pairs,
    told_apart,
)


def gqa_pictures(scene_graphs: Path, pictures: Path, seed: int) -> AnnotatedPictures:
    """The pictures of GQA with their scene graphs (Hudson and Manning 2019).

    A pair counts if the graph states one of the four relations for it, ``unambiguous_relation``
    finds the same one in the boxes, as ``coco_pictures`` takes them, and no other object of the
    picture has the name, or the noun at the name's end, of either. Of more than 100 objects in a
    picture the first 100 are paired.

    Args:
        scene_graphs: such as ``train_sceneGraphs.json``.
        pictures: folder with ``IMAGE_ID.jpg``.

    Raises:
        ValueError: the file is not of this format, names the entry; a picture is missing; or no pair is left.
        OSError: the file cannot be read.
    """
    content = described(_Gqa, {"graphs": read_json(scene_graphs)}, str(scene_graphs), strict=False)
    folder, annotated = PictureFolder(scene_graphs, pictures), []
    for image, graph in content.graphs.items():
        boxes: list[tuple[str, Box | None]] = [
            (one.name, graph.in_square((one.x, one.y, one.w, one.h))) for one in graph.objects.values()
        ]
        stated = {
            (subject.name, relation.name, graph.objects[relation.object].name)
            for subject in graph.objects.values()
            for relation in subject.relations
        }
        pairs = tuple(pair for pair in clear_pairs(boxes) if (pair[0], pair[1].phrase, pair[2]) in stated)
        annotated.append(folder.annotated(f"{image}.jpg", graph, pairs))
    return AnnotatedPictures(scene_graphs, annotated, {"kind": "gqa", **told_apart("scene_graphs", scene_graphs)}, seed)


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
        check_named(self.name)
        check_box((self.x, self.y, self.w, self.h))


@dataclass(frozen=True)
class _GqaGraph(Sized):
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
