from __future__ import annotations

import random
import re

import pytest

from steering_core.editing import (
    edited,
    find_phrase,
    prompt_as_json,
    read_edits,
    vocabulary,
    with_relation,
)
from steering_core.parser import objects, parse
from steering_core.relations import Place, Relation, Scene

PROMPT = "a dog above a cat and a red car left of a bird"


def texts(scene: Scene) -> list[str]:
    return [str(relation) for relation in scene.relations]


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("a photo of a cat in a box and a dog", ["cat", "dog"]),
        ("a dog, a red bus and two birds in the rain", ["dog", "red bus", "birds"]),
        (PROMPT, ["dog", "cat", "red car", "bird"]),
        ("nothing under it", []),
        ("a sofa with a painting above it", ["sofa", "painting"]),
        ("style: 1girl, blue eyes, masterpiece, best quality, <lora:ink:0.8>, a cat", ["1girl", "cat"]),
    ],
)
def test_objects_are_the_heads_related_or_not(prompt, names):
    assert [span.text for span in objects(prompt)] == names
    assert all(prompt[span.start : span.end] == span.text for span in objects(prompt))


@pytest.mark.parametrize(
    ("prompt", "phrase", "occurrence", "start"),
    [
        ("ein Hund über einer Katze", "katze", 0, 20),
        ("\u72d7\u5728\u732b\u4e0a\u9762", "\u732b", 0, 2),  # "a dog above a cat" in Chinese
        ("a catalog and a cat", "cat", 0, 16),
        ("a dog above a dog", "dog", 1, 14),
        ("a red dog above a dog", "dog", 0, 18),
        ("a red dog above a cat", "dog", 0, 2),
        ("the big red dog, a dog house", "Red dog", 0, 4),
        ("a red dog, a brown dog", "dog", 1, 13),
        ("a (red dog:1.2) above a cat", "dog", 0, 3),
        ("red dog above a cat", "dog", 0, 4),
        ("Hund und Katze, a tree", "katze", 0, 9),
        ("Dog on the left, dog on the right", "dog", 0, 17),
    ],
)
def test_phrases_are_found_in_any_language(prompt, phrase, occurrence, start):
    assert find_phrase(prompt, phrase, occurrence).start == start


@pytest.mark.parametrize(("phrase", "occurrence"), [("zebra", 0), ("dog", 1), (" ", 0)])
def test_a_phrase_that_is_not_there_is_named(phrase, occurrence):
    with pytest.raises(ValueError, match=f'"{phrase}" was expected'):
        find_phrase("a dog above a cat", phrase, occurrence)


def test_a_relation_is_added_once():
    scene = with_relation(parse(PROMPT), "dog", Relation.NEAR, "bird")
    assert texts(scene)[-1] == "dog next to bird"
    assert with_relation(scene, "Dog", Relation.NEAR, "bird") == scene
    with pytest.raises(ValueError, match="both subject and object"):
        with_relation(scene, "dog", Relation.NEAR, "dog")


def test_a_place_is_added_to_one_object():
    scene = with_relation(parse(PROMPT), "dog", Place.AT_TOP_LEFT)
    assert texts(scene)[-1] == "dog in the upper left corner" and scene.relations[-1].object is None
    assert with_relation(scene, "dog", Place.AT_TOP_LEFT) == scene
    with pytest.raises(ValueError, match="object: none was expected with at_left"):
        with_relation(scene, "dog", Place.AT_LEFT, "cat")
    with pytest.raises(ValueError, match="object: left_of relates two objects, and none was given"):
        with_relation(scene, "dog", Relation.LEFT_OF)


def edit(subject: str, relation: str, object: str | None, wanted: str, on: bool = True) -> dict:
    return {"subject": subject, "relation": relation, "object": object, "wanted": wanted, "on": on}


def test_edits_change_and_switch_off_what_they_name():
    scene = parse(PROMPT)
    rows = [edit("dog", "above", "cat", "below"), edit("red car", "left_of", "bird", "left_of", on=False)]
    assert texts(edited(scene, read_edits({"relations": rows}))) == ["dog below cat"]
    gone = [edit("zebra", "above", "cat", "below")]
    assert edited(scene, read_edits({"relations": gone})) == scene
    assert edited(scene, read_edits({})) == scene


def test_edits_change_and_switch_off_places():
    scene = parse("a dog on the left, a cat at the top and a bird in front of a house")
    edits = [edit("dog", "at_left", None, "at_bottom_right"), edit("cat", "at_top", None, "at_top", on=False)]
    changed = edited(scene, read_edits({"relations": edits}))
    assert texts(changed) == ["dog in the lower right corner"]
    assert changed.unsteered == ("read, but not steered: bird in front of house",)


