"""Noise guidance moves the clean image by a bounded length at every noise level, whatever the network predicts."""

from __future__ import annotations

import pytest

from steering_core.bends import LEAST_ALPHA


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("zero_snr.py")


def test_objects_survive_a_schedule_that_ends_in_pure_noise(result):
    unsteered, steered = result["with both objects"]
    assert result["v_prediction, zsnr True"]["sigma"] > 4000
    assert steered >= unsteered - 1 > 0


@pytest.mark.parametrize("prediction", ["eps", "v_prediction", "x0"])
def test_from_pure_noise_the_shift_is_as_long_as_the_bound(result, prediction):
    assert result[f"{prediction}, zsnr True"]["shift"] == pytest.approx(1 / LEAST_ALPHA, rel=0.02)


@pytest.mark.parametrize("prediction", ["eps", "v_prediction", "x0"])
def test_on_an_ordinary_schedule_the_noise_is_bent_by_the_step_size(result, prediction):
    told = result[f"{prediction}, zsnr False"]
    assert told["sigma"] < 1 / LEAST_ALPHA
    assert told["shift"] == pytest.approx(told["sigma"], rel=0.02)


def test_a_flow_is_bent_in_its_velocity(result):
    told = result["flow"]
    assert 0 < told["sigma"] <= 1
    assert told["shift"] == pytest.approx(told["sigma"], rel=0.02)
