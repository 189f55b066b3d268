from __future__ import annotations

import json
import math

import pytest
import torch
from toys import descended, pair_scene, toy_probe

from steering_core.detection.boxes import Box, Found
from steering_core.detection.look import Look
from steering_core.losses import CentroidLoss
from steering_core.relations.depth import Depth
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from steering_core.relations.scene import Scene
from steering_core.relations.statement import DepthRelation, Span, SpatialRelation
from steering_core.report.curves import note_picture, run_curves
from steering_core.report.outcomes import UnsteeredStep
from steering_core.report.run import SteeringRun, trace_as_json
from steering_core.report.viz import map_sheet
from steering_core.schedule import IN_TURN, SamplingStep, SteeringSchedule
from steering_core.steering import Steering
from steering_core.tokens import Token, ground

STEPS = 16
TICK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"


def steered_run(*relations: Relation, batch: int = 2, probe=toy_probe, **schedule) -> SteeringRun:
    steering = Steering(pair_scene(*relations), CentroidLoss(), SteeringSchedule(**schedule))
    latent = torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for step in range(4):
        latent = descended(steering, latent, SamplingStep(step, STEPS, step / STEPS), probe)
    return SteeringRun(steering.scene, STEPS, steering.trace, {}, latent, steering.unsteered)


def look_at_pair(*pictures: str) -> Look:
    """Each picture as the objects from left to right, at the same height."""
    found = [[Found(label, Box((at + 1) / 10, 0.5, 0.0, 0.0)) for at, label in enumerate(names)] for names in pictures]
    return Look("the test", found, frozenset("ab"))


def test_where_attention_settled_is_told_as_attention_and_never_ticked():
    run = steered_run(Relation.LEFT_OF, Relation.ABOVE, step_size=2.0, refinements=5)
    left, above = run.settled()
    assert left.stands.all() and above.stands.all()
    assert (left.after < left.before).all()
    first, *_ = run.summary().splitlines()
    assert first == "attention: a to the left of b in 2 of 2 pictures at the last look, step 4 of 16: there"
    assert TICK not in run.summary() and CROSS not in run.summary() and "holds" not in run.summary()


def test_attention_that_stands_otherwise_is_told_in_words():
    run = steered_run(Relation.LEFT_OF, Relation.RIGHT_OF, batch=1, step_size=0.0)
    told = [one.in_words(STEPS) for one in run.settled()]
    assert sum(" not to the " in line for line in told) == 1
    assert all(line.startswith("attention: a ") for line in told)


def test_relations_in_turn_are_told_by_their_own_probes():
    run = steered_run(Relation.LEFT_OF, Relation.ABOVE, order=IN_TURN)
    first, second = run.settled()
    assert torch.equal(first.after, run.entries[2].loss[0]) and torch.equal(second.after, run.entries[-1].loss[0])


def _placed_run(place: Place, **schedule) -> SteeringRun:
    """Of the second of two objects, of which the prompt also says that it is in front."""
    a, b = Span("a", 0, 1), Span("b", 2, 3)
    depth = DepthRelation(b, Depth.IN_FRONT_OF, a)
    stated = Scene("a b", (SpatialRelation(a, Relation.ABOVE, b), SpatialRelation(b, place, None)), (depth,))
    scene = ground(stated, [Token(0, ""), Token(1, "a"), Token(2, "b")])
    steering = Steering(scene, CentroidLoss(), SteeringSchedule(**schedule))
    latent = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for step in range(4):
        latent = descended(steering, latent, SamplingStep(step, STEPS, step / STEPS))
    return SteeringRun(scene, STEPS, steering.trace, {}, latent, steering.unsteered)


def test_a_place_is_told_like_a_relation():
    run = _placed_run(Place.AT_RIGHT, step_size=2.0, refinements=5)
    _, right = run.settled()
    assert right.stands.all() and (right.after < right.before).all() and right.as_json()["relation"] == "b on the right"
    assert "attention: b on the right in 2 of 2 pictures at the last look" in run.summary()
    centres = run.entries[0].centroids
    torch.testing.assert_close(run.displacements(1)[0], centres[:, 1, 0] - 0.5)
    still = _placed_run(Place.AT_CENTER, step_size=0.0)
    torch.testing.assert_close(still.displacements(1)[0], 0.2 - (still.entries[0].centroids[:, 1] - 0.5).norm(dim=1))


