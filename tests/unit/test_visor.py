"""VISOR's rule and its figures against hand-counted examples."""

from __future__ import annotations

import math

import pytest

from steering_core.detection.boxes import Box, Found
from steering_core.evaluation.figures import Figures, PromptCounts, figures
from steering_core.evaluation.rules import Verdict
from steering_core.evaluation.statistics import wilson_interval
from steering_core.evaluation.visor import Trial, judge
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation

RIGHT, WRONG, ABSENT = Trial(True, True), Trial(True, False), Trial(False, False)


def at(label: str, x: float, y: float, score: float = 1.0) -> Found:
    """An object with its centre there, in pixels of a picture of 128×128."""
    return Found(label, Box(x / 128 - 0.1, y / 128 - 0.1, 0.2, 0.2), score)


CAT_LEFT_OF_DOG = [("cat", Relation.LEFT_OF, "dog")]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([at("cat", 10, 90), at("dog", 20, 5)], RIGHT),
        ([at("cat", 20, 5), at("dog", 10, 90)], WRONG),
        ([at("cat", 20, 5), at("dog", 20, 90)], WRONG),
        ([at("cat", 10, 90)], ABSENT),
        ([at("dog", 20, 5), at("cow", 10, 5)], ABSENT),
        ([], ABSENT),
    ],
)
def test_judges_presence_before_relation(found: list[Found], verdict: Trial) -> None:
    assert judge(CAT_LEFT_OF_DOG, found) == verdict


