"""How rules and the network that has read prompts mend each other."""

from __future__ import annotations

import pytest
import torch

from steering_core.parser import judged as judging
from steering_core.parser import objects, parse
from steering_core.parser.judged import Thresholds, judged
from steering_core.parser.likelihood import Likelihoods, likelihoods, words_of
from steering_core.parser.network import KINDS, KINDS_OF_TWO, Kind
from steering_core.parser.rules import read_by_rules
from steering_core.relations.depth import Depth
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation

THRESHOLDS = Thresholds(least=0.1, sure=0.9)

#: What a network may find: the kind, the subject, the object, and how likely.
Found = tuple[Kind, str, str | None, float]


def likely(prompt: str, *found: Found) -> Likelihoods:
    """What a network that finds just this would tell."""
    words = words_of(prompt)
    texts = [prompt[start:end] for start, end in words]
    stated = torch.zeros(len(KINDS), len(words))
    objects = torch.full((len(KINDS_OF_TWO), len(words), len(words)), 1 / len(words))
    for kind, subject, object, likelihood in found:
        stated[KINDS.index(kind), texts.index(subject)] = likelihood
        if object is not None:
            shares = objects[KINDS_OF_TWO.index(kind), texts.index(subject)]
            shares.zero_()
            shares[texts.index(object)] = 1
    return Likelihoods(words, stated, objects)


@pytest.fixture
def read(monkeypatch):
    """Reads a prompt where the network finds something."""

    def read(prompt: str, *found: Found) -> str:
        monkeypatch.setattr(judging, "likelihoods", lambda _: likely(prompt, *found))
        scene = judged(read_by_rules(prompt), THRESHOLDS)
        return "; ".join(map(str, (*scene.relations, *scene.depth)))

    return read


def test_what_the_network_finds_unlikely_is_dropped(read) -> None:
    assert read("a cat above a dog, a key", (Relation.ABOVE, "cat", "dog", 0.09)) == ""
    assert read("a cat above a dog, a key", (Relation.ABOVE, "cat", "dog", 0.11)) == "cat above dog"
    assert read("a cat on the left, a key", (Place.AT_LEFT, "cat", None, 0.05)) == ""
    assert read("a cat behind a dog, a key", (Depth.BEHIND, "cat", "dog", 0.05)) == ""


def test_a_side_before_a_thing_can_be_the_place_of_the_thing_before() -> None:
    places = [str(one) for one in parse("cat on the left dog on the right").relations]
    assert places == ["cat on the left", "left dog on the right"]


@pytest.mark.parametrize(
    "prompt",
    ["a photo of a cat above a dog", "a cat above a dog and a bird left of a key", "a cat on the left behind a dog"],
)
def test_a_plain_prompt_is_not_judged(read, prompt: str) -> None:
    scene = read_by_rules(prompt).scene
    assert read(prompt) == "; ".join(map(str, (*scene.relations, *scene.depth))) != ""


def test_what_relates_two_is_as_likely_the_other_way_round(read) -> None:
    assert read("a cat above a dog, a key", (Relation.BELOW, "dog", "cat", 0.5)) == "cat above dog"
    assert read("a cat behind a dog, a key", (Depth.IN_FRONT_OF, "dog", "cat", 0.5)) == "cat behind dog"


def test_a_diagonal_and_a_corner_are_as_likely_as_a_side_of_it(read) -> None:
    prompt = "a cat above and to the left of a dog, a key"
    assert read(prompt, (Relation.LEFT_OF, "cat", "dog", 0.95)) == "cat above and to the left of dog"
    assert read(prompt, (Relation.RIGHT_OF, "cat", "dog", 0.5)) == ""
    corner = "a cat in the upper left corner, a key"
    assert read(corner, (Place.AT_LEFT, "cat", None, 0.95)) == "cat in the upper left corner"


def test_what_contradicts_itself_is_not_added_in_part(read) -> None:
    assert read("two dogs, one on the left and one on the right", (Place.AT_LEFT, "dogs", None, 0.99)) == ""


def test_another_object_is_not_added_for_the_same(read) -> None:
    prompt, known = "a cat above a dog, a key", (Relation.ABOVE, "cat", "dog", 0.5)
    assert read(prompt, known, (Relation.ABOVE, "key", "dog", 0.95)) == "cat above dog; key above dog"
    other = "a cat above a dog, a key", (Relation.BELOW, "dog", "cat", 0.5), (Relation.ABOVE, "cat", "key", 0.95)
    assert read(*other) == "cat above dog"


def test_an_owner_is_named_without_its_ending(read) -> None:
    assert read("a cat by the bear's side, a key", (Relation.NEAR, "cat", "bear's", 0.95)) == "cat next to bear"


def test_wordings_with_of_do_not_make_one_thing_of_two(read) -> None:
    prompt = "a dog upper left of a cat, a bird, a key"
    found = ((Relation.ABOVE, "dog", "cat", 0.5), (Relation.NEAR, "bird", "dog", 0.95))
    assert read(prompt, *found).endswith("bird next to dog")


def test_what_the_network_is_sure_of_is_added_in_reading_order(read) -> None:
    prompt = "a red cat crowns a dog, and a bird above a tree"
    known = (Relation.ABOVE, "bird", "tree", 0.5)
    assert read(prompt, known, (Relation.ABOVE, "cat", "dog", 0.89)) == "bird above tree"
    assert read(prompt, known, (Relation.ABOVE, "cat", "dog", 0.91)) == "red cat above dog; bird above tree"


