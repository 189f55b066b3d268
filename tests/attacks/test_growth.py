"""Nothing grows faster than its input: eight times as much of it is eight times the work."""

from __future__ import annotations

import dataclasses
import os
import random
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from toy_recording import SETTINGS, ToyModel, ToySource

from steering_core.backends.comfyui.reading import read_prompt
from steering_core.detection.boxes import Box, Found
from steering_core.editing import edited, read_edits
from steering_core.evaluation.visor import Trial, judge
from steering_core.front_end import prompt_as_json
from steering_core.layout import laid_out, read_layout
from steering_core.object_names import find_phrase
from steering_core.parser import parse
from steering_core.regions import regions_of
from steering_core.relations.relation import Relation
from steering_core.search import occurrences
from steering_core.tokens import GroundedRelation, GroundedScene, Token, ground, token_texts
from steering_core.training.dataset import Records, read_manifest, read_records, write_dataset

_MORE = 8
#: What is quadratic would come to eight times this.
_MOST = 1.3 * _MORE


def lines_run(call: Callable[[], Any]) -> int:
    """How many lines of Python a call runs."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def growth(make: Callable[[int], Callable[[], Any]], size: int) -> float:
    """How much more work eight times the input is."""
    return lines_run(make(_MORE * size)) / lines_run(make(size))


def sentences(count: int) -> str:
    """Sentences with an object each that no other shares, and one that all share."""
    return ". ".join(f"a dog{number} above a cat" for number in range(count))


PROMPTS = {
    "relations": sentences,
    "one object again and again": lambda count: "a dog above a dog. " * count,
    "one sentence": lambda count: " and ".join(f"a dog{number} above a cat" for number in range(count)),
    "pronouns": lambda count: "a dog above it and them left of it, " * count,
    "one long name": lambda count: "dog" * count + " above a cat",
    "brackets": lambda count: "(" * count + "a dog above a cat" + ")" * count,
    "blanks": lambda count: "a dog above" + " \n" * count + " a cat",
    "marks alone": lambda count: "above left of " * count,
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_where_objects_are_bound(prompt):
    def make(size):
        scene = parse(prompt(size))
        numbers = {span: number for number, span in enumerate(scene.objects)}
        relations = [GroundedRelation(numbers[r.subject], r.relation, numbers[r.object]) for r in scene.relations]
        grounded = GroundedScene(scene, (), ((),) * len(numbers), tuple(relations))
        return lambda: str(regions_of(grounded))

    assert growth(make, 40) < _MOST


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_what_a_front_end_is_told(prompt):
    assert growth(lambda size: lambda: prompt_as_json(prompt(size)), 40) < _MOST


@pytest.mark.parametrize("said", ["a cat above embedding:dog, ", "embedding:dog a cat above a bird embedding:key. "])
def test_what_is_read_beside_embeddings(said):
    assert growth(lambda size: lambda: read_prompt(said * size), 40) < _MOST


def _tokens(prompt: str, by_offset: bool) -> list[Token]:
    """A token for every two letters."""
    return [
        Token(start, prompt[start : start + 2], (start, start + 2) if by_offset else None)
        for start in range(0, len(prompt), 2)
    ]


@pytest.mark.parametrize("by_offset", [False, True], ids=["texts", "offsets"])
@pytest.mark.parametrize("name", ["relations", "one object again and again", "one sentence", "one long name"])
def test_phrases_tied_to_tokens(name, by_offset):
    def make(size: int) -> Callable[[], Any]:
        scene = parse(PROMPTS[name](size))
        tokens = _tokens(scene.prompt, by_offset)
        return lambda: ground(scene, tokens).summary()

    assert growth(make, 40) < _MOST


def test_phrases_that_end_in_one_another():
    def make(size: int) -> Callable[[], Any]:
        return lambda: occurrences("a" * size + "b", ["a" * length + "b" for length in (1, 2, size // 2, size)])

    assert growth(make, 50) < _MOST


def test_edits():
    def make(size: int) -> Callable[[], Any]:
        scene = parse(sentences(size))
        rows = [
            {"subject": r.subject.text, "relation": "above", "object": r.object.text, "wanted": "below", "on": True}
            for r in reversed(scene.relations)
        ]
        return lambda: edited(scene, read_edits({"relations": rows}))

    assert growth(make, 40) < _MOST


def test_a_layout_of_a_long_prompt():
    value = {
        "objects": [{"name": f"dog{number}", "occurrence": 0, "x": 0.5, "y": 0.5} for number in range(30)],
        "relations": [[a, "above", b] for a in range(30) for b in range(a)],
    }

    def make(size: int) -> Callable[[], Any]:
        scene = parse(sentences(size))
        return lambda: laid_out(scene, read_layout(value))

    assert growth(make, 40) < _MOST


# Decoders as tokenizers have them: of bytes, of pieces that a run of bytes spoils, and of letters.


def _bytes(ids: Sequence[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def _all_or_nothing(ids: Sequence[int]) -> str:
    try:
        return bytes(ids).decode()
    except UnicodeDecodeError:
        return "\N{REPLACEMENT CHARACTER}" * len(ids)


def _letters(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


_HEART = "\N{HEAVY BLACK HEART}".encode()
SEQUENCES = {
    "words": (_bytes, b"a photo of a dog "),
    "characters of three bytes": (_bytes, _HEART),
    "the same, all or nothing": (_all_or_nothing, _HEART),
    "bytes of no character": (_bytes, b"\xff\xe2\x9d"),
    "the same, all or nothing at all": (_all_or_nothing, b"\xff\xe2\x9d"),
    "marks on one letter": (_letters, [0x301, 0x323]),
    "syllables in parts": (_letters, [0x1112, 0x1161, 0x11AB]),
    "blanks": (_letters, [0x20]),
    "ligatures": (_letters, [0xFDFA]),
}


@pytest.mark.parametrize(("decode", "repeated"), SEQUENCES.values(), ids=SEQUENCES)
def test_tokens_decoded(decode, repeated):
    def decoded(size: int) -> int:
        """How many ids the decoder is given for so many."""
        given = 0

        def counting(ids: list[int]) -> str:
            nonlocal given
            given += len(ids)
            return decode(ids)

        texts = token_texts((list(repeated) * size)[:size], counting)
        assert len(texts) == size
        return given

    assert decoded(_MORE * 200) / decoded(200) < _MOST


def test_a_long_name_is_looked_for_no_longer_than_a_short_one():
    with pytest.raises(ValueError, match="at most 300 letters"):
        find_phrase("a" * 50_000 + "b", "a" * 25_000 + "c")


def _scattered(names: Sequence[str], places: random.Random) -> list[Found]:
    """As many objects of each name as are tried, anywhere."""
    return [Found(name, Box(places.random(), places.random(), 0.1, 0.1)) for name in names for _ in range(8)]


def _in_seven_places(names: Sequence[str], places: random.Random) -> list[Found]:
    """Every name in the same places."""
    return [Found(name, Box(number / 9, 0.5, 0.1, 0.1)) for name in names for number in range(7)]


def _in_two_corners(names: Sequence[str], places: random.Random) -> list[Found]:
    """The first name in one corner, the second in the other, the rest in both."""
    corners = {name: (0.0, 0.9) for name in names} | {names[0]: (0.0,), names[1]: (0.9,)}
    return [
        Found(name, Box(corner + 0.01 * number, corner, 0.05, 0.05))
        for name in names
        for corner in corners[name]
        for number in range(8 // len(corners[name]))
    ]


#: The relation of each name to the next, and of the last to the first; what is found; and what is judged.
RINGS = {
    "none can hold": (Relation.LEFT_OF, _scattered, Trial(True, False)),
    "all hold": (Relation.NEAR, _scattered, Trial(True, True)),
    "too few places": (Relation.NEAR, _in_seven_places, Trial(True, False)),
    "two ends that are far apart": (Relation.NEAR, _in_two_corners, Trial(True, False)),
}


@pytest.mark.parametrize(("relation", "find", "verdict"), RINGS.values(), ids=RINGS)
def test_objects_of_many_names_are_judged(relation, find, verdict):
    def judging(count: int) -> int:
        names = [f"thing{number}x" for number in range(count)]
        ring = [(name, relation, names[number - count + 1]) for number, name in enumerate(names)]
        found = find(names, random.Random(0))
        assert count < 8 or judge(ring, found) == verdict
        return lines_run(lambda: judge(ring, found))

    least = judging(4) / 4
    for count in range(5, 13):
        assert judging(count) / count < 2 * least  # boxes that names share are dealt out again at each choice


_LARGE_MAPS = dataclasses.replace(SETTINGS, map_size=64)


def large_dataset(folder: Path, pictures: int, shard_size: int) -> Path:
    for _ in write_dataset(ToyModel(), ToySource(pictures), _LARGE_MAPS, folder, shard_size):
        pass
    return folder


def gone_through(folder: Path) -> Records:
    """The records of a dataset, of which every map has been read."""
    records = read_records(folder, read_manifest(folder))
    for maps in records.maps:
        for step in maps:
            assert step.shape[-1] == _LARGE_MAPS.map_size
    return records


def peak_memory(call: Callable[[], Any]) -> int:
    """Of what Python and numpy take, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shard_size", [1, 10**6], ids=["many shards", "one shard"])
def test_memory_does_not_grow_with_the_maps_of_a_dataset(tmp_path, shard_size):
    folders = [large_dataset(tmp_path / str(count), count, shard_size) for count in (2, 2 * _MORE)]
    few, many = (peak_memory(lambda folder=folder: gone_through(folder)) for folder in folders)
    small, large = (sum(file.stat().st_size for file in folder.iterdir()) for folder in folders)
    assert many - few < (large - small) / 10


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted as Linux tells them")
def test_no_file_stays_open(tmp_path):
    folder = large_dataset(tmp_path / "data", _MORE, 1)
    before = os.listdir("/proc/self/fd")
    records = gone_through(folder)
    assert len(os.listdir("/proc/self/fd")) == len(before) and len(records.maps) == 2 * _MORE