@pytest.mark.parametrize("side", [768, 1000, 1328])
def test_centres_of_equal_pixels_are_equal(side: int) -> None:
    """Shares of such sides are no numbers that a computer has."""
    for left in range(0, 300, 7):
        wide, narrow = ((left, 0, 99, 10), (left + 40, 20, 19, 10))
        found = [
            Found("dog", Box.of_pixels(wide, side, side)),
            Found("cat", Box.of_pixels(narrow, side, side)),
            Found("bird", Box.of_pixels((side // 2 - left - 1, 0, 2 * left + 2, 10), side, side)),
        ]
        for relation in (Relation.LEFT_OF, Relation.RIGHT_OF):
            assert not judge([("dog", relation, "cat")], found).correct
        for place in (Place.AT_LEFT, Place.AT_RIGHT):
            assert not judge([("bird", place, None)], found).correct


def test_every_relation_must_hold() -> None:
    relations = [*CAT_LEFT_OF_DOG, ("dog", Relation.ABOVE, "cow")]
    cat, dog = at("cat", 10, 50), at("dog", 60, 50)
    assert judge(relations, [cat, dog, at("cow", 0, 90)]) == RIGHT
    assert judge(relations, [cat, dog, at("cow", 0, 10)]) == WRONG
    assert judge(relations, [cat, dog]) == ABSENT


@pytest.mark.parametrize("reverse", [False, True])
def test_any_of_several_detections_that_fits_counts(reverse: bool) -> None:
    found = [at("cat", 10, 0, 0.8), at("cat", 100, 0, 0.9), at("dog", 50, 0)]
    assert judge(CAT_LEFT_OF_DOG, found[::-1] if reverse else found) == RIGHT


def test_nearness_is_measured_in_widths_of_the_image() -> None:
    near, cat = [("cat", Relation.NEAR, "dog")], at("cat", 10, 10)
    assert judge(near, [cat, at("dog", 73.9, 10)]) == RIGHT
    assert judge(near, [cat, at("dog", 74.1, 10)]) == WRONG


@pytest.mark.parametrize(
    ("place", "right", "wrong"),
    [
        (Place.AT_LEFT, (63, 120), (64, 0)),
        (Place.AT_RIGHT, (65, 0), (64, 0)),
        (Place.AT_TOP, (120, 63), (0, 65)),
        (Place.AT_BOTTOM, (0, 65), (0, 64)),
        (Place.AT_TOP_LEFT, (63, 63), (63, 65)),
        (Place.AT_TOP_RIGHT, (65, 63), (63, 63)),
        (Place.AT_BOTTOM_LEFT, (63, 65), (65, 65)),
        (Place.AT_BOTTOM_RIGHT, (65, 65), (65, 63)),
        (Place.AT_CENTER, (64 + 0.19 * 128, 64), (64 + 0.15 * 128, 64 + 0.15 * 128)),
    ],
)
def test_a_place_is_judged_by_the_middle_of_the_picture(place: Place, right: tuple, wrong: tuple) -> None:
    assert judge([("cat", place, None)], [at("cat", *right), at("dog", *wrong)]) == RIGHT
    assert judge([("cat", place, None)], [at("cat", *wrong), at("dog", *right)]) == WRONG
    assert judge([("cat", place, None)], [at("dog", *right)]) == ABSENT


def test_places_and_relations_must_all_hold() -> None:
    relations = [*CAT_LEFT_OF_DOG, ("dog", Place.AT_TOP, None)]
    assert judge(relations, [at("cat", 10, 90), at("dog", 60, 50)]) == RIGHT
    assert judge(relations, [at("cat", 10, 10), at("dog", 60, 90)]) == WRONG


def test_what_is_found_less_surely_than_a_tenth_does_not_count() -> None:
    found = [at("cat", 100, 0, 0.9), at("cat", 10, 0, 0.1), at("dog", 50, 0, 0.5)]
    assert judge(CAT_LEFT_OF_DOG, found) == RIGHT
    assert judge(CAT_LEFT_OF_DOG, [found[0], at("cat", 10, 0, 0.09), found[2]]) == WRONG
    assert judge(CAT_LEFT_OF_DOG, found[:2]) == ABSENT


def test_one_object_under_two_names_is_not_two() -> None:
    """A detector that knows persons only finds the girl and the woman in each of them."""
    relations = [("girl", Relation.NEAR, "woman")]
    one, other = (10, 10), (20, 10)
    both = [at(name, *place) for place in (one, other) for name in ("girl", "woman")]
    assert judge(relations, [at("girl", *one), at("woman", *one)]) == ABSENT
    assert judge(relations, both) == RIGHT
    assert judge([("girl", Relation.RIGHT_OF, "woman")], both) == RIGHT
    assert judge([("girl", Relation.ABOVE, "woman")], both) == WRONG


def test_two_different_objects_may_share_a_centre() -> None:
    near = [("dog", Relation.NEAR, "cat")]
    dog, cat = (Box.of_pixels(box, 100, 100) for box in ((10, 10, 30, 30), (0, 0, 50, 50)))
    assert judge(near, [Found("dog", dog), Found("cat", cat)]) == RIGHT
    persons = [Found(name, box) for box in (dog, cat) for name in ("girl", "woman")]
    assert judge([("girl", Relation.NEAR, "woman")], persons) == RIGHT


def test_one_place_under_two_names_that_differ_is_found_and_stands_in_no_relation() -> None:
    """An open-vocabulary detector, asked for one name after the other, may give both to one patch."""
    assert judge([("dog", Relation.NEAR, "cat")], [at("dog", 10, 10), at("cat", 10, 10)]) == WRONG


def test_of_each_name_the_same_object_has_to_fit_all_relations() -> None:
    relations = [*CAT_LEFT_OF_DOG, ("dog", Relation.ABOVE, "cow")]
    cat, cow = at("cat", 50, 50), at("cow", 51, 50)
    left_but_above, right_but_below = at("dog", 10, 10), at("dog", 90, 90)
    assert judge(relations, [cat, cow, left_but_above, right_but_below]) == WRONG
    assert judge(relations, [cat, cow, left_but_above, at("dog", 90, 10)]) == RIGHT


def figures_of(trials: list[list[Trial]]) -> Figures:
    """Of prompts, each with its pictures' verdicts."""
    return figures([PromptCounts.of([Verdict.of(trial) for trial in of_prompt]) for of_prompt in trials])


def test_figures_of_hand_counted_trials() -> None:
    told = figures_of(
        [
            [RIGHT, RIGHT, WRONG, ABSENT],
            [RIGHT, ABSENT, ABSENT, ABSENT],
            [RIGHT, RIGHT, RIGHT, RIGHT],
            [WRONG, WRONG, ABSENT, ABSENT],
            [ABSENT, ABSENT, ABSENT, ABSENT],
        ]
    )
    assert told.pictures == 20
    assert told.oa.value == 10 / 20
    assert told.visor_uncond.value == told.score.value == 7 / 20
    assert told.visor_cond.value == 7 / 10
    assert [one.value for one in told.visor_n] == [3 / 5, 2 / 5, 1 / 5, 1 / 5]


def test_conditional_share_is_undefined_without_objects() -> None:
    told = figures_of([[ABSENT, ABSENT]])
    assert math.isnan(told.visor_cond.value)
    assert [one.value for one in (told.oa, told.visor_uncond, *told.visor_n)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ([], "one prompt or more"),
        ([[], []], "one picture or more"),
        ([[RIGHT, RIGHT], [RIGHT]], r"as many pictures .*\[1, 2\]"),
    ],
)
def test_malformed_trials_are_refused(trials: list[list[Trial]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figures_of(trials)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_interval_agrees_with_published_values(successes: int, count: int, low: float, high: float) -> None:
    assert wilson_interval(successes / count, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("share", "count"), [(0.5, 0), (1.1, 10), (-0.1, 10), (math.nan, 10)])
def test_interval_refuses_impossible_input(share: float, count: int) -> None:
    with pytest.raises(ValueError, match="share in"):
        wilson_interval(share, count)