def test_depth_is_told_as_read_and_not_steered():
    run = _placed_run(Place.AT_LEFT)
    assert run.summary().splitlines()[-1] == "read, but not steered: b in front of a"
    told = run.as_json()
    assert told["read_not_steered"] == ["b in front of a"] and told["relations"] == ["a above b", "b on the left"]
    nothing = SteeringRun(run.scene, STEPS, [], {}, run.latent)
    assert nothing.summary().splitlines() == [
        "None of the 16 steps was steered.",
        "read, but not steered: b in front of a",
    ]


def test_only_a_look_at_the_pictures_gives_a_tick():
    run = steered_run(Relation.LEFT_OF)
    seen, *rest = run.summary(look_at_pair("ab", "ab")).splitlines()
    assert seen == f"{TICK} seen: a to the left of b in 2 of 2 pictures"
    assert not any(TICK in line for line in rest)
    assert not any(line.startswith("to try next: ") for line in rest)
    seen, *rest = run.summary(look_at_pair("ab", "b")).splitlines()
    assert seen == f"{CROSS} seen in 1 of 2 pictures only: a to the left of b; picture 2: no a"
    assert rest[0].startswith("to try next: another seed, ") and "learned" in rest[0]


@pytest.mark.parametrize("relation", [Relation.NEAR, Place.AT_RIGHT])
def test_a_learned_loss_is_named_only_where_it_may_know_the_relation(relation):
    run = _placed_run(relation) if isinstance(relation, Place) else steered_run(relation)
    tried = [line for line in run.summary(look_at_pair("b", "b")).splitlines() if line.startswith("to try next: ")]
    assert len(tried) == 1 and ("learned" in tried[0]) == isinstance(relation, Place)


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


def _strictly(told: dict) -> dict:
    return json.loads(json.dumps(told, allow_nan=False))


def test_json_holds_scene_attention_and_trace():
    run = steered_run(Relation.LEFT_OF)
    told = _strictly(run.as_json())
    assert told["prompt"] == "a b" and told["objects"] == ["a", "b"] and told["steps"] == STEPS
    (attention,) = told["attention"]
    assert attention["relation"] == "a to the left of b" and attention["stands"] == run.settled()[0].stands.tolist()
    assert len(told["trace"]) == 4 and told["unsteered"] == [] and "seen" not in told
    assert torch.tensor(told["presence"]["overlap"]).shape == (2, 2, 2)


def test_json_of_a_look_says_what_was_seen_and_why_not():
    seen = _strictly(steered_run(Relation.LEFT_OF).as_json(look_at_pair("ab", "a")))["seen"]
    assert seen["by"] == "the test"
    assert seen["relations"] == [{"relation": "a to the left of b", "seen": [True, False], "why_not": [None, "no b"]}]


def test_a_trace_and_its_run_give_the_same_json():
    run = steered_run(Relation.LEFT_OF)
    whole = run.as_json()
    assert trace_as_json(run.scene, run.entries, run.unsteered) == {k: whole[k] for k in whole if k != "steps"}
    assert trace_as_json(run.scene, [])["attention"] == []


def _half_broken(latent):
    """As the toy, with the second picture's maps no numbers."""
    maps = toy_probe(latent)
    broken = torch.tensor([1.0, math.nan]).view(2, 1, 1, 1, 1)
    return type(maps)({name: layer * broken for name, layer in maps.layers.items()})


def test_numbers_that_are_not_finite_are_null_in_json_and_left_out_of_pictures():
    run = steered_run(Relation.LEFT_OF, probe=_half_broken)
    told = _strictly(run.as_json())
    assert told["trace"][0]["loss"][0][1] is None and told["trace"][0]["loss"][0][0] is not None
    assert told["presence"]["strength"][1] == [None, None]
    assert "nan" not in run.summary() and "in 1 of 2 pictures" in run.summary()
    assert run_curves(run).height > 300
    map_sheet(run.scene, run.entries, (), torch.zeros(3, 8, 8), image=1)


