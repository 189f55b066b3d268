"""ComfyUI's BOUNDING_BOX, written and read."""

from __future__ import annotations

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
