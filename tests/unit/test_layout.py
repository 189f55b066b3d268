from __future__ import annotations

import re

import pytest

from steering_core.layout import laid_out, read_layout
from steering_core.parser import parse
from steering_core.relations.scene import Scene

PROMPT = "a dog above a cat and a red car left of a bird"


def texts(scene: Scene) -> list[str]:
    return [str(relation) for relation in scene.relations]


def placed(*names: str) -> list[dict]:
    return [{"name": name, "occurrence": names[:i].count(name), "x": 0.1, "y": 0.2} for i, name in enumerate(names)]


def test_a_layout_takes_the_place_of_the_relations():
    value = {"objects": placed("dog", "dog", "cat"), "relations": [[0, "left_of", 1], [2, "above_left", 1]]}
    scene = laid_out(parse("a dog, a dog near a cat"), read_layout(value))
    assert texts(scene) == ["dog to the left of dog", "cat above and to the left of dog"]
    assert scene.relations[0].subject != scene.relations[0].object


def test_a_layout_leaves_places_in_the_picture():
    value = {"objects": placed("dog", "cat"), "relations": [[0, "above", 1]]}
    scene = laid_out(parse("a dog on the left, a cat to the right of a dog"), read_layout(value))
    assert texts(scene) == ["dog on the left", "cat to the right of dog", "dog above cat"]


@pytest.mark.parametrize(("stated", "x", "y"), [("right", 0.9, 0.5), ("left", 0.1, 0.5), ("bottom", 0.5, 0.9)])
def test_an_object_that_was_dragged_out_of_its_place_has_it_no_more(stated, x, y):
    prompt = f"a dog on the {stated} and a cat at the top"
    for point, kept in (((x, y), ["dog " + parse(prompt).relations[0].relation.phrase]), ((1 - x, 1 - y), [])):
        objects = [{**placed("dog")[0], "x": point[0], "y": point[1]}, {**placed("cat")[0], "x": 0.5, "y": 0.1}]
        scene = laid_out(parse(prompt), read_layout({"objects": objects, "relations": []}))
        assert texts(scene) == [*kept, "cat at the top"]


def test_an_empty_layout_leaves_the_scene():
    scene = parse(PROMPT)
    assert laid_out(scene, read_layout({})) == scene


def test_relations_of_the_prompt_stay_of_which_not_both_objects_were_placed():
    value = {"objects": placed("dog"), "relations": [[0, "at_left", None]]}
    said = ["dog above cat", "car to the left of bird", "dog on the left"]
    assert sorted(texts(laid_out(parse(PROMPT.replace("red ", "")), read_layout(value)))) == sorted(said)


@pytest.mark.parametrize(
    ("point", "said"),
    [((0.5, 0.9), "dog below cat"), ((0.1, 0.1), "dog above and to the left of cat"), ((0.5, 0.4), "dog next to cat")],
)
def test_objects_that_the_prompt_relates_and_the_layout_does_not_are_related_as_they_lie(point, said):
    objects = [
        {"name": name, "occurrence": 0, "x": x, "y": y} for name, (x, y) in (("dog", point), ("cat", (0.5, 0.5)))
    ]
    scene = laid_out(parse("a dog above a cat"), read_layout({"objects": objects, "relations": []}))
    assert texts(scene) == [said]


def test_a_layout_of_another_prompt_is_passed_over_as_far_as_its_objects_are_gone():
    value = {
        "objects": placed("zebra", "cat", "cat"),
        "relations": [[0, "above", 1], [0, "at_left", None], [1, "at_right", None], [2, "at_top", None]],
    }
    scene = laid_out(parse("a dog above a cat"), read_layout(value))
    assert texts(scene) == ["dog above cat", "cat on the right"]
    assert scene.absent == ("zebra", "cat 2")
    assert scene.unsteered == ("placed, but not in the prompt: zebra", "placed, but not in the prompt: cat 2")
    assert laid_out(parse("a bird left of a cup"), read_layout({**value, "objects": placed("a", "b", "c")})).relations


def test_of_two_that_come_to_mean_the_same_object_the_second_is_passed_over():
    value = {"objects": placed("Dog", "dog"), "relations": [[0, "above", 1], [0, "at_left", None]]}
    scene = laid_out(parse("a dog"), read_layout(value))
    assert texts(scene) == ["dog on the left"] and scene.absent == ("dog",)


