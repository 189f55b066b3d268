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


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        (
            "\u4e00\u53ea\u732b\u5728\u4e00\u53ea\u72d7\u7684\u5de6\u8fb9\uff0c\u6cb9\u753b\u98ce\u683c",
            ["\u6cb9\u753b\u98ce\u683c"],
        ),  # a cat left of a dog, oil painting
        (
            "\u732b\uff0c\u72d7\uff0c\u7ea2\u8272\u7684\u5927\u623f\u5b50",
            ["\u732b", "\u72d7", "\u7ea2\u8272\u7684\u5927\u623f\u5b50"],
        ),  # cat, dog, big red house
        ("\u72ac\u306e\u5de6\u306b\u3044\u308b\u732b", []),  # a cat that is left of a dog
        ("a very beautiful \u732b, a dog", ["very beautiful \u732b", "dog"]),
    ],
)
def test_a_clause_of_a_script_that_sets_no_words_apart_is_no_object_to_show(prompt, names):
    assert [one["name"] for one in prompt_as_json(prompt)["objects"]] == names


def test_what_is_steered_is_shown_whatever_its_script():
    told = prompt_as_json("\u4e00\u53ea\u975e\u5e38\u53ef\u7231\u7684\u732b to the left of \u72d7")
    assert len(told["objects"]) == 2 and told["relations"] == [[0, "left_of", 1]]
