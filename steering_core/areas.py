"""Places in the picture as boxes, and boxes as places: what ComfyUI's box canvas takes and gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .detection.boxes import Box, Point
from .editing import distinct
from .files.parts import Part
from .object_names import find_phrase
from .parser import objects
from .relations.place import CENTER_DISTANCE, MIDDLE, Place
from .relations.scene import Scene
from .relations.statement import SpatialRelation

#: ComfyUI's elements count the picture's sides in thousandths.
_SIDE = 1000
#: Most boxes that are read.
MOST_BOXES = 64


def place_at(point: Point) -> Place:
    """The place in the picture that is closest to a point: the center, or one of the eight directions from it.

    Args:
        point: (x, y) in [0, 1], y downward.
    """
    dx, dy = point[0] - MIDDLE[0], point[1] - MIDDLE[1]
    if math.hypot(dx, dy) < CENTER_DISTANCE:
        return Place.AT_CENTER
    return Place.towards((dx, dy))


def area_of(place: Place) -> Box:
    """The part of the picture in which an object is at a place: a half, a quarter, or a square about the middle."""
    if not any(place.direction):
        left, top = (middle - CENTER_DISTANCE for middle in MIDDLE)
        return Box(left, top, 2 * CENTER_DISTANCE, 2 * CENTER_DISTANCE)
    return part_towards(*place.direction)


def part_towards(dx: float, dy: float) -> Box:
    """The half of the picture in a direction, y downward; a quarter where it is diagonal."""
    return Box(0.5 * (dx > 0), 0.5 * (dy > 0), 0.5 if dx else 1.0, 0.5 if dy else 1.0)


def read_elements(value: Any) -> list[tuple[str, Box]]:
    """Names and boxes from the elements of ComfyUI's *Create Bounding Boxes*, as JSON: ``[{"desc", "bbox": [top, left,
    bottom, right]}, …]`` in thousandths of the picture's sides; other keys are passed over.

    Raises:
        ValueError: they have another form; says where. Or a box has no description.
    """
    return [_read_element(part) for part in Part("elements", value).items(most=MOST_BOXES)]


def _read_element(part: Part) -> tuple[str, Box]:
    name = part["desc"].text().strip()
    if not name:
        raise part["desc"].unlike("words of the prompt, which say which object the box is of,")
    top, left, bottom, right = (one.share(_SIDE) for one in part["bbox"].items(4, 4))
    return name, Box(min(left, right), min(top, bottom), abs(right - left), abs(bottom - top))


def placed_by_boxes(scene: Scene, boxes: Sequence[tuple[str, Box]]) -> Scene:
    """The scene with each box's object at the place where the box's middle is, in place of what it states of that.

    Args:
        boxes: names, which are words of the prompt, and boxes.

    Raises:
        ValueError: an object is not in the prompt.
    """
    known = objects(scene.prompt)
    places = {
        find_phrase(scene.prompt, name, known=known, written=scene.written): place_at(box.centre) for name, box in boxes
    }
    kept = (one for one in scene.relations if not (isinstance(one.relation, Place) and one.subject in places))
    given = (SpatialRelation(span, place, None) for span, place in places.items())
    return replace(scene, relations=distinct(*given, *kept))


def areas(scene: Scene) -> list[tuple[str, Box]]:
    """For each object of a scene that has a place its name and its area, in the order of the places."""
    return [(one.subject.text, area_of(one.relation)) for one in scene.relations if isinstance(one.relation, Place)]


def as_elements(boxes: Sequence[tuple[str, Box]]) -> list[dict[str, Any]]:
    """Names and boxes as *Create Bounding Boxes* takes them, see ``read_elements``."""
    return [
        {"type": "obj", "desc": name, "bbox": [round(_SIDE * side) for side in _corners(box)]} for name, box in boxes
    ]


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.top, box.left, box.top + box.height, box.left + box.width
