from __future__ import annotations

from dataclasses import replace

import pytest
from toys import pair_scene

from steering_core.losses import CentroidLoss
from steering_core.parser import parse
from steering_core.plan import plan
from steering_core.relations.relation import Relation
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering


def planned(*relations: Relation, steps: int = 12, **schedule) -> str:
    return plan(Steering(pair_scene(*relations), CentroidLoss(), SteeringSchedule(**schedule)), steps)


def test_relations_and_steps_are_said():
    told = planned(Relation.LEFT_OF, Relation.ABOVE)
    assert told == "steering a to the left of b; a above b · steps 1 to 3 of 12"


def test_one_step_is_said_as_one():
    assert planned(Relation.ABOVE, steps=2).endswith("· step 1 of 2")


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (4, "step 3 of 4 (none begins between 60% and 70%)"),
        (5, "step 4 of 5"),
    ],
)
def test_a_window_that_holds_no_step_is_said(steps, told):
    assert planned(Relation.ABOVE, steps=steps, start=0.6, end=0.7).endswith(f"· {told}")


def test_a_prompt_without_relations_is_said_with_the_prompt():
    assert planned() == 'nothing to steer: no spatial relation was found in "a b"'


def test_depth_that_is_read_alone_is_said_to_be_not_steered():
    scene = replace(pair_scene(), scene=parse("a dog in front of a cat"))
    told = plan(Steering(scene, CentroidLoss()), 12)
    assert told == 'nothing to steer in "a dog in front of a cat": read, but not steered: dog in front of cat'


def test_chosen_steps_that_do_not_follow_one_another_are_said_by_their_number():
    steering = Steering(pair_scene(Relation.ABOVE), CentroidLoss(), SteeringSchedule(spread=True))
    assert plan(steering.along([1.0, 0.95, 0.9, 0.83, 0.75, 0.64, 0.5, 0.3]), 8).endswith("4 steps from 1 to 6 of 8")


def test_a_strength_of_zero_is_said():
    assert planned(Relation.ABOVE, step_size=0.0) == "nothing to steer: the step size is 0"
    assert planned(Relation.ABOVE, strength=0.0) == planned(strength=0.0) == "nothing to steer: the strength is 0"


def test_many_relations_stay_on_one_short_line():
    told = planned(*[Relation.LEFT_OF] * 500)
    assert len(told) < 300 and told.endswith("… · steps 1 to 3 of 12")


def test_bound_steps_are_said_with_the_steered_ones_or_alone_with_the_regions():
    assert planned(Relation.ABOVE, bound=0.5).endswith("· steps 1 to 3 of 12 · bound in the first 6")
    alone = planned(Relation.ABOVE, strength=0.0, bound=0.5)
    assert alone == "binding a in the upper half, b in the lower half · the first 6 of 12 steps"


def test_objects_that_no_relation_can_bind_are_not_said_to_be_bound():
    assert "bound" not in planned(Relation.NEAR, bound=0.5)
    assert planned(Relation.NEAR, strength=0.0, bound=0.5) == "nothing to steer: the strength is 0"
