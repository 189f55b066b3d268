"""Models that other nodes have patched, and quantised ones: each is steered, or said in words why not."""

from __future__ import annotations

import pytest

WINDOW = [0, 1]


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("patches.py")


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_a_patch_that_changes_activations_in_place_is_steered(result, update):
    told = result[f"FreeU_V2, {update}"]
    assert told["probed"] == WINDOW and not told["unsteered"] and told["finite"]
    assert min(told["gradients"]) > 0


@pytest.mark.parametrize("patch", ["with_new_tensor", "with_hypernetwork", "without_gradients", "in_inference_mode"])
def test_a_patch_that_autograd_would_not_take_is_steered_as_without_it(result, patch):
    told = result[patch]
    assert told["probed"] == WINDOW and not told["unsteered"]
    assert told["as plain"] < 1e-4
    assert told["untouched"]


def test_where_no_gradient_is_to_be_had_the_picture_is_sampled_and_it_is_said_why(result):
    told = result["detached"]
    assert told["finite"] and not told["probed"]
    assert len(told["unsteered"]) == len(WINDOW)
    assert "keeps every gradient from the latent" in told["unsteered"][0]


def test_a_guider_without_a_seed_is_steered(result):
    assert result["without a seed"]["probed"] == WINDOW


@pytest.mark.parametrize("format", ["float8_e4m3fn", "float8_e5m2", "int8_tensorwise", "nvfp4"])
def test_quantised_weights_are_steered(result, format):
    told = result["quantised"][format]
    assert told["probed"] == WINDOW and not told["unsteered"]
    assert told["moved"] and told["finite"] and told["untouched"]
    assert told["like the maps of full precision"] > 0.99


@pytest.mark.parametrize("format", ["convrot_w4a4", "asym_w4a8_int8"])
def test_formats_without_a_backward_are_refused_by_name(result, format):
    assert format in result["quantised"][format] and "no gradient passes" in result["quantised"][format]


def test_a_probe_attends_by_kernels_whose_gradient_can_be_trusted(result):
    before, meanwhile, after = result["kernels"]
    assert "CUDNN_ATTENTION" in before and before == after
    assert meanwhile == [kernel for kernel in before if kernel != "CUDNN_ATTENTION"]
