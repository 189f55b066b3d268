"""Prompts of ComfyUI: what is said of textual inversions, and characters that are not seen."""

from __future__ import annotations

import pytest

from steering_core.backends.comfyui.reading import read_prompt
from steering_core.front_end import prompt_as_json


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a photo of embedding:zed to the left of a dog", "embedding:zed to the left of dog"),
        ("a giraffe above an embedding:zed", "giraffe above embedding:zed"),
        ("a red embedding:zed above a blue car", "red embedding:zed above blue car"),
        ("a dog next to (embedding:zed:1.2)", "dog next to embedding:zed"),
        ("a dog to the left of embedding:a/long_name.pt, a tree", "dog to the left of embedding:a/long_name.pt"),
        ("embedding:zed on the left", "embedding:zed on the left"),
    ],
)  # fmt: skip
def test_what_is_said_of_an_embedding_is_told_and_not_steered(prompt, told):
    scene = read_prompt(prompt)
    assert scene.relations == ()
    assert scene.unsteered == (f"read, but not steered: {told} (an embedding names no object)",)
    assert prompt_as_json(scene.prompt, scene)["unsteered"] == [f"{told} (an embedding names no object)"]
    assert scene.as_written == prompt


@pytest.mark.parametrize(
    ("prompt", "stated"),
    [
        ("embedding:zed, a giraffe above an airplane", "giraffe above airplane"),
        ("embedding:zed a giraffe above an airplane", "giraffe above airplane"),
        ("a giraffe above an airplane, embedding:zed", "giraffe above airplane"),
        ("a giraffe above an airplane embedding:zed", "giraffe above airplane"),
        ("a photo of a cat embedding:zed to the left of a dog", "cat to the left of dog"),
        ("a portrait of an embedding:zed person left of a dog", "person to the left of dog"),
        ("a photo of a cat above a dog in the style of embedding:zed", "cat above dog"),
    ],
)
def test_what_is_said_of_words_beside_an_embedding_is_steered(prompt, stated):
    scene = read_prompt(prompt)
    assert [str(relation) for relation in scene.relations] == [stated]
    assert scene.unsteered == ()


def test_of_words_and_embeddings_the_words_alone_are_steered():
    scene = read_prompt("a cat and embedding:zed to the left of a dog")
    assert [str(relation) for relation in scene.relations] == ["cat to the left of dog"]
    assert scene.left_out == ("embedding:zed to the left of dog (an embedding names no object)",)


@pytest.mark.parametrize("unseen", ["\u200b", "\u00ad", "\u2060", "\ufeff"])
def test_what_is_not_seen_in_a_word_is_no_part_of_it(unseen):
    scene = read_prompt(f"a gi{unseen}raffe above an air{unseen}plane")
    assert [str(relation) for relation in scene.relations] == ["giraffe above airplane"]
    assert scene.as_written == f"a gi{unseen}raffe above an air{unseen}plane"
