"""The miniatures are steered on the card, in the precision that they are loaded in there."""

from __future__ import annotations

import pytest
from toys import PROMPT

from steering_core.backends.diffusers import generate, ground_prompt, load_pipeline
from steering_core.losses import CentroidLoss
from steering_core.miniature.folder import SHIPPED
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from steering_core.steering import Steering

pytestmark = pytest.mark.gpu
STEPS, GUIDANCE_SCALE, SEEDS = 16, 5.0, [0, 1]


@pytest.fixture(scope="module", params=SHIPPED)
def miniature(device, request):
    return load_pipeline(SHIPPED[request.param], device)


def draw(pipeline, steering=None):
    return generate(pipeline, PROMPT, SEEDS, steering, STEPS, GUIDANCE_SCALE)


@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
def test_steering_lowers_the_loss(miniature, update):
    steering = Steering(ground_prompt(miniature, PROMPT), CentroidLoss(), SteeringSchedule(update))
    pictures = draw(miniature, steering)
    assert pictures.isfinite().all() and not steering.unsteered
    # In so few steps what descent's last move led to is looked at, too; of a transformer in a step that is not bound.
    looked_at = [entry.step for entry in steering.trace]
    assert looked_at[:4] == [0, 1, 2, 3] and len(looked_at) == (5 if update == DESCENT else 4)
    assert steering.trace[-1].loss.sum() < steering.trace[0].loss.sum()


def test_steering_by_nothing_leaves_the_pictures_as_they_are(miniature):
    schedule = SteeringSchedule(step_size=0.0)
    steering = Steering(ground_prompt(miniature, PROMPT), CentroidLoss(), schedule)
    unsteered = draw(miniature)
    # Not to the bit: kernels of a card may add up in another order each time.
    assert (draw(miniature, steering) - unsteered).abs().max() < 1e-2
    assert {entry.step for entry in steering.trace} == {0, 1, 2, 3} and not steering.unsteered
