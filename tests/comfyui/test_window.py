"""The window in shares of the noise, in ComfyUI's samplers."""

from __future__ import annotations

import pytest

FAMILIES = ("UNet", "FLUX.1", "Z-Image", "Qwen-Image")


@pytest.fixture(scope="module")
def results(comfyui):
    return comfyui.run("window.py", *FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_share_of_noise_is_that_of_the_networks_input(results, family):
    told = results[family]
    flow = told["sigmas"]
    expected = [sigma / (1 + sigma) for sigma in flow] if family == "UNet" else flow
    assert told["noise"] == pytest.approx(expected)


@pytest.mark.parametrize(("family", "shift"), [("FLUX.1", 3.158), ("Z-Image", 3.0), ("Qwen-Image", 3.158)])
def test_the_models_of_today_keep_their_noise_for_longer(results, family, shift):
    """As ComfyUI shifts it, by 3 or e^1.15: after a quarter of the steps nine tenths of the noise are left."""
    time = 0.75
    assert results[family]["noise"][2] == pytest.approx(shift * time / (1 + (shift - 1) * time), abs=2e-3)


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_as_many_steps_are_steered_over_the_noise_of_the_window(results, update):
    for family in ("FLUX.1", "Z-Image"):
        told = results[family][update]
        assert told["steps"] == [0, 2, 4, 5] and "4 steps from 1 to 6 of 8" in told["plan"]
    assert results["UNet"][update]["steps"] == [0, 1] and "steps 1 to 2 of 8" in results["UNet"][update]["plan"]


@pytest.mark.parametrize("sampler", ["euler", "heun"])
@pytest.mark.parametrize("schedule", ["restart", "unsampling"])
def test_where_the_noise_rises_every_rule_counts_the_steps_that_are_sampled(results, schedule, sampler):
    """Of seven, five begin in the window, and objects are bound in the first four."""
    told = results["rising"][sampler][schedule]
    assert told["descent"] == told["guidance"] == [0, 1, 2, 3, 4]
    assert told["bound"] == [0, 1, 2, 3]


def test_a_picture_that_begins_again_is_bound_in_the_same_steps(results):
    assert results["rising"]["euler"]["begun again"] == [0, 1, 0, 1]


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_a_move_is_a_tenth_of_the_noise_where_a_flow_scales_its_noise(results, update):
    """As Model Noise Scale does, and HiDream-O1 by itself, whose noise is eight times as large as its sigma."""
    moved = {noise_scale: told[update] for noise_scale, told in results["scaled"].items()}
    assert moved == pytest.approx({"1.0": 0.1, "8.0": 0.8}, rel=1e-3)
