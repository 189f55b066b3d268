"""SDXL's tokens and network."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("sdxl.py")


def test_phrases_are_found_in_the_tokens_that_both_encoders_share(result):
    assert result["texts"] == ["giraffe", "airplane", "dog", "cat"]
    of_l, of_g = result["same tokens"]
    assert of_l[: len(of_g)] == of_g
    assert result["chunks"][0] == result["chunks"][1] > 1


def test_the_probe_reads_the_coarsest_decoder_block(result):
    assert result["layers"] == [4 + 20 + 10 + 30 + 6, 3]


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_a_network_of_its_layout_is_steered(result, update):
    assert result[update]["moved"]
    assert result[update]["maps"] == [2, 4, 8, 12]
    assert min(result[update]["gradients"]) > 0
    assert result["untouched"]
