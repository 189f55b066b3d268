"""ComfyUI's BOUNDING_BOX: for each picture of a batch a list of boxes in pixels, with labels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .boxes import Box, Found
from .look import Look


def as_bounding_boxes(
    found: Iterable[Iterable[Found]], width: int, height: int, whole: bool = False
) -> list[list[dict[str, Any]]]:
    """What was found in each picture, as detection nodes give it.

    Args:
        width, height: of the pictures, in pixels.
        whole: round to whole pixels, for nodes that cut pictures.
    """
    return [[_as_bounding_box(one, width, height, whole) for one in of_picture] for of_picture in found]


def _as_bounding_box(found: Found, width: int, height: int, whole: bool) -> dict[str, Any]:
    lengths = (width, height, width, height)
    sides = (side * length for side, length in zip(found.box.sides, lengths))
    x, y, wide, high = map(round, sides) if whole else sides
    return {"x": x, "y": y, "width": wide, "height": high, "label": found.label, "score": found.score}


def read_boxes(boxes: Any, pictures: int, width: int, height: int) -> Look:
    """What the boxes of a detection node say.

    Args:
        boxes: for each picture a list of boxes with ``x``, ``y`` (of the upper left corner), ``width`` and ``height``
            in pixels, and a ``label``; of one picture its list alone, or its only box, will do.
        pictures: how many there are.
        width, height: of the pictures, in pixels.

    Raises:
        ValueError: they have another form, no label, or are of another number of pictures.
    """
    frames = boxes
    if isinstance(frames, dict):
        frames = [frames]
    if isinstance(frames, list) and all(isinstance(box, dict) for box in frames):
        frames = [frames]
    if not (isinstance(frames, list) and all(isinstance(frame, list) for frame in frames)):
        raise ValueError("boxes: for each picture a list of boxes was expected, as a detection node gives it.")
    if len(frames) != pictures:
        raise ValueError(
            f"boxes: those of {pictures} pictures were expected, not of {len(frames)}. Connect the very pictures that "
            f"are looked at here to the detection node, all of them."
        )
    return Look(by="the connected boxes", found=[[_found(box, width, height) for box in frame] for frame in frames])


def _found(box: Any, width: int, height: int) -> Found:
    try:
        label = box["label"]
        sides = (box["x"], box["y"], box["width"], box["height"])
        if not all(map(math.isfinite, sides)) or min(sides[2:]) < 0:
            raise ValueError
        place = Box.of_pixels(sides, width, height)
        score = float(box.get("score", 1.0))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        label = None
    if not (isinstance(label, str) and label.strip()):
        raise ValueError(
            "boxes: each with x, y, width, height and a label was expected, as Run Real-Time Detection (RT-DETR) "
            "gives them; without labels nobody knows which object is in a box."
        )
    return Found(label, place, score)
