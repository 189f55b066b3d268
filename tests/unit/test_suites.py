"""Suites of prompts: how many, which, and what is said of a file that is none."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial

import pytest

from steering_core.detection.names import COCO_NAMES, canonical
from steering_core.evaluation.suites import (
    CHAINS,
    ScenePrompt,
    Suite,
    geneval_suite,
    own_suite,
    several_suite,
    t2i_compbench_suite,
    visor_suite,
)
from steering_core.parser import parse
from steering_core.relations.place import Place
from steering_core.relations.relation import CARDINAL_RELATIONS, Relation


def test_visor_is_every_ordered_pair_in_every_relation():
    suite = visor_suite()
    assert len(suite.prompts) == 25_280 == 80 * 79 * 4
    assert suite.seeds == (42, 43, 44, 45)
    assert suite.prompts[0].text == "a person to the left of a bicycle"
    assert suite.prompts[1].text == "a bicycle to the left of a person"
    assert "an airplane above an umbrella" in {prompt.text for prompt in suite.prompts}
    assert len(COCO_NAMES) == len(set(COCO_NAMES)) == 80


def test_a_subset_is_even_and_follows_its_seed():
    suite = visor_suite(102, seed=3)
    counts = Counter(prompt.relations[0][1] for prompt in suite.prompts)
    assert sorted(counts.values()) == [25, 25, 26, 26] and set(counts) == set(CARDINAL_RELATIONS)
    assert suite == visor_suite(102, seed=3)
    assert suite.prompts[:40] == visor_suite(40, seed=3).prompts
    assert suite.prompts != visor_suite(102, seed=4).prompts
    with pytest.raises(ValueError, match="25280"):
        visor_suite(25_281)


def test_the_parser_reads_what_visor_asks_for():
    for prompt in visor_suite(400).prompts:
        (read,) = parse(prompt.text).relations
        assert ((read.subject.text, read.relation, read.object.text),) == prompt.relations


@pytest.mark.parametrize("kind", CHAINS)
def test_generated_prompts_ask_for_as_much_as_their_name_says(kind):
    suite = several_suite(kind, 60, seed=1)
    objects, relations = int(kind[0]), int(kind[10])
    assert len({prompt.text for prompt in suite.prompts}) == 60
    for prompt in suite.prompts:
        assert (len(prompt.objects), len(prompt.relations)) == (objects, relations)
        read = parse(prompt.text).relations
        assert tuple((one.subject.text, one.relation, one.object.text) for one in read) == prompt.relations
    assert {one[1] for prompt in suite.prompts for one in prompt.relations} == set(CARDINAL_RELATIONS)
    assert several_suite(kind, 60, seed=1) == suite != several_suite(kind, 60, seed=2)


def test_a_suite_without_prompts_or_with_one_twice_is_refused():
    prompt = ScenePrompt((("dog", Relation.ABOVE, "cat"),))
    with pytest.raises(ValueError, match="no prompt"):
        Suite("mine", (), (0,))
    with pytest.raises(ValueError, match="a photo of a dog above a cat"):
        Suite("mine", (prompt, prompt), (0,))


def geneval_line(**changes) -> str:
    entry = {
        "tag": "position",
        "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": ["right of", 0]}],
        "prompt": "a photo of a dog right of a cat",
    }
    return json.dumps({**entry, **changes})


def test_geneval_gives_its_positions(tmp_path):
    other = {"tag": "counting", "include": [{"class": "cat", "count": 2}], "exclude": [], "prompt": "two cats"}
    file = tmp_path / "evaluation_metadata.jsonl"
    file.write_text(f"{json.dumps(other)}\n{geneval_line()}\n\n")
    suite = geneval_suite(file)
    assert suite.seeds == (42, 43, 44, 45)
    assert suite.prompts == (ScenePrompt((("dog", Relation.RIGHT_OF, "cat"),), "a photo of a dog right of a cat"),)


@pytest.mark.parametrize(
    "line",
    [
        "a dog above a cat",
        "[]",
        '{"prompt": "a dog", "include": []}',
        geneval_line(include=[]),
        geneval_line(include=["cat", "dog"]),
        geneval_line(include=[{"class": "cat"}, {"class": "dog"}]),
        geneval_line(include=[{"class": "cat"}, {"position": ["above", 0]}]),
        geneval_line(include=[{"class": "cat"}, {"class": "dog", "position": ["behind", 0]}]),
        geneval_line(include=[{"class": "cat"}, {"class": "dog", "position": ["above", 1]}]),
        geneval_line(prompt=3),
        geneval_line(include=[{"class": "cat"}, {"class": "cat", "position": ["above", 0]}]),
        geneval_line(include=[{"class": "cat"}, {"class": "bus", "position": ["above", 0]}]),
    ],
)
def test_what_is_not_genevals_is_refused_with_its_line(tmp_path, line):
    file = tmp_path / "file.jsonl"
    file.write_text(f"{geneval_line()}\n{line}\n")
    with pytest.raises(ValueError, match=r"file\.jsonl: line 2"):
        geneval_suite(file)


def test_a_file_of_geneval_without_positions_is_refused(tmp_path):
    file = tmp_path / "file.jsonl"
    file.write_text(geneval_line(tag="two_object"))
    with pytest.raises(ValueError, match=r"file\.jsonl: a line with a prompt with the tag position was expected"):
        geneval_suite(file)


def test_a_prompt_that_stands_in_several_lines_is_refused_with_them(tmp_path):
    again = "a girl near a frog"
    lines_of = {
        geneval_suite: [geneval_line(), "", geneval_line(tag="two_object"), geneval_line()],
        t2i_compbench_suite: [again, "a dog near a cat", "", f" {again} "],
        partial(own_suite, seeds=(0,)): [again, "a dog near a cat", "a dog near a cat", again],
    }
    for make, lines in lines_of.items():
        file = tmp_path / "file.txt"
        file.write_text("\n".join(lines))
        with pytest.raises(ValueError, match=r"file\.txt: prompts that all differ .* stands in lines 1, 4\. Leave all"):
            make(file)


def test_t2i_compbench_gives_all_its_relations(tmp_path):
    wordings = {
        "a girl on the top of a frog": ("girl", Relation.ABOVE, "frog"),
        "a bird on side of a airplane": ("bird", Relation.NEAR, "airplane"),
        "a mouse near a bowl": ("mouse", Relation.NEAR, "bowl"),
        "a giraffe next to a lamp": ("giraffe", Relation.NEAR, "lamp"),
        "a bicycle on the bottom of a girl": ("bicycle", Relation.BELOW, "girl"),
        "a table on the left of a girl": ("table", Relation.LEFT_OF, "girl"),
        "an airplane on the right of a teddy bear": ("airplane", Relation.RIGHT_OF, "teddy bear"),
    }
    file = tmp_path / "spatial_val.txt"
    file.write_text("\n".join(wordings))
    suite = t2i_compbench_suite(file)
    assert [(prompt.text, prompt.relations) for prompt in suite.prompts] == [(k, (v,)) for k, v in wordings.items()]
    assert suite.seeds == tuple(range(42, 52))
    file.write_text("a girl on the top of a frog\na girl and a frog\n")
    with pytest.raises(ValueError, match=r"spatial_val\.txt: line 2.*on side of"):
        t2i_compbench_suite(file)
    file.write_text("a cup on the top of a table.")
    assert t2i_compbench_suite(file).prompts[0].relations == (("cup", Relation.ABOVE, "table"),)
    file.write_text("a girl near a frog\na dog near a dog\n")
    with pytest.raises(ValueError, match=r"line 2: relations between two objects"):
        t2i_compbench_suite(file)


def test_texts_of_ones_own_are_parsed(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("\ufeffa red car above a dog\n\n  a cat between a dog and a bird \n", encoding="utf-8")
    suite = own_suite(file, (7,))
    assert suite.name == "mine" and suite.seeds == (7,)
    assert suite.prompts[0] == ScenePrompt((("red car", Relation.ABOVE, "dog"),), "a red car above a dog")
    assert suite.prompts[1].objects == ("cat", "dog", "bird")
    file.write_text("a dog above a cat\na dog and a cat\n")
    with pytest.raises(ValueError, match=r"mine\.txt: line 2"):
        own_suite(file, (7,))


def test_lines_of_json_can_say_their_relations(tmp_path):
    file = tmp_path / "mine.jsonl"
    said = {"prompt": "hund über katze", "relations": [["hund", "above", "katze"]], "note": "passed over"}
    file.write_text(f"{json.dumps(said)}\n{json.dumps({'prompt': 'a dog left of a cat'})}\n")
    suite = own_suite(file, (0, 1))
    assert suite.prompts == (
        ScenePrompt((("hund", Relation.ABOVE, "katze"),), "hund über katze"),
        ScenePrompt((("dog", Relation.LEFT_OF, "cat"),), "a dog left of a cat"),
    )
    for wrong in (
        {"prompt": "a dog", "relations": []},
        {"prompt": " ", "relations": [["dog", "above", "cat"]]},
        {"prompt": "a dog", "relations": [["dog", "beneath", "cat"]]},
        {"relations": [["dog", "above", "cat"]]},
        {"prompt": "a dog above a dog", "relations": [["dog", "above", "dog"]]},
        {"prompt": "a dog above a cat", "relations": [["dog", "above", "bird"]]},
        {"prompt": "a dog above a cat and a dog below a bird"},
    ):
        file.write_text(f"{json.dumps(said)}\n{json.dumps(wrong)}\n")
        with pytest.raises(ValueError, match=r"mine\.jsonl: line 2"):
            own_suite(file, (0,))


@pytest.mark.parametrize("name", ["mine.json", "mine.JSON", "mine.jsonl"])
def test_lines_of_json_are_told_by_the_name_of_their_file(tmp_path, name):
    file = tmp_path / name
    file.write_text('{"prompt": "a dog above a cat"}\n')
    assert own_suite(file, (0,)).prompts[0].text == "a dog above a cat"
    file.write_text("a dog above a cat\n")
    with pytest.raises(ValueError, match="line 1 is no JSON"):
        own_suite(file, (0,))


@pytest.mark.parametrize("name", ["mine.txt", "mine"])
def test_lines_of_json_in_a_text_file_are_refused_with_how_to_name_it(tmp_path, name):
    file = tmp_path / name
    file.write_text('a bird above a dog\n{"prompt": "a dog above a cat", "note": 1}\n')
    with pytest.raises(ValueError, match=rf"{name}: line 2: .*\.jsonl or \.json"):
        own_suite(file, (0,))
    wildcards = ["{red|blue} car above a dog", '{"a", "b"} dog above a cat', "{a dog above a bird}"]
    file.write_text("\n".join(wildcards))
    assert [prompt.text for prompt in own_suite(file, (0,)).prompts] == wildcards


@pytest.mark.parametrize(
    "line",
    [
        r'{"prompt": "a dog above a cat \ud800"}',
        r'{"prompt": "hund \udfff", "relations": [["hund", "at_left", null]]}',
    ],
)
def test_half_a_character_is_refused_with_its_line(tmp_path, line):
    file = tmp_path / "mine.jsonl"
    whole = r'{"prompt": "a bird above a dog \ud83d\udc36"}'
    file.write_text(f"{whole}\n{line}\n")
    with pytest.raises(ValueError, match=r"mine\.jsonl: line 2: .*UTF-8.*no character"):
        own_suite(file, (0,))
    file.write_text(whole)
    assert own_suite(file, (0,)).prompts[0].text.endswith("\N{DOG FACE}")


@pytest.mark.parametrize(
    "line",
    [
        geneval_line(prompt="a photo of a dog right of a cat \udcff"),
        geneval_line(include=[{"class": "c\ud800at"}, {"class": "dog", "position": ["right of", 0]}]),
    ],
)
def test_half_a_character_is_refused_in_genevals_file_too(tmp_path, line):
    file = tmp_path / "file.jsonl"
    file.write_text(f"{geneval_line()}\n{line}\n")
    with pytest.raises(ValueError, match=r"file\.jsonl: line 2: .*UTF-8.*no character"):
        geneval_suite(file)


def test_prompts_can_ask_for_places(tmp_path):
    asked = (("dog", Relation.ABOVE, "cat"), ("cat", Place.AT_LEFT, None), ("car", Place.AT_TOP_RIGHT, None))
    prompt = ScenePrompt(asked)
    assert prompt.text == "a photo of a dog above a cat on the left and a car in the upper right corner"
    assert prompt.objects == ("dog", "cat", "car")
    assert parse(prompt.text).relations == prompt.scene.relations
    file = tmp_path / "mine.jsonl"
    said = {"prompt": "ein hund", "relations": [["hund", "at_left", None]]}
    file.write_text(f"{json.dumps(said)}\n{json.dumps({'prompt': prompt.text})}\n")
    assert own_suite(file, (0,)).prompts == (
        ScenePrompt((("hund", Place.AT_LEFT, None),), "ein hund"),
        ScenePrompt(asked, prompt.text),
    )
    for wrong, told in (
        (["hund", "at_left", "x"], "none was expected"),
        (["hund", "above", None], "none was given"),
    ):
        file.write_text(json.dumps({"prompt": "ein hund", "relations": [wrong]}))
        with pytest.raises(ValueError, match=rf"line 1: object: .*{told}"):
            own_suite(file, (0,))


def test_a_name_within_another_is_found_beside_it():
    prompt = ScenePrompt((("teddy bär", Relation.LEFT_OF, "bär"),), "teddy bär links von einem bär")
    (relation,) = prompt.scene.relations
    assert (relation.subject.start, relation.object.start) == (0, 26)
    (dogs,) = ScenePrompt((("dog", Relation.NEAR, "hot dog"),), "a hot dog on side of a dog").scene.relations
    assert (dogs.subject.start, dogs.object.start) == (23, 2)


def test_no_text_is_told(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_bytes(b"a dog above a cat\n\xff\xfe")
    with pytest.raises(ValueError, match=r"mine\.txt is no text in UTF-8"):
        own_suite(file, (0,))


def test_names_have_cocos_synonyms():
    assert [canonical(name) for name in ("Sofa", "television", "teddy  bear", "unicorn", "Woman")] == [
        "couch",
        "tv",
        "teddy bear",
        "unicorn",
        "person",
    ]
    assert all(canonical(name) == name for name in COCO_NAMES)
