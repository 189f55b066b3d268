from __future__ import annotations

import pytest

from steering_core.object_names import find_phrase
from steering_core.parser import objects


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("a photo of a cat in a box and a dog", ["cat", "dog"]),
        ("a dog, a red bus and two birds in the rain", ["dog", "red bus", "birds"]),
        ("a dog above a cat and a red car left of a bird", ["dog", "cat", "red car", "bird"]),
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


def test_a_name_that_is_too_long_to_be_looked_for():
    prompt = "ein Hund " + "a" * 1000
    with pytest.raises(ValueError, match="a name of at most 300 letters was expected, and has 900"):
        find_phrase(prompt, "a" * 900)