def test_what_rules_have_read_is_not_added_again_nor_the_opposite(read) -> None:
    prompt, known = "a cup of tea above a dog", (Relation.ABOVE, "cup", "dog", 0.5)
    assert read(prompt, known, (Relation.ABOVE, "tea", "dog", 0.95)) == "cup above dog"
    assert read(prompt, known, (Relation.BELOW, "dog", "tea", 0.95)) == "cup above dog"
    assert read(prompt, known, (Relation.BELOW, "cup", "dog", 0.95)) == "cup above dog"
    assert read(prompt, known, (Relation.NEAR, "cup", "dog", 0.95)) == "cup above dog; cup next to dog"


def test_a_thing_keeps_the_name_that_rules_gave_it(read) -> None:
    prompt = "a cup of tea above a dog, a bird"
    found = ((Relation.ABOVE, "cup", "dog", 0.5), (Relation.NEAR, "bird", "tea", 0.95))
    assert read(prompt, *found) == "cup above dog; bird next to cup"


def test_a_phrase_ends_with_what_the_network_takes_for_its_noun(read) -> None:
    prompt = "superhero lands on top of a taxi, a bird"
    assert str(read_by_rules(prompt).scene.relations[0]) == "superhero lands above taxi"
    found = (Relation.ABOVE, "superhero", "taxi", 0.9)
    assert read(prompt, found) == "superhero above taxi"
    assert read(prompt, (Relation.BELOW, "taxi", "superhero", 0.9)) == "superhero above taxi"
    assert [span.text for span in objects(prompt)] == ["superhero", "taxi", "bird"]
    assert read(prompt, found, (Relation.NEAR, "bird", "lands", 0.95)).endswith("; bird next to superhero")
    assert read(prompt, (Relation.ABOVE, "superhero", "taxi", 0.4)) == "superhero lands above taxi"


def test_a_thing_has_one_name(read) -> None:
    prompt = "a girl explorer above a crate, a lamp below her, a bird"
    found = (Relation.ABOVE, "explorer", "crate", 0.9), (Relation.BELOW, "lamp", "girl", 0.9)
    assert read(prompt, *found) == "girl explorer above crate; lamp below girl explorer"
    assert [span.text for span in objects(prompt)] == ["girl explorer", "crate", "lamp", "bird"]
    also = (Relation.NEAR, "bird", "girl", 0.95)
    assert read(prompt, *found, also).endswith("; bird next to girl explorer")


def test_pronouns_and_one_thing_alone_are_not_related(read) -> None:
    assert read("a cat, it sits, a dog", (Relation.ABOVE, "it", "dog", 0.99)) == ""
    assert read("a cup of tea", (Relation.ABOVE, "cup", "tea", 0.99)) == ""


def test_what_is_said_not_to_be_so_is_not_added(read) -> None:
    assert read("an apple, it is not near the pear", (Relation.NEAR, "apple", "pear", 0.99)) == ""
    assert read("an apple and a pear, not red", (Relation.NEAR, "apple", "pear", 0.99)) == "apple next to pear"
    assert read("a dog, but the cat isn't there, a key", (Place.AT_LEFT, "cat", None, 0.99)) == ""
    assert read("a dog, but the cat is there, not red", (Place.AT_LEFT, "cat", None, 0.99)) == "cat on the left"


def test_of_two_things_with_one_name_the_same_is_said_once(read) -> None:
    prompt = "a dog, a dog near a cat, a key"
    assert read(prompt, (Relation.NEAR, "dog", "cat", 0.99)).count("dog next to cat") == 1


def test_what_the_network_is_sure_of_needs_no_noun_that_rules_know(read) -> None:
    """Rules take "she" and "one" for nobody, and a reflection for nothing that has a place."""
    prompt = "two cats on a sofa, the black one underneath, she looks up, a reflection in the middle"
    found = (Relation.BELOW, "one", "sofa", 0.99), (Place.AT_TOP, "she", None, 0.99)
    read_now = read(prompt, *found, (Place.AT_CENTER, "reflection", None, 0.99))
    assert {"black one below sofa", "she at the top", "reflection in the center"} <= set(read_now.split("; "))


def test_beyond_what_the_network_reads_rules_stand_alone() -> None:
    prompt = "a lamp, " * 600 + "a cat above a dog"
    assert [str(one) for one in parse(prompt).relations] == ["cat above dog"]


@pytest.mark.parametrize("repeated", ["very highly detailed and sharp, ", "sharp, "])
def test_a_long_tail_of_tags_takes_nothing_away(repeated: str) -> None:
    scene = parse("a photo of a giraffe above an airplane, " + repeated * 100 + "a dog below a cat")
    assert [str(one) for one in scene.relations] == ["giraffe above airplane", "dog below cat"]


@pytest.mark.parametrize("prompt", ["", " ", "()", "\n", "\ud800", "\u200b", "._,"])
def test_a_prompt_without_words_has_no_likelihoods(prompt: str) -> None:
    assert likelihoods(prompt) is None
    assert parse(prompt).relations == ()


def test_wildcards_loras_and_embeddings_are_no_objects() -> None:
    """Rules take them for none, and the network does not add them."""
    prompt = "a __animal__ above a __vehicle__, <lora:cat_above_dog:1>, embedding:frog_on_mat to the left of a vase"
    assert " ".join(prompt[start:end] for start, end in words_of(prompt)) == "a above a to the left of a vase"
    assert parse(prompt).relations == ()


def test_of_alternatives_the_network_reads_what_rules_read() -> None:
    """One of "{a|b}" will stand there; of the others nothing is said."""
    prompt = "a {cat|parrot|dog} at the top, a {key}"
    assert [prompt[start:end] for start, end in likelihoods(prompt).words] == [
        "a",
        "dog",
        "at",
        "the",
        "top",
        "a",
        "key",
    ]


def test_an_article_names_nothing() -> None:
    assert parse("a giraffe above an").relations == () == parse("a giraffe above a").relations
