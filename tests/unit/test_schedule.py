from __future__ import annotations

import math
from dataclasses import replace

import pytest

from steering_core.schedule import BOUND_MOVE, DESCENT, GUIDANCE, IN_TURN, MOVE, SamplingStep, SteeringSchedule


@pytest.mark.parametrize(
    ("start", "end", "steps", "expected"),
    [
        (0.0, 0.25, 8, [0, 1]),
        (0.0, 0.25, 25, [0, 1, 2, 3, 4, 5, 6]),
        (0.5, 0.75, 8, [4, 5]),
        (0.0, 1.0, 3, [0, 1, 2]),
        (0.0, 0.01, 1, [0]),
        (0.9, 1.0, 4, [3]),
    ],
)
def test_window_counts_the_share_of_steps_before_a_step(start, end, steps, expected):
    schedule = SteeringSchedule(start=start, end=end)
    assert schedule.steered_steps(steps) == expected
    assert [step for step in range(steps) if schedule.is_active(step, steps)] == expected


@pytest.mark.parametrize(
    ("end", "steered"),
    [
        (0.25, {1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3, 8: 4, 12: 4, 15: 4, 16: 4, 17: 5, 25: 7, 50: 13}),
        (0.1, {4: 2, 8: 2, 12: 2, 16: 2, 25: 3}),
        (0.5, {4: 2, 8: 4, 25: 13}),
        (0.75, {4: 3, 8: 6, 25: 19}),
    ],
)
def test_spread_moves_have_a_longer_window_in_few_steps_up_to_half_of_them(end, steered):
    schedule = SteeringSchedule(end=end, spread=True)
    assert {steps: len(schedule.steered_steps(steps)) for steps in steered} == steered


def test_a_window_that_fades_out_does_so_at_its_later_end():
    schedule = SteeringSchedule(decay=1.0, step_size=1.0, spread=True)
    assert [schedule.size_at(SamplingStep(step, 8, 0.0)) for step in range(5)] == [1.0, 0.75, 0.5, 0.25, 0.0]


def refinements(schedule: SteeringSchedule, steps: int) -> list[int]:
    """Of each steered step of a run."""
    return [schedule.refinements_at(SamplingStep(step, steps, 0.0)) for step in schedule.steered_steps(steps)]


def test_fewer_steered_steps_have_more_refinements():
    schedule, spread = SteeringSchedule(), SteeringSchedule(spread=True)
    for few, two, more, of in ((1, 5, 9, schedule), (4, 8, 13, schedule), (1, 3, 5, spread), (2, 4, 25, spread)):
        assert refinements(of, few) == [4] and refinements(of, two) == [2, 1] and set(refinements(of, more)) == {1}
    assert refinements(SteeringSchedule(order=IN_TURN), 8) == [2, 2]  # each is of another relation
    assert refinements(SteeringSchedule(refinements=3), 1) == refinements(SteeringSchedule(refinements=3), 4) == [3]


def test_relations_are_due_together_or_in_turn():
    assert list(SteeringSchedule().due("abc", 4)) == ["a", "b", "c"]
    in_turn = SteeringSchedule(order=IN_TURN)
    assert [list(in_turn.due("abc", step)) for step in range(4)] == [["a"], ["b"], ["c"], ["a"]]


def test_a_strength_is_one_move_for_both_rules():
    step = SamplingStep(0, 25, 0.0)
    for update in (DESCENT, GUIDANCE):
        assert SteeringSchedule(update).size_at(step) == MOVE
        assert SteeringSchedule(update, strength=2.0).size_at(step) == 2 * MOVE
        assert SteeringSchedule(update, step_size=0.3).size_at(step) == 0.3


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"update": "both"}, "update"),
        ({"order": "random"}, "order"),
        ({"start": 0.3, "end": 0.3}, "window"),
        ({"start": -0.1}, "window"),
        ({"end": 1.1}, "window"),
        ({"end": math.nan}, "window"),
        ({"step_size": -1.0}, "step_size"),
        ({"step_size": math.nan}, "step_size"),
        ({"strength": -1.0}, "strength"),
        ({"strength": math.inf}, "strength"),
        ({"strength": 0.5, "step_size": 0.1}, "strength"),
        ({"normalize": False}, "step_size"),
        ({"refinements": 0}, "refinements"),
        ({"rest": -1}, "rest"),
    ],
)
def test_settings_out_of_range_are_named(settings, named):
    with pytest.raises(ValueError, match=named):
        SteeringSchedule(**settings)


