"""Which pictures begin again, what is kept of their attempts, and that the others are left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from toys import descended, pair_scene

from steering_core.care import Caution
from steering_core.losses import CentroidLoss
from steering_core.plan import plan
from steering_core.relations.relation import Relation
from steering_core.report.run import SteeringRun
from steering_core.restarts import begin_again, derived_seed, is_crowded, new_noise
from steering_core.schedule import GUIDANCE, SamplingStep, SteeringSchedule
from steering_core.steering import Steering

STEPS, LOOK = 16, 3


def steering(**schedule) -> Steering:
    settings = {"restarts": 3, "restart_overlap": 0.5, **schedule}
    # What the latents below don't show: a loss that is all but nothing is looked at in some steps and not in others.
    return Steering(pair_scene(Relation.RIGHT_OF), CentroidLoss(), SteeringSchedule(**settings))


def latents(*overlaps: float) -> torch.Tensor:
    """Whose two maps share so much: evenly that much, and the rest in two cells of each one's own."""
    rows = []
    for overlap in overlaps:
        even, own = torch.full((60,), overlap / 60), torch.tensor([0.6, 0.4]) * (1 - overlap)
        none = torch.full((2,), 1e-6)
        maps = [torch.cat([own, none, even]), torch.cat([none, own, even])]
        rows.append(torch.stack([*maps, *maps]).log().view(4, 8, 8))
    return torch.stack(rows)


def look(run: Steering, *overlaps: float) -> None:
    """Its probes of all steps to the look, of pictures with these overlaps."""
    for step in range(LOOK + 1):
        descended(run, latents(*overlaps), SamplingStep(step, STEPS, 0.0), noise_level=1e-9)


class Attempts:
    """Pictures with these overlaps, attempt by attempt, and by picture; what is asked for is noted."""

    def __init__(self, *overlaps: dict[int, float]) -> None:
        self.overlaps, self.asked = overlaps, []

    def __call__(self, again: Steering, images, number: int) -> list[str]:
        self.asked.append(list(images))
        look(again, *(self.overlaps[number - 1].get(image, 0.1) for image in images))
        return [f"picture {image} of attempt {number}" for image in images]


def worst(run: Steering) -> list[float]:
    entry = next(entry for entry in run.trace if entry.step == LOOK)
    return [round(overlap, 3) for overlap in entry.presence.worst_overlap.tolist()]


def test_the_window_has_its_look_before_the_last_move():
    schedule = SteeringSchedule(restarts=1)
    assert (schedule.look_before_restart(25), schedule.look_before_restart(STEPS)) == (6, LOOK)
    assert SteeringSchedule().look_before_restart(25) is None
    assert schedule.look_before_restart(4) is None  # the first step is the only one


@pytest.mark.parametrize(
    "settings",
    [{"restarts": -1}, {"restart_overlap": 1.0}, {"restart_overlap": -0.1}, {"restarts": 1, "update": GUIDANCE}],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match="restart"):
        SteeringSchedule(**settings)


def test_crowded_pictures_begin_again_until_they_are_not_or_may_no_more():
    run, attempts = steering(), Attempts({1: 0.6, 2: 0.3}, {1: 0.9}, {1: 0.55})
    look(run, 0.2, 0.7, 0.8)
    assert is_crowded(run, LOOK) and worst(run) == [0.2, 0.7, 0.8]
    kept = begin_again(run, LOOK, 3, attempts)
    assert attempts.asked == [[1, 2], [1], [1]]
    assert kept == {1: "picture 1 of attempt 3", 2: "picture 2 of attempt 1"}
    assert worst(run) == [0.2, 0.55, 0.3]
    (told,) = run.restarts
    assert [(one.image, len(one.overlaps), one.kept) for one in told.restarted] == [(1, 4, 3), (2, 2, 1)]
    assert told.pictures == 3 and not told.failure


def test_the_first_attempt_is_kept_where_none_is_better():
    run = steering(restarts=1)
    look(run, 0.7)
    before = [entry.mean_map.clone() for entry in run.trace]
    assert before
    assert begin_again(run, LOOK, 1, Attempts({0: 0.8})) == {}
    assert all(torch.equal(entry.mean_map, mean) for entry, mean in zip(run.trace, before, strict=True))
    assert run.restarts[0].restarted[0].kept == 0


def test_the_trace_is_that_of_the_attempts_that_are_kept():
    run, other = steering(), steering()
    look(run, 0.2, 0.7)
    look(other, 0.3)
    begin_again(run, LOOK, 2, Attempts({1: 0.3}))
    looks = [*((step, 0) for step in range(LOOK + 1)), (LOOK, 1)]
    assert [(entry.step, entry.refinement) for entry in run.trace] == looks
    for entry, one in zip(run.trace, other.trace, strict=True):
        for name in ("mean_map", "centroids", "gradient_norm", "strength"):
            torch.testing.assert_close(getattr(entry, name)[1], getattr(one, name)[0])
        torch.testing.assert_close(entry.loss[:, 1], one.loss[:, 0])


