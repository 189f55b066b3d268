"""The field's scores on cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from steering_core.detection.boxes import Box, Found
from steering_core.evaluation.geneval import judge_geneval, positions
from steering_core.evaluation.rules import GENEVAL, RULES, T2I_COMPBENCH, VISOR, check_rule
from steering_core.evaluation.statistics import difference, estimate, ratio, share, wilson_interval
from steering_core.evaluation.suites import ScenePrompt, Suite
from steering_core.evaluation.t2i_compbench import relation_score, t2i_compbench_score
from steering_core.evaluation.variety import Moments, frechet_distance, spread_over_seeds
from steering_core.evaluation.visor import Trial
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation

SQUARE = (100, 100)
ABOVE = (("dog", Relation.ABOVE, "cat"),)


def around(x: float, y: float, width: float = 0.2, height: float = 0.2) -> Box:
    """A box with its centre there."""
    return Box(x - width / 2, y - height / 2, width, height)


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ((0.5, 0.5), set()),
        # A tenth of 0.2 + 0.2 is taken off the offset.
        ((0.5, 0.46), set()),
        # (0.05 - 0.04) / 0.05 is a fifth.
        ((0.5, 0.45), set()),
        # (0.09 - 0.04) / 0.09 is more than half.
        ((0.5, 0.41), {Relation.ABOVE}),
        ((0.5, 0.9), {Relation.BELOW}),
        ((0.1, 0.5), {Relation.LEFT_OF}),
        # (0.4 - 0.04) / √0.32 in both directions.
        ((0.9, 0.1), {Relation.RIGHT_OF, Relation.ABOVE}),
        # (0.2 - 0.04) / √(0.04 + 0.16) is 0.36.
        ((0.7, 0.1), {Relation.ABOVE}),
    ],
)
def test_geneval_takes_sizes_into_account(subject, told):
    assert positions(around(*subject), around(0.5, 0.5), SQUARE) == told


def test_geneval_measures_in_pixels():
    subject, object = around(0.7, 0.1), around(0.5, 0.5)
    # In a picture twice as wide: (0.4 - 0.08) / √(0.16 + 0.16) and (0.4 - 0.04) / √0.32.
    assert positions(subject, object, (200, 100)) == {Relation.RIGHT_OF, Relation.ABOVE}


def test_geneval_knows_what_is_sure_and_surest():
    cat, low = Found("cat", around(0.5, 0.9), 0.9), Found("dog", around(0.5, 0.1), 0.3)
    assert judge_geneval(ABOVE, [low, cat], SQUARE) == Trial(False, False)
    sure = [Found("dog", around(0.5, 0.1), 0.6), Found("dog", around(0.5, 1.0), 0.5), cat]
    for found in (sure, sure[::-1]):
        assert judge_geneval(ABOVE, found, SQUARE) == Trial(True, True)
    assert judge_geneval((("cat", Relation.ABOVE, "dog"),), sure, SQUARE) == Trial(True, False)


def persons(*found: tuple[Box, float], names=("girl", "woman")) -> list[Found]:
    """As a detector that knows persons only gives them."""
    return [Found(name, box, score) for box, score in found for name in names]


def test_geneval_gives_each_name_an_object_of_its_own():
    asked = (("girl", Relation.LEFT_OF, "woman"),)
    left, right, above = around(0.1, 0.5), around(0.9, 0.5), around(0.5, 0.1)
    assert judge_geneval(asked, persons((left, 0.9)), SQUARE) == Trial(False, False)
    assert judge_geneval(asked, persons((left, 0.9), (right, 0.2)), SQUARE) == Trial(False, False)
    for sure, less in ((left, right), (right, left)):
        assert judge_geneval(asked, persons((sure, 0.9), (less, 0.8)), SQUARE) == Trial(True, True)
    # The two surest count: which of them is the girl is open, and not that it is one of them.
    wrong = persons((left, 0.9), (around(0.1, 0.9), 0.8), (right, 0.7))
    assert judge_geneval(asked, wrong, SQUARE) == Trial(True, False)
    assert judge_geneval((*asked, ("woman", Relation.BELOW, "cat")), persons((left, 0.9), (right, 0.8)), SQUARE) == (
        Trial(False, False)
    )
    cat = Found("cat", above, 0.9)
    two = (*asked, ("cat", Relation.ABOVE, "woman"))
    assert judge_geneval(two, [cat, *persons((around(0.5, 0.9), 0.5), (left, 0.4))], SQUARE) == Trial(True, True)


def test_t2i_compbench_gives_each_name_an_object_of_its_own():
    (near, left_of) = ((("girl", relation, "woman"),) for relation in (Relation.NEAR, Relation.LEFT_OF))
    left, right = around(0.1, 0.5), around(0.9, 0.5)
    verdict = RULES[T2I_COMPBENCH]
    told = verdict(near, persons((left, 0.9)), SQUARE)
    assert (told.score, told.trial) == (0.0, Trial(False, False))
    assert t2i_compbench_score(near[0], persons((left, 0.9)), SQUARE) == 0.0
    for sure, less in ((left, right), (right, left)):
        told = verdict(left_of, persons((sure, 0.9), (less, 0.7)), SQUARE)
        assert (told.score, told.trial) == (pytest.approx(0.9), Trial(True, True))


def test_with_several_relations_an_object_has_one_name_in_all_of_them():
    """Two persons beside each other: either relation holds of one choice of names, and not both of one."""
    asked = (("girl", Relation.LEFT_OF, "woman"), ("woman", Relation.LEFT_OF, "girl"))
    found = persons((around(0.1, 0.5), 0.9), (around(0.9, 0.5), 0.7))
    assert RULES[T2I_COMPBENCH](asked, found, SQUARE).score == pytest.approx(0.9 / 2)
    missing = (("girl", Relation.LEFT_OF, "woman"), ("woman", Relation.LEFT_OF, "cat"))
    told = RULES[T2I_COMPBENCH](missing, found, SQUARE)
    assert (told.score, told.trial) == (pytest.approx(0.9 / 2), Trial(False, False))
    three = (("girl", Relation.LEFT_OF, "woman"), ("woman", Relation.LEFT_OF, "man"))
    two = persons((around(0.1, 0.5), 0.9), (around(0.9, 0.5), 0.7), names=("girl", "woman", "man"))
    told = RULES[T2I_COMPBENCH](three, two, SQUARE)
    assert (told.score, told.trial) == (pytest.approx(0.9 / 2), Trial(False, False))


def test_names_that_differ_for_the_detector_are_judged_as_published():
    """The surest of each, of equally sure ones the last; both in one place are two."""
    first, last = Found("dog", around(0.5, 0.9)), Found("dog", around(0.5, 0.1))
    cat = Found("cat", around(0.5, 0.5))
    assert judge_geneval(ABOVE, [first, last, cat], SQUARE).correct
    assert not judge_geneval(ABOVE, [last, first, cat], SQUARE).correct
    (triplet,) = ABOVE
    assert t2i_compbench_score(triplet, [first, last, cat], SQUARE) == 1.0
    assert t2i_compbench_score(triplet, [last, first, cat], SQUARE) == 0.5
    near = ("dog", Relation.NEAR, "cat")
    assert t2i_compbench_score(near, [Found("dog", cat.box), cat], SQUARE) == 1.0


def test_many_names_of_one_object_take_no_time():
    names = ("person", "girl", "boy", "woman", "man")
    asked = tuple((one, Relation.LEFT_OF, "bird") for one in names)
    found = persons(*((around(x / 60, 0.5), 0.9 - x / 100) for x in range(50)), names=names)
    assert not judge_geneval(asked, found, SQUARE).present
    assert RULES[T2I_COMPBENCH](asked, found, SQUARE).score == 0.0


@pytest.mark.parametrize(
    ("relation", "subject", "score"),
    [
        (Relation.ABOVE, around(0.5, 0.1), 1.0),
        (Relation.ABOVE, around(0.5, 0.9), 0.0),
        (Relation.ABOVE, around(0.8, 0.4), 0.0),  # further to the side than up
        (Relation.ABOVE, around(0.8, 0.2), 0.0),  # as far
        (Relation.LEFT_OF, around(0.1, 0.4), 1.0),
        (Relation.RIGHT_OF, around(0.1, 0.4), 0.0),
        # Half of each box is common: an IoU of a third.
        (Relation.RIGHT_OF, around(0.6, 0.5), 0.3),
        (Relation.BELOW, around(0.5, 0.6), 0.3),
        (Relation.NEAR, around(0.9, 0.6), 1.0),  # near along one axis is enough
        (Relation.NEAR, around(0.9, 0.9), 150 / 512 / 0.4),
    ],
)
def test_t2i_compbench_scores_relations(relation, subject, score):
    assert relation_score(relation, subject, around(0.5, 0.5), SQUARE) == pytest.approx(score)


def test_t2i_compbench_adds_up_and_cuts_off():
    up, down = around(0.5, 0.1), around(0.5, 0.9)
    (triplet,) = ABOVE
    assert t2i_compbench_score(triplet, [Found("dog", up, 0.8), Found("cat", down, 0.6)], SQUARE) == pytest.approx(0.85)
    assert t2i_compbench_score(triplet, [Found("dog", down, 0.8), Found("cat", up, 0.6)], SQUARE) == 0.0  # 0.35
    assert t2i_compbench_score(triplet, [Found("dog", down, 1.0), Found("cat", up, 1.0)], SQUARE) == 0.5
    assert t2i_compbench_score(triplet, [Found("dog", up, 1.0)], SQUARE) == 0.0
    found = [Found("dog", down, 0.4), Found("dog", up, 0.8), Found("cat", down, 0.6)]
    assert t2i_compbench_score(triplet, found, SQUARE) == pytest.approx(0.85)
    with pytest.raises(ValueError, match="above and to the left of"):
        relation_score(Relation.ABOVE_LEFT, up, down, SQUARE)


def test_t2i_compbench_measures_in_pixels():
    """0.3 of 1024 to the side is more than 0.4 of 512 down."""
    subject, object = around(0.2, 0.1), around(0.5, 0.5)
    assert relation_score(Relation.LEFT_OF, subject, object, (1024, 512)) == 1.0
    assert relation_score(Relation.LEFT_OF, subject, object, SQUARE) == 0.0
    assert relation_score(Relation.NEAR, around(0.5, 0.9), around(0.2, 0.3), (1024, 512)) == pytest.approx(
        150 / 512 * (1024 * 512) ** 0.5 / 307.2
    )


@pytest.mark.parametrize("side", [768, 1000, 1328])
def test_t2i_compbench_counts_no_diagonal_of_equal_pixels(side):
    for offset in range(1, 300, 7):
        upper, lower = ((5, 9, 30, 30), (5 + offset, 9 + offset, 30, 30))
        subject, object = (Box.of_pixels(box, side, side) for box in (upper, lower))
        assert relation_score(Relation.LEFT_OF, subject, object, (side, side)) == 0.0


def test_an_interval_covers_what_resampling_prompts_covers():
    pictures = [4] * 50
    alike = estimate(ratio, [4, 0] * 25, pictures)
    unlike = estimate(ratio, [2, 2] * 25, pictures)
    assert alike.value == unlike.value == 0.5
    assert unlike.low == unlike.high == 0.5
    # The standard error of 50 prompts that are all right or all wrong is 0.5 / √50 = 0.071.
    assert alike.high - alike.low == pytest.approx(2 * 1.96 * 0.071, rel=0.1)
    assert estimate(ratio, [4, 0] * 25, pictures) == alike


def test_where_all_prompts_agree_the_interval_is_that_of_as_many_pictures():
    assert share([2, 0], [4, 4]) == estimate(ratio, [2, 0], [4, 4])
    for counted, value in ((4, 1.0), (0, 0.0), (1, 0.25)):
        told = share([counted] * 10, [4] * 10)
        assert (told.value, told.low, told.high) == (value, *wilson_interval(value, 10))
    assert share([1, 0, 0], [2, 0, 0]).high > 0.9
    assert math.isnan(share([0], [0]).low)


@pytest.mark.parametrize(
    ("counted", "out_of"),
    [([0.95] * 20, [1] * 20), ([0.7] * 7, [1] * 7), ([0.1 + 0.2, 0.3] * 5, [1] * 10), ([0.7, 1.4] * 6, [1, 2] * 6)],
)
def test_prompts_agree_whatever_their_sums_are_rounded_to(counted, out_of):
    told = share(counted, out_of)
    assert (told.low, told.high) == pytest.approx(wilson_interval(told.value, len(counted)))
    gain = difference([0.0] * len(counted), counted, out_of)
    assert gain.value == pytest.approx(told.value) and math.isnan(gain.low) and math.isnan(gain.high)


def test_prompts_that_differ_by_little_are_resampled():
    counted = [0.7, 0.7001] * 10
    told = share(counted, [1] * 20)
    assert told == estimate(ratio, counted, [1] * 20) and told.high - told.low < 1e-4
    assert not math.isnan(difference([0.0] * 20, counted, [1] * 20).low)


def test_a_figure_of_nothing_is_none():
    none = estimate(ratio, [0, 0], [0, 0])
    assert all(math.isnan(value) for value in (none.value, none.low, none.high))
    for wrong in ((), ([],), ([], [])):
        with pytest.raises(ValueError, match="same prompts"):
            estimate(ratio, *wrong)


def test_a_paired_difference_is_surer_than_two_intervals():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, size=60)
    gain = difference(first, first + rng.integers(0, 2, size=60), [4] * 60)
    assert 0.05 < gain.low < gain.value < gain.high < 0.2 and gain.high - gain.low < 0.08
    sure = difference(first, first + 1, [4] * 60)
    assert sure.value == pytest.approx(0.25) and math.isnan(sure.low) and math.isnan(sure.high)
    apart = estimate(ratio, first, [4] * 60)
    assert apart.high - apart.low > 0.1


def moments(features: torch.Tensor, at_once: int = 100) -> Moments:
    taken = Moments()
    for some in features.split(at_once):
        taken.add(some)
    return taken


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    return frechet_distance(moments(first), moments(second))


def test_the_frechet_distance_of_normal_distributions():
    """Of N(0, 1) and N(3, 4) in each of two independent directions: 3² + (2 - 1)² each."""
    half = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], dtype=torch.float64) * math.sqrt(3 / 4)
    assert torch.allclose(half.T.cov(), torch.eye(2, dtype=torch.float64))
    assert distance(half, 2 * half + 3) == pytest.approx(20)
    turned = half @ torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    assert distance(half, half) == pytest.approx(0, abs=1e-9)
    assert distance(turned, 2 * turned) == pytest.approx(2)
    one = half[:, :1]
    assert distance(one, one + 1) == pytest.approx(1)


def test_fewer_pictures_than_features_have_a_distance():
    torch.manual_seed(0)
    first, second = torch.randn(5, 40), torch.randn(6, 40)
    assert 0 < distance(first, second) == pytest.approx(distance(second, first), rel=1e-6)
    for wrong in (torch.randn(1, 40), torch.randn(5, 39), torch.randn(40), torch.full((5, 40), math.nan)):
        with pytest.raises(ValueError, match="expected"):
            distance(first, wrong)


def test_features_can_come_a_few_at_a_time():
    torch.manual_seed(0)
    features = torch.randn(50, 6) @ torch.randn(6, 6) + 3
    mean, covariance = moments(features, at_once=7).mean_and_covariance
    torch.testing.assert_close(mean, features.double().mean(dim=0))
    torch.testing.assert_close(covariance, features.double().T.cov())
    with pytest.raises(ValueError, match="expected"):
        moments(features).add(torch.randn(3, 5))


def test_spread_over_seeds_by_hand():
    left, right = Found("dog", around(0.3, 0.5)), Found("dog", around(0.7, 0.5, 0.4, 0.4))
    place, size = spread_over_seeds("dog", [[left], [right], [], [Found("cat", around(0.1, 0.1))]])
    assert place == pytest.approx(0.2)
    assert size == pytest.approx(math.log(4) / 2)
    assert spread_over_seeds("dog", [[left], [left]]) == (0.0, 0.0)
    assert all(math.isnan(value) for value in spread_over_seeds("dog", [[left], []]))


def test_a_place_is_none_of_the_other_benchmarks_relations():
    found, asked = [Found("dog", around(0.1, 0.1))], (("dog", Place.AT_LEFT, None),)
    with pytest.raises(ValueError, match='judges no "on the left"'):
        judge_geneval(asked, found, SQUARE)
    suite = Suite("mine", (ScenePrompt(asked),), (0,))
    check_rule(VISOR, suite)
    for rule in (GENEVAL, T2I_COMPBENCH):
        with pytest.raises(ValueError, match='knows no "on the left"'):
            check_rule(rule, suite)
    with pytest.raises(ValueError, match='scores no "on the left"'):
        relation_score(Place.AT_LEFT, around(0.1, 0.1), around(0.9, 0.9), SQUARE)