def test_each_of_two_relations_in_the_same_words_has_an_edit_of_its_own():
    scene = parse("a dog above a cat. a dog above a cat")
    once = read_edits({"relations": [edit("dog", "above", "cat", "above", on=False)]})
    assert len(edited(scene, once).relations) == 1


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"relations": [edit("dog", "over", "cat", "below")]}, "edits.relations[0].relation: one of left_of"),
        ({"relations": [edit("dog", "above", "cat", None)]}, "edits.relations[0].wanted: a text"),
        ({"relations": [edit("dog", "above", "cat", "below"), None]}, "edits.relations[1]: an object"),
        ({"relations": [{"subject": "dog"}]}, "edits.relations[0]: an object with relation"),
        ({"relations": [edit(3, "above", "cat", "below")]}, "edits.relations[0].subject: a text"),
        ({"relations": [edit("dog", "above", "cat", "below", on="false")]}, "edits.relations[0].on: true or false"),
        ({"relations": [{"__proto__": 1}] * 100_000}, "edits.relations[0]: an object with subject"),
        ({"relations": "dog"}, "edits.relations: a list"),
        ({"relations": [edit("dog", "at_left", "cat", "at_top")]}, "edits.relations[0].object: null"),
        ({"relations": [edit("dog", "at_left", None, "above")]}, "edits.relations[0].wanted: one of at_left"),
        ({"relations": [edit("dog", "above", "cat", "at_top")]}, "edits.relations[0].wanted: one of left_of"),
        ({"relations": [edit("dog", "above", None, "below")]}, "edits.relations[0].object: a text"),
        ({"relations": nested(900)}, "edits.relations[0]: an object"),
        ({"relations": None}, "edits.relations: a list"),
        ([], "edits: an object"),
        ("dog", "edits: an object"),
        (float("nan"), "edits: an object"),
    ],
)
def test_what_is_damaged_in_edits_is_named(value, where):
    with pytest.raises(ValueError, match=re.escape(where) + ".* was expected, and .* was given") as error:
        read_edits(value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("value", [None, {}, {"relations": []}, {"__proto__": {"relations": 1}}])
def test_a_value_can_hold_no_edits(value):
    assert read_edits(value) == []


def test_a_name_that_is_too_long_to_be_looked_for():
    prompt = "ein Hund " + "a" * 1000
    with pytest.raises(ValueError, match="a name of at most 300 letters was expected, and has 900"):
        find_phrase(prompt, "a" * 900)


def test_a_front_end_is_told_objects_and_relations_by_position():
    told = prompt_as_json("a dog above a cat and a dog near a bird")
    assert told["objects"] == [
        {"name": "dog", "occurrence": 0},
        {"name": "cat", "occurrence": 0},
        {"name": "dog", "occurrence": 1},
        {"name": "bird", "occurrence": 0},
    ]
    assert told["relations"] == [[0, "above", 1], [2, "near", 3]]
    assert told["described"] == ["bird", "cat", "dog"]
    assert prompt_as_json("a red dog above green car")["described"] == ["red dog"]


def test_a_front_end_is_told_places_without_an_object():
    told = prompt_as_json("a dog on the left, a cat above a bird behind a house")
    assert [named["name"] for named in told["objects"]] == ["dog", "cat", "bird", "house"]
    assert told["relations"] == [[0, "at_left", None], [1, "above", 2]]
    assert told["unsteered"] == ["bird behind house"]
    known = {entry["name"]: (entry["direction"], entry["place"]) for entry in vocabulary()}
    assert known["at_bottom_left"] == ([-1, 1], True) and known["below_left"] == ([-1, 1], False)


_WORDS = ["it", "them", "her", "he", "and", ",", ".", "which", "is", "left", "left of", "above", "below", "the", "a"]
_WORDS += ["under", "not", "sky", "rain", "photo", "of", "on", "dog", "cat"]


@pytest.mark.parametrize(
    "prompt",
    [
        "it and them above her",
        "a dog under the sky and it above a cat",
        "a cat above it, and it is left of them",
        *(" ".join(random.Random(seed).choices(_WORDS, k=2000)) for seed in range(10)),
    ],
)
def test_every_relation_is_between_objects_that_the_front_end_is_told(prompt):
    told = prompt_as_json(prompt)
    assert len(told["relations"]) == len(parse(prompt).relations)
    assert {named["name"] for named in told["objects"]}.isdisjoint({"it", "them", "her", "he", "rain"})