@pytest.mark.parametrize(
    ("start", "end", "steps", "steered"),
    [
        (0, 0.25, 4, [0]),
        (0, 0.25, 1, [0]),
        (0.1, 0.2, 4, [0]),
        (0.3, 0.45, 4, [1]),
        (0.9, 1, 2, [1]),
        (0.5, 0.6, 4, [2]),
    ],
)
def test_a_window_always_holds_a_step(start, end, steps, steered):
    schedule = SteeringSchedule(start=start, end=end, decay=1.0, step_size=2.0)
    assert schedule.steered_steps(steps) == steered
    assert schedule.size_at(SamplingStep(steered[0], steps, 0.0)) <= 2.0


def test_a_run_without_steps_has_none_to_steer_or_bind():
    for schedule in (SteeringSchedule(GUIDANCE, bound=0.5), SteeringSchedule(spread=True, restarts=1)):
        of_run = schedule.along([])
        assert (of_run.steered_steps(0), of_run.bound_steps(0), of_run.look_before_restart(0)) == ([], 0, None)


def test_a_strength_of_zero_steers_no_step():
    schedule = SteeringSchedule(strength=0.0)
    assert schedule.steered_steps(25) == [] and schedule.refinements_at(SamplingStep(0, 25, 0.0)) >= 1
    assert SteeringSchedule(step_size=0.0).steered_steps(25) != []  # it probes, and moves nowhere


def test_a_share_of_the_steps_is_bound_and_one_at_least_whatever_the_strength():
    schedule = SteeringSchedule(strength=0.0, bound=0.25)
    assert [schedule.bound_steps(steps) for steps in (1, 4, 8, 25)] == [1, 1, 2, 6]
    assert SteeringSchedule().bound_steps(25) == 0 and SteeringSchedule(bound=1.0).bound_steps(25) == 25
    assert schedule.steered_steps(8) == []
    for bound in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="bound must be from 0 to 1"):
            SteeringSchedule(bound=bound)


def shifted(steps: int, shift: float, first: int = 0) -> list[float]:
    """Share of noise before each step of a flow whose times are shifted, after (``first``) steps that are left out."""
    times = [1 - step / steps for step in range(first, steps)]
    return [shift * time / (1 + (shift - 1) * time) for time in times]


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 9, 25, 50])
@pytest.mark.parametrize("window", [{}, {"start": 0.1, "end": 0.6}, {"start": 0.3, "end": 0.45}])
def test_noise_that_falls_evenly_leaves_the_window_as_it_is(steps, window):
    schedule = SteeringSchedule(spread=True, decay=0.5, **window)
    assert schedule.along(shifted(steps, 1.0)) is schedule


@pytest.mark.parametrize(
    ("steps", "first", "chosen"),
    [(8, 0, [0, 2, 4, 5]), (4, 0, [0, 2]), (25, 0, [0, 2, 5, 7, 8, 10, 11]), (16, 8, [8, 10, 11, 12])],
)
def test_where_noise_is_shifted_as_many_moves_lie_evenly_over_it(steps, first, chosen):
    schedule = SteeringSchedule(spread=True)
    levels = shifted(steps, 3.0, first)
    along = schedule.along(levels)
    assert [first + step for step in along.steered_steps(len(levels))] == chosen
    assert len(chosen) == len(schedule.steered_steps(len(levels)))
    assert refinements(along, len(levels)) == refinements(schedule, len(levels))


def test_noise_that_falls_early_leaves_fewer_steps_and_more_moves_in_each():
    along = SteeringSchedule(spread=True).along(shifted(8, 0.3))
    assert along.steered_steps(8) == [0, 1] and refinements(along, 8) == [2, 1]


def test_moves_that_are_not_spread_and_a_run_without_noise_keep_their_steps():
    for schedule in (SteeringSchedule(), SteeringSchedule(spread=False), SteeringSchedule(spread=True, strength=0.0)):
        assert schedule.along(shifted(25, 3.0)) is schedule
    schedule = SteeringSchedule(spread=True)
    assert schedule.along([0.0] * 8) is schedule


def test_the_next_run_is_laid_out_anew():
    schedule = SteeringSchedule(spread=True)
    assert schedule.along(shifted(25, 3.0)) != schedule.along(shifted(8, 3.0))
    assert schedule.along(shifted(25, 1.0)) == schedule


def test_steps_that_were_chosen_stay_whatever_the_noise_is():
    schedule = SteeringSchedule(chosen=(0, 3, 7), spread=True)
    for levels in (shifted(8, 3.0), shifted(25, 1.0)):
        assert schedule.along(levels).steered_steps(len(levels)) == [0, 3, 7]
    assert schedule.steered_steps(4) == [0, 3]
    for wrong in ((3, 0), (-1,), (1, 1), (0.5,)):
        with pytest.raises(ValueError, match="chosen must be numbers of steps from 0 on, ascending"):
            SteeringSchedule(chosen=wrong)


