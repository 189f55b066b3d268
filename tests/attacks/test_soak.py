"""Many runs, one after the other, hold on to nothing."""

from __future__ import annotations

import gc

import psutil
import pytest
import torch
from pipelines import make_steering, sample

from steering_core.schedule import DESCENT, GUIDANCE

#: Runs until caches of torch and of the allocator have their size.
WARM_UP = 4
#: A run that held on to its pictures' activations would grow by 1 MiB each, and by thousands of objects.
MOST_BYTES = 4 * 2**20
MOST_OBJECTS = 200


def grown(pipeline, steering, runs: int) -> tuple[int, int]:
    """By how many bytes and objects the process grows from the middle of so many runs to their end."""
    process, seen = psutil.Process(), []
    for run in range(runs):
        sample(pipeline, steering, steps=2, images=1)
        if run in (runs // 2, runs - 1):
            gc.collect()
            seen.append((process.memory_info().rss, len(gc.get_objects())))
    (bytes_before, objects_before), (bytes_after, objects_after) = seen
    return bytes_after - bytes_before, objects_after - objects_before


@pytest.mark.parametrize("runs", [10, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fails", [False, True], ids=["steered", "failing"])
@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
def test_memory_is_flat(tiny_pipeline, update, fails, runs):
    def fail(module, args, output):
        if torch.is_grad_enabled():
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    steering = make_steering(tiny_pipeline, update=update, end=1.0)
    handles = [tiny_pipeline.unet.mid_block.register_forward_hook(fail)] if fails else []
    try:
        for _ in range(WARM_UP):
            sample(tiny_pipeline, steering, steps=2, images=1)
        more_bytes, more_objects = grown(tiny_pipeline, steering, runs)
        if more_bytes >= MOST_BYTES:  # an allocator may take more once; what is held on to is more each time
            more_bytes, more_objects = grown(tiny_pipeline, steering, runs)
    finally:
        for handle in handles:
            handle.remove()
    assert more_objects < MOST_OBJECTS
    assert more_bytes < MOST_BYTES
    assert len(steering.unsteered if fails else steering.trace) == 2
