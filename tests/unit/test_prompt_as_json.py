from __future__ import annotations

import random

import pytest

from steering_core.front_end import prompt_as_json, vocabulary
from steering_core.parser import parse


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
