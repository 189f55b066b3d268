"""Same seed, same picture: what is bit-identical and what is not; docs/reproducibility.md tells it."""

from __future__ import annotations

import pytest
import torch

from steering_core.backends.diffusers import generate, ground_prompt, load_pipeline
from steering_core.losses import CentroidLoss
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from steering_core.steering import Steering

PROMPT = "a photo of a giraffe above an airplane"
SEEDS = (0, 1)
STEPS, CFG = 8, 5.0


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline(MINIATURE_DIR, "cpu")


def drawn(pipeline, seeds, update) -> tuple[torch.Tensor, Steering]:
    steering = Steering(ground_prompt(pipeline, PROMPT), CentroidLoss(), SteeringSchedule(update=update, refinements=1))
    return generate(pipeline, PROMPT, seeds, steering, STEPS, CFG), steering


@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
def test_the_same_run_twice_is_bit_identical(pipeline, update):
    (first, saw), (second, saw_again) = (drawn(pipeline, SEEDS, update) for _ in range(2))
    assert torch.equal(first, second)
    assert len(saw.trace) == len(saw_again.trace) == 2
    for one, other in zip(saw.trace, saw_again.trace):
        assert torch.equal(one.loss, other.loss) and torch.equal(one.mean_map, other.mean_map)


@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
def test_a_batch_and_its_images_alone_agree_but_for_rounding(pipeline, update):
    together, _ = drawn(pipeline, SEEDS, update)
    alone = torch.cat([drawn(pipeline, [seed], update)[0] for seed in SEEDS])
    difference = float((together - alone).abs().max())
    print(f"{update}: largest difference of a batch from its images alone, of 1: {difference:.1e}")
    assert difference < 1e-3


def test_other_numbers_of_threads_agree_but_for_rounding(pipeline):
    threads = torch.get_num_threads()
    try:
        pictures = []
        for count in (1, 2):
            torch.set_num_threads(count)
            pictures.append(drawn(pipeline, SEEDS[:1], DESCENT)[0])
    finally:
        torch.set_num_threads(threads)
    difference = float((pictures[0] - pictures[1]).abs().max())
    print(f"largest difference of 1 thread from 2, of 1: {difference:.1e}")
    assert difference < 1e-3
