from __future__ import annotations

import hashlib
import itertools
from collections import Counter

import numpy as np
import pytest

from steering_core.miniature.captions import AGREEMENT, caption, enumerate_objects, with_article
from steering_core.miniature.prompts import chained_prompts, place_prompts, seen_pair_prompts, unseen_pair_prompts
from steering_core.miniature.world import (
    IMAGE_SIZE,
    MAX_OBJECTS,
    OBJECTS,
    glyphs,
    is_unseen_pair,
    render,
    sample_layout,
    sample_objects,
    unseen_pairs,
)
from steering_core.parser import parse
from steering_core.relations.place import Place
from steering_core.relations.relation import CARDINAL_RELATIONS, Relation

MEASURED = "e2eeaa59df4b5e2cb00d0ce394bd95839e56b082b144cfb0c5934829ed534217"


def layouts(count: int, objects: int):
    rng = np.random.default_rng(0)
    return [sample_layout(rng, sample_objects(rng, objects)) for _ in range(count)]


def test_world_has_at_least_24_objects_with_a_picture_each():
    assert len(OBJECTS) >= 24
    assert set(glyphs()) == set(OBJECTS)
    assert len({glyph.tobytes() for glyph in glyphs().values()}) == len(OBJECTS)


@pytest.mark.parametrize("objects", range(1, MAX_OBJECTS + 1))
def test_objects_stand_apart_inside_the_picture(objects):
    for layout in layouts(30, objects):
        assert len({placement.name for placement in layout.placements}) == objects
        for left, top, right, bottom in (placement.box for placement in layout.placements):
            assert left >= 0 and top >= 0 and right <= IMAGE_SIZE and bottom <= IMAGE_SIZE
        for a, b in itertools.combinations([placement.box for placement in layout.placements], 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_unseen_pairs_never_occur_together():
    assert is_unseen_pair("giraffe", "airplane")
    for layout in layouts(200, MAX_OBJECTS):
        names = [placement.name for placement in layout.placements]
        assert not any(is_unseen_pair(a, b) for a, b in itertools.combinations(names, 2))


def test_pictures_are_the_same_for_the_same_seed():
    first, again = (render(layouts(1, 3)[0]) for _ in range(2))
    assert first.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)


def test_an_object_shows_where_it_is_placed():
    layout = layouts(1, 1)[0]
    left, top, right, bottom = layout.placements[0].box
    picture = render(layout).astype(int)
    changed = np.abs(picture - picture[0, 0]).sum(axis=-1) > 120
    rows, columns = np.nonzero(changed)
    assert left <= columns.min() and columns.max() < right
    assert top <= rows.min() and rows.max() < bottom


def test_captions_agree_with_the_picture_a_little_more_often_than_chance():
    rng = np.random.default_rng(0)
    true, stated = 0, 0
    for layout in layouts(1500, 2):
        centres = {placement.name: (placement.x, placement.y) for placement in layout.placements}
        for relation in parse(caption(rng, layout.placements)).relations:
            stated += 1
            true += relation.relation.holds(centres[relation.subject.text], centres[relation.object.text])
    assert stated > 900
    assert abs(true / stated - AGREEMENT) < 0.04


def test_captions_name_every_object():
    rng = np.random.default_rng(1)
    for layout in layouts(50, 4):
        text = caption(rng, layout.placements)
        assert all(with_article(placement.name) in text for placement in layout.placements)


def test_enumerations_read_as_english():
    assert enumerate_objects(["apple"]) == "an apple"
    assert enumerate_objects(["dog", "cat", "car"]) == "a dog, a cat and a car"


def test_measured_prompts_are_200_different_ones_of_unseen_pairs():
    prompts = unseen_pair_prompts(200, seed=0)
    assert len({prompt.text for prompt in prompts}) == 200
    assert all(is_unseen_pair(a, b) for prompt in prompts for a, _, b in prompt.relations)
    counts = [sum(prompt.relations[0][1] is relation for prompt in prompts) for relation in CARDINAL_RELATIONS]
    assert counts == [50] * 4
    assert prompts == unseen_pair_prompts(200, seed=0)