def test_an_attempt_that_was_looked_at_more_often_fits_in():
    run, often = steering(), steering(refinements=3)
    look(run, 0.2, 0.7)

    def attempt(again, images, number):
        often.notes = again.notes
        look(often, 0.3)
        return ["other"]

    begin_again(run, LOOK, 2, attempt)
    (first, second, third) = [entry for entry in run.trace if entry.step == LOOK]
    assert [entry.refinement for entry in (first, second, third)] == [0, 1, 2]
    assert torch.equal(first.mean_map[0], third.mean_map[0]) and first.gradient_norm[0] > 0
    assert second.gradient_norm[0] == third.gradient_norm[0] == 0 < third.gradient_norm[1]


def test_where_pictures_cannot_be_sampled_apart_all_are():
    run, attempts = steering(restarts=1), Attempts({0: 0.1, 1: 0.4})
    look(run, 0.2, 0.7)
    assert begin_again(run, LOOK, 2, attempts, apart=False) == {1: "picture 1 of attempt 1"}
    assert attempts.asked == [[0, 1]] and worst(run) == [0.2, 0.4]


def test_an_attempt_that_fails_is_told_and_costs_no_picture():
    run = steering()
    look(run, 0.7)

    def broken(again, images, number):
        raise ZeroDivisionError("deliberate")

    assert begin_again(run, LOOK, 1, broken) == {} and worst(run) == [0.7]
    assert "deliberate" in run.restarts[0].failure and run.unsteered == []

    def unsteered(again, images, number):
        again.notes.leave_out(1, "of a reason")
        look(again, *[0.1] * len(images))
        return ["other"]

    run.restarts.clear()
    assert begin_again(run, LOOK, 1, unsteered) == {} and worst(run) == [0.7]
    assert "of a reason" in run.restarts[0].failure


def test_a_stop_in_an_attempt_ends_the_run():
    class Cancelled(Exception):
        pass

    run = replace(steering(), caution=Caution(stops=[Cancelled]))
    look(run, 0.7)

    def cancelled(again, images, number):
        raise Cancelled

    with pytest.raises(Cancelled):
        begin_again(run, LOOK, 1, cancelled)


def test_where_no_look_tells_anything_none_begins_again_and_it_is_said():
    run = steering()
    assert begin_again(run, None, 2, Attempts()) == begin_again(run, LOOK, 2, Attempts()) == {}
    first, second = run.restarts
    assert "first step" in str(first) and "step 4 was not looked at" in str(second)
    assert not is_crowded(run, LOOK)


def test_a_picture_without_a_number_does_not_begin_again():
    run = steering()
    look(run, float("nan"), 0.7)
    begin_again(run, LOOK, 2, Attempts({1: 0.3}))
    assert [one.image for one in run.restarts[0].restarted] == [1]


def test_restarts_are_told_in_words_and_as_json():
    run = steering()
    look(run, 0.2, 0.7)
    begin_again(run, LOOK, 2, Attempts({1: 0.3}))
    told = SteeringRun(run.scene, STEPS, run.trace, {}, latents(0.2, 0.7), run.unsteered, restarts=run.restarts)
    line = "restarts: 1 of 2 pictures began again from new noise; picture 2 (shared attention 70%, 30%; attempt 2 of 2)"
    assert line in told.summary().splitlines()
    (json,) = told.as_json()["restarts"]
    assert (json["pictures"], json["failure"], json["restarted"][0]["kept"]) == (2, "", 1)
    run.begin()
    assert run.restarts == []


def test_the_plan_tells_of_restarts():
    assert "at most 3 restarts a picture, where two objects share over 50%" in plan(steering(), STEPS)
    assert "at most 1 restart a picture" in plan(steering(restarts=1), STEPS)
    assert "restart" not in plan(steering(restarts=0), STEPS)


def test_new_noise_is_a_pictures_own_whatever_its_batch():
    noise = torch.randn(3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    first, second = new_noise(noise, 1), new_noise(noise, 2)
    assert torch.equal(first, new_noise(noise, 1)) and torch.equal(first[1:], new_noise(noise[1:], 1))
    everything = torch.stack([noise, first, second]).flatten(0, 1).flatten(1)
    close = torch.corrcoef(everything) - torch.eye(9)
    assert close.abs().max() < 0.1 and abs(first.std() - 1) < 0.02 and first.dtype == noise.dtype


def test_seeds_are_derived_from_all_parts():
    seeds = {derived_seed(seed, attempt) for seed in range(50) for attempt in range(4)}
    assert len(seeds) == 200 and max(seeds) < 2**63 and derived_seed(1, 2) == derived_seed(1, 2)
