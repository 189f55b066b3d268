"""Every sampler of the installed ComfyUI can be steered."""

from __future__ import annotations


def test_with_every_sampler_the_relation_comes_out_right_more_often(comfyui):
    right = comfyui.run("samplers.py")

    assert len(right) >= 40
    assert {sampler: counts for sampler, counts in right.items() if counts[1] <= counts[0]} == {}
