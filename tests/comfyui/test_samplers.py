"""Every sampler of the installed ComfyUI can be steered."""

from __future__ import annotations


def test_with_every_sampler_the_relation_comes_out_right_more_often(comfyui):
    right = comfyui.run("samplers.py")

    assert len(right) >= 40
    assert {sampler: counts for sampler, counts in right.items() if counts[1] <= counts[0]} == {}


def test_of_every_sampler_the_steered_steps_are_recorded(comfyui):
    recorded = comfyui.run("watching.py")

    assert len(recorded) >= 80
    for name, steps in recorded.items():
        assert steps["predicted"] == steps["probed"], name
        assert steps["probed"] and set(steps["probed"]) <= {0, 1, 2}, name
        assert steps["told"][-1] == [steps["probed"][-1], 6] and len(steps["told"]) <= len(steps["probed"]), name
