from __future__ import annotations

import re

import pytest

from steering_core.editing import edited, read_edits, with_relation
from steering_core.parser import parse
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from steering_core.relations.scene import Scene

PROMPT = "a dog above a cat and a red car left of a bird"


def texts(scene: Scene) -> list[str]:
    return [str(relation) for relation in scene.relations]


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