def test_prompts_that_were_measured_are_measured_again():
    """Tables of other versions are compared with these."""
    texts = "".join(prompt.text for prompt in unseen_pair_prompts(384, seed=0))
    assert hashlib.sha256(texts.encode()).hexdigest() == MEASURED


def test_seen_pairs_are_all_pairs_that_training_shows():
    prompts = seen_pair_prompts(1824, seed=0)
    assert len({prompt.text for prompt in prompts}) == 1824
    assert not any(is_unseen_pair(*prompt.objects) for prompt in prompts)
    assert Counter(prompt.relations[0][1] for prompt in prompts[:8]) == dict.fromkeys(CARDINAL_RELATIONS, 2)
    with pytest.raises(ValueError, match="1824 prompts"):
        seen_pair_prompts(1825, seed=0)


def test_prompts_can_be_of_other_relations():
    prompts = unseen_pair_prompts(96, 0, (Relation.NEAR,))
    assert {relation for prompt in prompts for _, relation, _ in prompt.relations} == {Relation.NEAR}
    assert len({prompt.text for prompt in prompts}) == 96
    assert prompts[0].text == "a photo of a car next to an apple"
    with pytest.raises(ValueError, match="There are 96 prompts"):
        unseen_pair_prompts(97, 0, (Relation.NEAR,))


def test_prompts_of_places_are_read_back_and_ask_two_different_ones():
    prompts = place_prompts(72, 0)
    assert len({prompt.text for prompt in prompts}) == 72 and prompts[:5] == place_prompts(5, 0)
    for prompt in prompts:
        assert parse(prompt.text).relations == prompt.scene.relations
        (_, first, _), (_, second, _) = prompt.relations
        assert first is not second and {first, second} <= set(Place)
    with pytest.raises(ValueError, match="There are 72 prompts of places; 73"):
        place_prompts(73, 0)


def test_all_prompts_of_unseen_pairs_can_be_asked_for():
    count = len(unseen_pairs()) * 2 * len(CARDINAL_RELATIONS)
    assert len({prompt.text for prompt in unseen_pair_prompts(count, seed=0)}) == count
    with pytest.raises(ValueError, match=str(count)):
        unseen_pair_prompts(count + 1, seed=0)


@pytest.mark.parametrize("chains", [(3,), (4,), (2, 2), (2, 3)])
def test_chained_prompts_have_their_objects_and_relations(chains):
    for prompt in chained_prompts(20, chains, seed=0):
        assert len(prompt.objects) == sum(chains)
        assert len(prompt.relations) == sum(chains) - len(chains)
        assert not any(is_unseen_pair(*pair) for pair in itertools.combinations(prompt.objects, 2))
        assert prompt.text.count(" and ") == len(chains) - 1


@pytest.mark.parametrize("chains", [(1,), (2, 2, 2)])
def test_chains_that_no_picture_holds_are_refused(chains):
    with pytest.raises(ValueError, match="5 in all"):
        chained_prompts(1, chains, seed=0)


@pytest.mark.parametrize("chains", [None, (3,), (4,), (2, 2), (2, 3)])
def test_the_parser_reads_the_measured_prompts_back(chains):
    for prompt in chained_prompts(100, chains, seed=0) if chains else unseen_pair_prompts(200, seed=0):
        read = [(r.subject.text, r.relation, r.object.text) for r in parse(prompt.text).relations]
        assert read == list(prompt.relations)


@pytest.mark.parametrize("relation", list(Relation))
def test_relation_holds_as_its_inverse_does_for_the_swapped_pair(relation):
    rng = np.random.default_rng(0)
    for a, b in rng.random((50, 2, 2)):
        assert relation.holds(a, b) == relation.inverse.holds(b, a)
