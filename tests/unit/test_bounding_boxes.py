"""ComfyUI's BOUNDING_BOX, written and read."""

from __future__ import annotations

import math

import pytest

from steering_core.detection.bounding_boxes import as_bounding_boxes, read_boxes
from steering_core.detection.boxes import Box, Found

DOG, CAT = Found("dog", Box(0.0, 0.25, 0.5, 0.123), 0.75), Found("cat", Box(0.5, 0.0, 0.5, 0.5))


def test_boxes_are_in_pixels_with_their_labels_and_whole_where_that_is_asked():
    ((dog,), (cat,)) = as_bounding_boxes([[DOG], [CAT]], 200, 100)
    assert dog == {"x": 0.0, "y": 25.0, "width": 100.0, "height": pytest.approx(12.3), "label": "dog", "score": 0.75}
    ((whole,), (_,)) = as_bounding_boxes([[DOG], [CAT]], 200, 100, whole=True)
    assert whole == {**dog, "height": 12} and all(type(whole[side]) is int for side in ("x", "y", "width", "height"))
    assert (cat["label"], cat["score"]) == ("cat", 1.0)


def test_boxes_are_read_as_they_were_written():
    pictures = [[DOG, CAT], []]
    (dog, cat), nothing = read_boxes(as_bounding_boxes(pictures, 200, 100), 2, 200, 100).found
    assert dog.box.sides == pytest.approx(DOG.box.sides) and cat == CAT and nothing == []


@pytest.mark.parametrize(
    ("side", "value"),
    [
        ("x", math.nan),
        pytest.param("x", 10**400, id="x-huge"),
        ("y", math.inf),
        ("width", -3),
        ("width", math.inf),
        ("height", math.nan),
    ],
)
def test_boxes_that_are_none_are_refused(side, value):
    box = {"x": 1, "y": 2, "width": 3, "height": 4, "label": "dog", side: value}
    with pytest.raises(ValueError, match="boxes: each with x, y, width, height and a label was expected"):
        read_boxes([[box]], 1, 200, 100)


def test_a_box_may_be_empty_and_lie_beyond_the_picture():
    box = {"x": 300, "y": -5, "width": 0, "height": 1e30, "label": "dog"}
    assert read_boxes([[box]], 1, 200, 100).found[0][0].label == "dog"