@pytest.mark.parametrize("batch", [1, 2])
def test_curves_without_a_number_leave_their_panels_empty(batch):
    run = steered_run(Relation.LEFT_OF, batch=batch, probe=lambda latent: toy_probe(latent * math.nan))
    assert run.unsteered and not run.displacements(0).isfinite().any()
    assert run_curves(run).width == run_curves(steered_run(Relation.LEFT_OF, batch=batch)).width


def _reddest(run: SteeringRun) -> int:
    """By how much the reddest pixel of the curves is redder than green or blue."""
    return max(red - max(green, blue) for _, (red, green, blue) in run_curves(run).getcolors(1 << 20))


def test_steps_that_were_not_steered_are_listed_and_marked_and_bounded():
    run = steered_run(Relation.LEFT_OF)
    left_out = [UnsteeredStep(step, "memory ran out", (1,)) for step in range(20)]
    told = SteeringRun(run.scene, STEPS, run.entries, {}, run.latent, left_out)
    line = told.summary().splitlines()[-1]
    assert line.startswith("step 1, picture 2: not steered, memory ran out; ") and line.endswith("and 16 more")
    assert told.as_json()["unsteered"][3] == {"step": 3, "reason": "memory ran out", "images": [1]}
    assert _reddest(told) > 100 > _reddest(run)


def test_a_run_without_steering_says_why():
    latent = torch.zeros(1, 4, 8, 8)
    assert "No spatial relation" in SteeringRun(pair_scene(), STEPS, [], {}, latent).summary()
    assert "None of the 16 steps" in SteeringRun(pair_scene(Relation.LEFT_OF), STEPS, [], {}, latent).summary()
    assert "had no steps" in SteeringRun(pair_scene(Relation.LEFT_OF), 0, [], {}, latent).summary()
    failed = SteeringRun(pair_scene(Relation.LEFT_OF), STEPS, [], {}, latent, [UnsteeredStep(0, "it broke")])
    assert failed.summary() == "step 1: not steered, it broke"
    for run in (failed, SteeringRun(pair_scene(), STEPS, [], {}, latent)):
        _strictly(run.as_json())
        assert run_curves(run).width == note_picture("words").width


def _bound_run(bound: tuple[int, ...], *failed: int, relations=(Relation.LEFT_OF,)) -> SteeringRun:
    """Bound in these steps, while others failed, and nothing is moved."""
    steering = Steering(pair_scene(*relations), CentroidLoss(), SteeringSchedule(strength=0.0, bound=0.25))
    for step in bound:
        steering.notes.took_bound(step, "")
    for step in failed:
        steering.notes.took_bound(step, "out of memory")
    return SteeringRun(steering.scene, STEPS, (), {}, torch.zeros(1, 4, 8, 8), (), steering.binding(STEPS))


def test_what_was_bound_is_told_and_that_no_step_was_moved_is_not_complained_of():
    run = _bound_run((0, 1, 2, 3))
    assert run.summary() == "bound in the first 4 steps: a in the left half, b in the right half"
    assert run.as_json()["bound"] == {
        "steps": [0, 1, 2, 3],
        "asked": 4,
        "regions": {"a": (0.0, 0.0, 0.5, 1.0), "b": (0.5, 0.0, 1.0, 1.0)},
        "unbound": [],
    }


def test_a_step_of_which_one_forward_was_not_bound_is_told_with_the_reason():
    run = _bound_run((0, 1, 1, 2), 1, 1, 3)
    told = run.summary().splitlines()
    assert told[0].startswith("bound in 2 of the first 4 steps: ")
    assert told[1] == "step 2: not bound, out of memory; step 4: not bound, out of memory"


def test_objects_that_could_not_be_bound_at_all_are_told():
    told = _bound_run(()).summary()
    assert "bound in none of the first 4 steps, in which the conditioning of the relations did not act: " in told
    contradiction = _bound_run((), relations=(Relation.LEFT_OF, Relation.RIGHT_OF)).summary()
    assert "bound: nothing; not a, its relations contradict one another" in contradiction
    assert steered_run(Relation.LEFT_OF).as_json()["bound"] is None
