"""Which words of a sentence name things, and which are verbs."""

from __future__ import annotations

import json

import pytest

from steering_core.parser.tagger import TAGS, WEIGHTS_FILE, tagged, tags_of
from tools.train_tagger import MARKED, accuracy, examples_of, trained_weights

PROMPTS = [list(examples_of(line)) for line in MARKED.read_text(encoding="utf-8").splitlines()]


def marked(sentence: str) -> tuple[list[str], str]:
    (example,) = examples_of(sentence)
    return list(example.words), "".join(example.tags)


def test_marks_are_tags() -> None:
    assert marked("{a long, winding road} ~leads to {it}") == (
        ["a", "long", ",", "winding", "road", "leads", "to", "it"],
        "BIIIIVOB",
    )
    assert marked("{cat} {dog}, ~sleeping") == (["cat", "dog", ",", "sleeping"], "BBOV")


@pytest.mark.parametrize(
    "sentence",
    [
        "{two candles} ~stand on {the shelf}",
        "{a music stand} next to {a chair}",
        "{seven herons} ~wade in {the shallow water}",
        "{several brightly painted boats} ~rest on {the sand}",
        "behind {the wheelbarrow} ~lies {a sleeping sheepdog}",
        "{1girl}, {red scarf}, ~sitting on {a crate}",
    ],
)
def test_sentences_that_were_not_trained_on(sentence: str) -> None:
    assert sentence not in MARKED.read_text(encoding="utf-8")
    words, tags = marked(sentence)
    assert "".join(tags_of(words)) == tags


@pytest.mark.slow
def test_others_of_the_marked_prompts_are_read_rightly() -> None:
    right, of, _ = accuracy(PROMPTS)
    assert right / of >= 0.975  # measured: 98.1 %


@pytest.mark.slow
def test_the_shipped_weights_are_those_that_are_trained() -> None:
    assert trained_weights([example for prompt in PROMPTS for example in prompt]) == WEIGHTS_FILE.read_text(
        encoding="utf-8"
    )


def test_every_word_has_a_tag() -> None:
    weights = json.loads(WEIGHTS_FILE.read_text(encoding="utf-8"))
    assert {tag for of_tag in weights.values() for tag in of_tag} <= set(TAGS)
    words = ["", ",", "\u0130", "(", "x" * 10_000, "\ud800"]
    assert len(tagged(words, weights)) == len(words)
    assert tags_of([]) == []
