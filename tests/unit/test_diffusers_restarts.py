"""Pictures that begin again in pipelines of diffusers: which, from what noise, and what that leaves alone."""

from __future__ import annotations

import diffusers
import pytest
import torch
from pipelines import make_steering, state
from tiny_pipelines import HEIGHT, TINY, WIDTH, tiny
from toys import PROMPT

from steering_core.backends.diffusers import generate, ground_prompt, steered
from steering_core.losses import CentroidLoss
from steering_core.restarts import derived_seed
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering

STEPS, LOOK = 8, 3
SEEDS = (3, 4, 5)
SCHEDULERS = [
    "DDIMScheduler",
    "DDPMScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "LMSDiscreteScheduler",
]


def drawn(pipeline, seeds=SEEDS, steps=STEPS, size=None, guidance=5.0, loss=None, **schedule):
    """Pictures, and the steering that made them."""
    settings = {"end": 0.5, "refinements": 1, "step_size": 0.2, **schedule}
    steering = Steering(ground_prompt(pipeline, PROMPT), loss or CentroidLoss(), SteeringSchedule(**settings))
    return generate(pipeline, PROMPT, seeds, steering, steps, guidance, size=size), steering


def overlaps(steering: Steering) -> torch.Tensor:
    """At the look, the last steered step: where the noise of a flow is shifted, not the same as elsewhere."""
    return steering.trace[-1].presence.worst_overlap


def crowded_apart(pipeline, **options):
    """A run without restarts, one in which the most crowded picture may begin again, and which that is."""
    plain, before = drawn(pipeline, **options)
    most = overlaps(before)
    again = {"restarts": 2, "restart_overlap": most.max().item() - 1e-7}
    pictures, steering = drawn(pipeline, **options, **again)
    return plain, before, pictures, steering, int(most.argmax())


def check(plain, before, pictures, steering, crowded) -> None:
    """The crowded picture began again, the best attempt is kept, and the others are as without it."""
    (told,) = steering.restarts
    (restart,) = told.restarted
    assert restart.image == crowded and not told.failure and steering.unsteered == []
    for image, (one, other) in enumerate(zip(pictures, plain)):
        assert torch.equal(one, other) == (image != crowded or restart.kept == 0)
    assert overlaps(steering)[crowded] == pytest.approx(min(restart.overlaps))
    others = [image for image in range(len(plain)) if image != crowded]
    assert torch.equal(overlaps(steering)[others], overlaps(before)[others])
    assert [entry.step for entry in steering.trace] == [entry.step for entry in before.trace]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_crowded_picture_begins_again_and_the_others_are_the_same_to_the_bit(pipeline, name):
    before = pipeline.scheduler
    pipeline.scheduler = getattr(diffusers, name).from_config(before.config)
    try:
        left = state(pipeline)
        check(*crowded_apart(pipeline))
        assert state(pipeline) == left
    finally:
        pipeline.scheduler = before


@pytest.mark.parametrize("name", TINY)
def test_pipelines_of_every_kind(tokenizer, name):
    pipeline = tiny(name, tokenizer)
    plain, before, pictures, steering, crowded = crowded_apart(pipeline, size=(WIDTH, HEIGHT), guidance=3.0)
    check(plain, before, pictures, steering, crowded)


def test_the_seed_decides(pipeline):
    run = {"restarts": 2, "restart_overlap": 0.0}
    (one, _), (other, _) = (drawn(pipeline, **run) for _ in range(2))
    assert torch.equal(one, other)


def test_an_attempt_is_the_picture_of_the_seed_that_it_is_given(pipeline):
    """What was sampled in parts is what is sampled at once."""
    pictures, steering = drawn(pipeline, restarts=3, restart_overlap=0.0)
    (told,) = steering.restarts
    kept = [derived_seed(seed, one.kept) if one.kept else seed for seed, one in zip(SEEDS, told.restarted)]
    assert any(one.kept for one in told.restarted)
    whole, alone = drawn(pipeline, kept)
    torch.testing.assert_close(pictures, whole, rtol=0, atol=1e-4)
    torch.testing.assert_close(overlaps(steering), overlaps(alone), rtol=0, atol=1e-4)


def test_where_none_is_crowded_the_pictures_are_those_without_restarts(pipeline):
    plain, _ = drawn(pipeline)
    pictures, steering = drawn(pipeline, restarts=3, restart_overlap=0.999)
    assert torch.equal(pictures, plain)
    assert [str(told) for told in steering.restarts] == ["restarts: 0 of 3 pictures began again from new noise"]


def test_a_run_whose_first_step_alone_is_steered_says_that_none_began_again(pipeline):
    plain, _ = drawn(pipeline, end=0.1)
    pictures, steering = drawn(pipeline, end=0.1, restarts=3, restart_overlap=0.0)
    assert torch.equal(pictures, plain) and "first step" in steering.restarts[0].failure


class _BrokenLater(CentroidLoss):
    """Fails from the first attempt after the pictures' own on."""

    calls = 0

    def for_network(self, network, relations):
        return _BrokenLater(layers=super().for_network(network, relations).layers)

    def __call__(self, maps, relation, progress):
        _BrokenLater.calls += 1
        if _BrokenLater.calls > LOOK + 1:
            raise ZeroDivisionError("deliberate")
        return super().__call__(maps, relation, progress)


def test_an_attempt_that_fails_costs_no_picture(pipeline):
    plain, _ = drawn(pipeline)
    pictures, steering = drawn(pipeline, loss=_BrokenLater(), restarts=3, restart_overlap=0.0)
    assert torch.equal(pictures, plain)
    assert "deliberate" in steering.restarts[0].failure and steering.unsteered == []


def test_without_relations_nothing_begins_again(pipeline):
    calm = Steering(ground_prompt(pipeline, "a dog"), CentroidLoss(), SteeringSchedule(restarts=1))
    assert torch.equal(*(generate(pipeline, "a dog", SEEDS, one, STEPS, 5.0) for one in (calm, None)))


def test_a_call_of_ones_own_is_refused_before_it(pipeline):
    with (
        pytest.raises(ValueError, match=r"restarts: .* generate"),
        steered(pipeline, make_steering(pipeline, restarts=1)),
    ):
        pass