DOG = placed("dog")[0]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"objects": [{"name": "dog"}], "relations": []}, "layout.objects[0]: an object with x"),
        ({"objects": [{"name": "dog", "x": 0, "y": 1}], "relations": []}, "layout.objects[0]: an object with occurr"),
        ({"objects": placed("dog")}, "layout: an object with relations"),
        ({"objects": [None], "relations": []}, "layout.objects[0]: an object"),
        ({"objects": placed("dog", "cat"), "relations": [[0, "above", 2]]}, "layout.relations[0][2]: a whole number"),
        ({"objects": placed("dog", "cat"), "relations": [[0, "above", True]]}, "layout.relations[0][2]: a whole"),
        ({"objects": placed("dog", "cat"), "relations": [[0, "above", 0.5]]}, "layout.relations[0][2]: a whole"),
        ({"objects": placed("dog", "cat"), "relations": [[0, "over", 1]]}, "layout.relations[0][1]: one of left_of"),
        ({"objects": placed("dog", "cat"), "relations": [[0, "at_left", 1]]}, "layout.relations[0][1]: one of left_of"),
        ({"objects": placed("dog", "cat"), "relations": [[0, "above", None]]}, "layout.relations[0][2]: a whole"),
        ({"objects": placed("dog", "cat"), "relations": [[2, "at_left", None]]}, "layout.relations[0][0]: a whole"),
        ({"removed": [{"name": "dog"}]}, "layout.removed[0]: an object with occurrence"),
        ({"removed": "dog"}, "layout.removed: a list"),
        ({"objects": placed("dog", "cat"), "relations": [[0, 1]]}, "layout.relations[0]: a list of 3"),
        ({"objects": placed("dog", "cat"), "relations": ["ab"]}, "layout.relations[0]: a list"),
        ({"objects": placed("dog", "cat"), "relations": [[0, "above", 0]]}, "layout.relations[0]: a relation of two"),
        ({"relations": [[0, "above", 1]]}, "layout.relations[0][0]: a whole number"),
        (
            {"objects": [{**DOG, "occurrence": -1}], "relations": []},
            "layout.objects[0].occurrence: a whole",
        ),
        (
            {"objects": [{**DOG, "occurrence": 1e999}], "relations": []},
            "layout.objects[0].occurrence: a whole",
        ),
        ({"objects": [{**DOG, "name": []}], "relations": []}, "layout.objects[0].name: a text"),
        ({"objects": [{**DOG, "x": float("nan")}], "relations": []}, "layout.objects[0].x: a number"),
        ({"objects": [{**DOG, "y": None}], "relations": []}, "layout.objects[0].y: a number"),
        ({"objects": placed(*map(str, range(65))), "relations": []}, "layout.objects: a list of at most 64"),
        ("", "layout: an object"),
        (False, "layout: an object"),
    ],
)
def test_what_is_damaged_in_a_layout_is_named(value, where):
    with pytest.raises(ValueError, match=re.escape(where) + ".* was expected, and .* was given") as error:
        read_layout(value)
    assert len(str(error.value)) < 500


def test_a_layout_gives_objects_places_in_the_picture():
    relations = [[0, "at_top_left", None], [1, "at_center", None], [0, "left_of", 1]]
    scene = laid_out(
        parse("a dog at the bottom and a cat"), read_layout({"objects": placed("dog", "cat"), "relations": relations})
    )
    assert texts(scene) == ["dog in the upper left corner", "cat in the center", "dog to the left of cat"]


def test_a_place_of_ones_own_takes_that_of_the_prompt_even_where_it_holds():
    value = {"objects": placed("dog"), "relations": [[0, "at_top_left", None]]}
    assert texts(laid_out(parse("a dog on the left"), read_layout(value))) == ["dog in the upper left corner"]


def test_words_of_any_language_are_placed():
    value = {"objects": placed("Hund", "\u732b"), "relations": [[0, "at_left", None], [1, "above", 0]]}
    scene = laid_out(parse("ein Hund, \u732b\u5728\u4e0a\u9762"), read_layout(value))
    assert texts(scene) == ["Hund on the left", "\u732b above Hund"]


def test_nothing_is_asked_of_what_was_taken_off():
    removed = [{"name": "dog", "occurrence": 0}, {"name": "zebra", "occurrence": 0}, {"name": "bird", "occurrence": 1}]
    prompt = "a dog above a cat, a bird at the top and a bird on the left"
    assert texts(laid_out(parse(prompt), read_layout({"removed": removed}))) == ["bird at the top"]
    value = {"objects": placed("cat"), "relations": [[0, "at_right", None]], "removed": removed}
    assert texts(laid_out(parse(prompt), read_layout(value))) == ["bird at the top", "cat on the right"]


@pytest.mark.parametrize("drawn", ["red", "blue"])
def test_an_object_by_its_noun_is_the_one_that_a_wildcard_has_described(drawn):
    """Of "a {red|blue} giraffe" the canvas shows the giraffe."""
    points = {"giraffe": (0.5, 0.05), "airplane": (0.5, 0.4)}
    objects = [{"name": name, "occurrence": 0, "x": x, "y": y} for name, (x, y) in points.items()]
    value = {"objects": objects, "relations": [[0, "at_top", None]]}
    scene = laid_out(parse(f"a {drawn} giraffe below an airplane"), read_layout(value))
    assert texts(scene) == [f"{drawn} giraffe above airplane", f"{drawn} giraffe at the top"]
    assert not scene.absent
    removed = {"removed": [{"name": "giraffe", "occurrence": 0}]}
    assert not laid_out(parse(f"a {drawn} giraffe below an airplane"), read_layout(removed)).relations
