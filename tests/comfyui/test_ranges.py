"""ComfyUI holds no number to its widget's range that comes by a link; the nodes do."""

from __future__ import annotations


def test_numbers_beyond_their_ranges_are_refused_by_the_inputs_name(comfyui):
    result = comfyui.run("ranges.py")
    assert len(result) > 30 and "SpatialSteeringKeepBest count" in result
    for told, name, least, most in result.values():
        assert all(one.startswith(f"{name} must be from {least} to {most}, not ") for one in told)
