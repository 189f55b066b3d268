from __future__ import annotations

import pytest

from steering_core.areas import area_of, areas, as_elements, place_at, placed_by_boxes, read_elements
from steering_core.detection.boxes import Box
from steering_core.parser import parse
from steering_core.relations.place import Place


@pytest.mark.parametrize("place", Place)
def test_a_box_about_the_area_of_a_place_is_that_place(place):
    assert place_at(area_of(place).centre) is place
    assert place.holds(area_of(place).centre)


@pytest.mark.parametrize(
    ("point", "place"),
    [((0.1, 0.55), Place.AT_LEFT), ((0.8, 0.2), Place.AT_TOP_RIGHT), ((0.55, 0.6), Place.AT_CENTER)],
)
def test_a_point_is_the_place_that_is_closest(point, place):
    assert place_at(point) is place


def box(name: str, *corners: float) -> dict:
    return {"type": "obj", "desc": name, "bbox": list(corners), "color_palette": []}


def test_boxes_give_their_objects_places_and_leave_the_rest():
    elements = [box("dog", 100, 700, 300, 900), box("Katze", 900, 0, 600, 200)]
    scene = placed_by_boxes(parse("a dog on the left, a cat above a bird, eine Katze"), read_elements(elements))
    assert [str(one) for one in scene.relations] == [
        "dog in the upper right corner",
        "Katze in the lower left corner",
        "cat above bird",
    ]


def test_places_go_out_as_boxes_and_come_in_again_as_they_were():
    scene = parse("a dog on the left, a cat in the upper right corner, a bird above a tree in the center")
    boxes = areas(scene)
    assert boxes[:2] == [("dog", Box(0.0, 0.0, 0.5, 1.0)), ("cat", Box(0.5, 0.0, 0.5, 0.5))]
    again = placed_by_boxes(scene, read_elements(as_elements(boxes)))
    assert set(again.relations) == set(scene.relations)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({}, "elements: a list"),
        ([None], "elements[0]: an object"),
        ([box("", 0, 0, 1, 1)], "elements[0].desc: words of the prompt"),
        ([{"bbox": [0, 0, 1, 1]}], "elements[0]: an object with desc"),
        ([box("dog", 0, 0, 1)], "elements[0].bbox: a list of 4"),
        ([box("dog", 0, 0, 1, 1001)], "elements[0].bbox[3]: a number from 0 to 1000 was expected, and 1001 was given"),
        ([box("dog", 0, 0, 1, 10**400)], "elements[0].bbox[3]: a number"),
        ([box("dog", 0, True, 1, 1)], "elements[0].bbox[1]: a number"),
        ([box("dog", 0, float("nan"), 1, 1)], "elements[0].bbox[1]: a number"),
        ([box("dog", 0, 0, 1, 1)] * 65, "elements: a list of at most 64"),
    ],
)
def test_what_is_damaged_in_boxes_is_named(value, where):
    with pytest.raises(ValueError, match=r" was expected, and .* was given") as refused:
        read_elements(value)
    assert str(refused.value).startswith(where)


def test_a_box_of_what_is_not_in_the_prompt_is_named():
    with pytest.raises(ValueError, match='"zebra" was expected'):
        placed_by_boxes(parse("a dog"), read_elements([box("zebra", 0, 0, 1, 1)]))
