from __future__ import annotations

import json

import pytest
import torch
from toys import pair_scene, toy_probe

from steering_core.losses import CentroidLoss
from steering_core.relations import Relation
from steering_core.schedule import IN_TURN, SamplingStep, SteeringSchedule
from steering_core.steering import Steering
from steering_core.trace import RunLog, SteeringRun

STEPS = 12


def steered_run(*relations: Relation, batch: int = 2, **schedule) -> SteeringRun:
    steering = Steering(pair_scene(*relations), CentroidLoss(), SteeringSchedule(**schedule))
    latent = torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for step in range(4):
        latent = steering.descend(latent, toy_probe, 1.0, SamplingStep(step, STEPS, step / STEPS))
    return SteeringRun(steering.scene, STEPS, steering.trace, {}, latent)


def test_verdicts_say_what_became_of_each_relation():
    run = steered_run(Relation.LEFT_OF, Relation.ABOVE, step_size=2.0, refinements=5)
    left, above = run.verdicts()
    assert left.holds.all() and above.holds.all()
    assert (left.after < left.before).all()
    assert str(left).startswith("\N{CHECK MARK} a to the left of b: it holds in 2 of 2 images (loss ")
    assert run.summary().count("\n") == 1


def test_a_relation_that_fails_is_marked():
    run = steered_run(Relation.LEFT_OF, Relation.RIGHT_OF, batch=1, step_size=0.0)
    assert sorted(str(verdict)[0] for verdict in run.verdicts()) == ["\N{CHECK MARK}", "\N{BALLOT X}"]
    assert any("it does not hold (" in str(verdict) for verdict in run.verdicts())


def test_relations_in_turn_are_judged_by_their_own_probes():
    run = steered_run(Relation.LEFT_OF, Relation.ABOVE, order=IN_TURN)
    first, second = run.verdicts()
    assert torch.equal(first.after, run.entries[2].loss[0]) and torch.equal(second.after, run.entries[3].loss[0])


def test_displacement_is_positive_where_the_relation_holds():
    run = steered_run(Relation.LEFT_OF, Relation.ABOVE_LEFT, Relation.NEAR)
    centres = run.entries[0].centroids
    apart = centres[:, 0] - centres[:, 1]
    torch.testing.assert_close(run.displacements(0)[0], -apart[:, 0])
    torch.testing.assert_close(run.displacements(1)[0], (-apart).amin(dim=1))
    torch.testing.assert_close(run.displacements(2)[0], 0.5 - apart.norm(dim=1))


def test_a_step_is_shown_by_its_last_probe():
    run = steered_run(Relation.LEFT_OF, refinements=3, step_size=1e-4)
    assert [(entry.step, entry.refinement) for entry in run.last_of_steps] == [(0, 2), (1, 2), (2, 2), (3, 2)]


def test_json_holds_scene_verdicts_and_trace():
    told = json.loads(json.dumps(steered_run(Relation.LEFT_OF).as_json()))
    assert told["prompt"] == "a b" and told["objects"] == ["a", "b"] and told["steps"] == STEPS
    assert set(told["holds"]) == {"a to the left of b"} and len(told["trace"]) == 4


def test_a_run_without_steering_says_why():
    latent = torch.zeros(1, 4, 8, 8)
    assert "No spatial relation" in SteeringRun(pair_scene(), STEPS, [], {}, latent).summary()
    assert "None of the 12 steps" in SteeringRun(pair_scene(Relation.LEFT_OF), STEPS, [], {}, latent).summary()


def test_a_log_finds_the_run_of_a_latent_and_forgets_old_ones():
    log = RunLog()
    runs = [SteeringRun(pair_scene(), STEPS, [], {}, torch.full((1, 4, 8, 8), float(n))) for n in range(40)]
    for run in runs:
        log.add(run)
    assert log.run_of(torch.full((1, 4, 8, 8), 39.0)) is runs[39]
    assert log.run_of(torch.full((1, 4, 8, 8), 10.0, dtype=torch.float16)) is runs[10]
    assert log.run_of(torch.full((1, 4, 8, 8), 10.00001)) is runs[10]
    for latent in (torch.full((1, 4, 8, 8), 0.0), torch.zeros(1, 4, 4, 4)):
        with pytest.raises(ValueError, match="latent: the output of a sampler was expected"):
            log.run_of(latent)