def test_chosen_steps_take_turns_and_fade_one_after_the_other():
    along = SteeringSchedule(spread=True, order=IN_TURN, decay=1.0).along(shifted(8, 3.0))
    steps = along.steered_steps(8)
    assert [list(along.due("ab", step)) for step in steps] == [["a"], ["b"], ["a"], ["b"]]
    sizes = [along.size_at(SamplingStep(step, 8, 0.0)) for step in steps]
    assert sizes == pytest.approx([MOVE, 0.75 * MOVE, 0.5 * MOVE, 0.25 * MOVE])
    assert along.is_last(SamplingStep(5, 8, 0.0)) and along.is_last_of_few(SamplingStep(5, 8, 0.0))


@pytest.mark.parametrize(
    ("steps", "steered"),
    [
        (4, [0]),
        (16, [0, 1, 2, 3]),
        (20, [0, 1, 3, 4]),
        (25, [0, 2, 4, 6]),
        (30, [0, 2, 5, 7]),
        (50, [0, 2, 4, 6, 8, 10, 12]),
    ],
)
def test_every_other_step_is_steered_and_four_at_least(steps, steered):
    schedule = SteeringSchedule(every_other=True)
    assert schedule.steered_steps(steps) == steered
    assert [step for step in range(steps) if schedule.is_active(step, steps)] == steered
    assert steered[0] == 0 and schedule.is_last(SamplingStep(SteeringSchedule().steered_steps(steps)[-1], steps, 0.0))


def test_every_other_of_the_steps_that_lie_evenly_over_shifted_noise_is_steered():
    along = SteeringSchedule(every_other=True, spread=True).along(shifted(25, 3.0))
    assert along.steered_steps(25) == [0, 5, 8, 11] and along.chosen == (0, 2, 5, 7, 8, 10, 11)


def test_relations_that_take_turns_have_each_step():
    schedule = SteeringSchedule(every_other=True, order=IN_TURN)
    steps = schedule.steered_steps(25)
    assert {relation for step in steps for relation in schedule.due("ab", step)} == {"a", "b"}
    assert steps == list(range(7))


def test_a_run_of_many_steps_does_not_look_at_its_last_move_though_four_are_steered():
    assert not SteeringSchedule(every_other=True).is_last_of_few(SamplingStep(6, 25, 0.0))
    assert SteeringSchedule(every_other=True).is_last_of_few(SamplingStep(3, 16, 0.0))


def test_what_a_schedule_leaves_open_is_decided_for_what_is_steered():
    def suited(spreads=False, every_other=True, binds=False, **settings):
        return SteeringSchedule(**settings).suited_to(spreads=spreads, every_other=every_other, binds=binds)

    every_other, each = [0, 2, 4, 6], list(range(7))
    assert [suited(every_other=given).steered_steps(25) for given in (True, False)] == [every_other, each]
    assert suited(refinements=1).steered_steps(25) == each
    assert [suited(spreads=True, spread=given).spread for given in (None, False)] == [True, False]
    assert [suited(binds=given).bound_steps(25) for given in (True, False)] == [12, 0]
    assert [suited(binds=True, bound=given).bound_steps(25) for given in (0.0, 0.2)] == [0, 5]
    assert [suited(binds=True, **still).bound_steps(25) for still in ({"strength": 0.0}, {"step_size": 0.0})] == [0, 0]
    # Many steps of a transformer: each of them, but where its objects are bound.
    assert [suited(spreads=True, binds=given).steered_steps(25) for given in (True, False)] == [every_other, each]
    assert suited(spreads=True, binds=True, bound=0.0).steered_steps(25) == each


@pytest.mark.parametrize(
    ("schedule", "spreads", "binds", "move"),
    [
        (SteeringSchedule(), True, True, BOUND_MOVE),
        (SteeringSchedule(), True, False, MOVE),
        (SteeringSchedule(bound=0.0), True, True, MOVE),
        (SteeringSchedule(bound=0.5), True, False, BOUND_MOVE),
        (SteeringSchedule(bound=0.5), False, False, MOVE),
    ],
)
def test_a_strength_of_1_moves_less_where_a_transformers_objects_are_bound(schedule, spreads, binds, move):
    suited = schedule.suited_to(spreads=spreads, every_other=True, binds=binds)
    assert suited.move == move
    assert replace(suited, strength=2.0).size_at(SamplingStep(0, 25, 0.0)) == pytest.approx(2 * move)


@pytest.mark.parametrize(("steps", "moves"), [(1, {0: 2}), (4, {0: 2}), (8, {0: 1, 1: 1}), (12, {0: 1, 1: 1, 2: 1})])
def test_bound_objects_are_moved_less_often_in_few_steps(steps, moves):
    suited = SteeringSchedule().suited_to(spreads=True, every_other=True, binds=True)
    steered = suited.steered_steps(steps)
    assert {step: suited.refinements_at(SamplingStep(step, steps, 0.0)) for step in steered} == moves
