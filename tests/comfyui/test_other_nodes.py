"""Steering beside what other nodes do to a model."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("other_nodes.py")


@pytest.mark.parametrize("miniature", ["miniature", "flux_miniature"])
def test_a_network_that_a_later_node_puts_in_its_place_is_steered_and_bound(result, miniature):
    told = result["another network"][miniature]
    assert told["probed"] and not told["unsteered"] and told["same"]


@pytest.mark.parametrize("family", ["Qwen-Image", "Z-Image"])
def test_a_model_with_a_control_net_among_its_patches_is_steered(result, family):
    told = result["control by a patch"][family]
    assert told == {"steered": [0, 2], "unsteered": [], "acts": True}


def test_tokens_that_a_patch_brings_are_told_from_the_prompts(result):
    told = result["brought tokens"]
    assert told["same maps"] and told["looks"] and told["same latent"]
    assert told["bound"] == [[3, 0], [3, 0]]
    assert told["changed"] and all("has changed the text's tokens" in step for step in told["changed"])


def test_what_easycache_skips_does_not_hang_on_what_steering_looks_at(result):
    assert result["easycache"] == {"same": True, "unsteered": []}


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_a_look_draws_no_random_numbers_that_a_node_would_draw_in_sampling(result, update):
    told = result["random merging"][update]
    assert told["looks"] and told["same"] and told["draws"]


@pytest.mark.parametrize("node", ["random merging", "EasyCache", "LazyCache"])
def test_pictures_begin_again_beside_other_nodes_and_the_one_beside_them_stays(result, node):
    told = result["restarts"][node]
    assert told["begun again"] == [image for image in range(3) if image != told["other"]]
    assert told["failures"] == [""]
    assert told["same"] or node != "random merging"  # what a cache skips hangs on the whole batch


def test_weights_of_a_class_of_their_own_stay_of_it(result):
    assert result["weights of a class"] == {
        "class": "Named",
        "is ordinary": True,
        "is not copied": True,
        "moved": "Q8_0",
        "is back": True,
    }


def test_of_a_video_the_first_frame_is_previewed(result):
    assert result["pictures of frames"] == [[2, 3, 64, 32], [2, 3, 64, 32]]
