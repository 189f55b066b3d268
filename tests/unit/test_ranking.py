"""Which pictures of a batch show a scene best."""

from __future__ import annotations

import re

import pytest

from steering_core.detection.boxes import Box, Found
from steering_core.detection.look import Look, PlacedRelation, placed_relations, seen_relations
from steering_core.evaluation.ranking import PictureScore, score_pictures
from steering_core.parser import parse
from steering_core.tokens import GroundedScene, Token, ground


def scene(prompt: str) -> GroundedScene:
    """Every word a token."""
    words = enumerate(re.finditer(r"\w+", prompt))
    return ground(parse(prompt), [Token(at, word.group(), word.span()) for at, word in words])


def at(label: str, x: float, y: float, score: float = 1.0) -> Found:
    return Found(label, Box(x, y, 0.0, 0.0), score)


ABOVE = scene("a dog above a cat")


def test_the_clearer_of_two_right_pictures_comes_first():
    pictures = [
        [at("dog", 0.5, 0.4), at("cat", 0.5, 0.6)],
        [at("dog", 0.5, 0.9), at("cat", 0.5, 0.1)],
        [at("dog", 0.5, 0.1), at("cat", 0.5, 0.9)],
        [at("dog", 0.5, 0.1)],
        [at("dog", 0.5, 0.4), at("cat", 0.5, 0.6)],
    ]
    scored = score_pictures(ABOVE, Look("it", pictures))
    assert [score.share for score in scored.scores] == [1, 0, 1, 0, 1]
    assert [score.clearness for score in scored.scores] == pytest.approx([0.2, -0.8, 0.8, -1.0, 0.2])
    assert scored.best(5) == [2, 0, 4, 1, 3] and scored.best(1) == [2] and len(scored.best(9)) == 5
    assert "seen in 3 of 5 pictures only: dog above cat" in scored.summary and "picture 3: 100%" in scored.summary


def test_more_relations_beat_clearer_ones():
    both = scene("a dog above a cat to the left of a car")
    pictures = [
        [at("dog", 0.1, 0.1), at("cat", 0.1, 0.9), at("car", 0.0, 0.9)],
        [at("dog", 0.5, 0.4), at("cat", 0.5, 0.5), at("car", 0.6, 0.5)],
    ]
    scored = score_pictures(both, Look("it", pictures))
    assert scored.scores == (PictureScore(0.5, pytest.approx(-0.1)), PictureScore(1.0, pytest.approx(0.1)))
    assert scored.best(1) == [1]


def test_the_surest_object_of_a_name_says_how_clear_it_is():
    pictures = [[at("dog", 0.5, 0.1, 0.4), at("dog", 0.5, 0.3, 0.9), at("cat", 0.5, 0.9)]]
    (score,) = score_pictures(ABOVE, Look("it", pictures)).scores
    assert score == PictureScore(1.0, pytest.approx(0.6))


def test_what_nobody_can_judge_does_not_count():
    two = scene("a dog above a cat below a wizard")
    look = Look("it", [[at("dog", 0.5, 0.1), at("cat", 0.5, 0.9)]], frozenset({"dog", "cat"}))
    scored = score_pictures(two, look)
    assert scored.scores == (PictureScore(1.0, pytest.approx(0.8)),)
    assert "not judged: cat below wizard" in scored.summary


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a wizard above a cat", "does not know 'wizard'"),
        ("a wizard", '"a wizard" states no relation. State one in the prompt'),
    ],
)
def test_where_nothing_can_be_judged_the_pictures_come_all_the_same(prompt, told):
    look = Look("it", [[at("cat", 0.5, 0.9)], []], frozenset({"dog", "cat"}))
    scored = score_pictures(scene(prompt), look)
    assert scored.scores == (PictureScore(0.0, -1.0),) * 2 and scored.best(2) == [0, 1]
    assert scored.summary.startswith("No picture can be scored") and told in scored.summary


def test_a_place_is_seen_or_not_and_said_to_be_unclear_of_two():
    pictures = [
        [at("dog", 0.1, 0.5), at("cat", 0.9, 0.1)],
        [at("dog", 0.6, 0.5), at("cat", 0.9, 0.1)],
        [at("dog", 0.2, 0.5), at("dog", 0.6, 0.5), at("cat", 0.6, 0.3)],
        [at("cat", 0.9, 0.1)],
    ]
    scored = score_pictures(scene("a dog on the left, a cat in the upper right corner"), Look("it", pictures))
    assert [score.share for score in scored.scores] == [1, 0.5, 0.5, 0.5]
    assert [score.clearness for score in scored.scores] == pytest.approx([0.4, -0.1, -0.1, -1.0])
    left, corner = scored.relations
    assert left.failures == (None, "not on the left", "unclear, 2 × dog", "no dog")
    assert str(corner).endswith("cat in the upper right corner in 4 of 4 pictures")


def test_relations_stand_where_all_of_their_objects_were_found():
    """By the surest of each; a place has one object. What nobody can judge is left out."""
    both = scene("a dog above a cat on the left")
    pictures = [
        [at("dog", 0.5, 0.1, 0.4), at("dog", 0.6, 0.3, 0.9), at("cat", 0.7, 0.9)],
        [at("dog", 0.5, 0.1)],
        [at("dog", 0.5, 0.9), at("cat", 0.2, 0.1)],
    ]
    look = Look("it", pictures)
    first, second, third = placed_relations(both, look, seen_relations(both, look))
    assert first == [
        PlacedRelation("above", (pytest.approx((0.6, 0.3)), pytest.approx((0.7, 0.9))), True),
        PlacedRelation("on the left", (pytest.approx((0.7, 0.9)),), False),
    ]
    assert second == []
    assert [(one.relation, one.seen) for one in third] == [("above", False), ("on the left", True)]
    ignorant = Look("it", pictures, frozenset({"cat"}))
    told = placed_relations(both, ignorant, seen_relations(both, ignorant))
    assert [[one.relation for one in of_picture] for of_picture in told] == [["on the left"], [], ["on the left"]]
