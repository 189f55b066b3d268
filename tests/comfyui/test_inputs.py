"""Masks, long and weighted prompts, and what is refused."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("inputs.py")


def test_without_relations_the_model_itself_is_sampled(result):
    assert result["no relation"]


def test_masked_region_is_kept(result):
    assert result["kept region"] < 1e-4
    assert result["open region moved"]


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_a_small_mask_makes_no_larger_moves(result, update):
    plain, steered = result["spread in a small mask"][update]
    assert steered < 1.5 * plain


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_a_mask_that_keeps_all_is_told(result, update):
    told = result["in a closed mask"][update]
    assert told and all("nothing that may be moved" in step for step in told)


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_control_nets_act_beside_steering(result, update):
    assert result[f"control net and {update}"]


def test_tokens_of_weighted_and_long_prompts(result):
    assert result["texts"] == ["giraffe", "airplane", "dog", "cat"]
    assert result["chunks"][0] == 0 and result["chunks"][-1] > 0
    assert result["conditioning"]


def test_unknown_layer_is_named(result):
    assert "up.9" in result["layers"] and "up.0" in result["layers"]


def test_samplers_of_other_packs_are_steered_by_guidance_and_else_refused(result):
    assert result["own sampler"]
    assert "OwnSampler" in result["own sampler and descent"] and "noise guidance" in result["own sampler and descent"]


@pytest.mark.parametrize("sampler", ["SamplerLCMUpscale", "of another pack"])
def test_samplers_that_enlarge_are_steered_by_guidance_and_else_refused(result, sampler):
    told = result["enlarging"][sampler]
    assert told["told"].startswith("sampler: ") and "noise guidance" in told["told"]
    assert told["sizes"] == [[20, 20], [20, 20]]
    assert result["not enlarging"] == [16, 16]


def test_a_model_is_steered_once(result):
    assert "steered already" in result["steered twice"]


def test_no_positive_conditioning_is_refused(result):
    assert "no positive conditioning" in result["no positive"]


def test_maps_show_the_whole_picture_whatever_the_area_of_the_conditioning(result):
    assert result["size of maps for an area"] == [8, 8]


def test_names_of_embeddings_are_no_objects(result):
    assert result["beside an embedding"] == ["cat", "dog"]


def test_what_is_said_of_an_embedding_is_told_and_not_steered(result):
    summary, tied, _ = result["an embedding in a place"]
    assert tied == []
    assert "read, but not steered: embedding:giraffe above airplane (an embedding names no object)" in summary


def test_objects_with_a_weight_of_zero_are_told_and_passed_over(result):
    summary, tied, _ = result["a weight of 0"]
    assert tied == ["dog", "cat"]
    assert summary.splitlines() == [
        "dog to the left of cat",
        "read, but not steered: giraffe above airplane (giraffe and airplane: a weight of 0)",
    ]


def test_what_is_not_seen_in_a_word_is_no_part_of_it(result):
    assert result["unseen"][0] == result["seen"][0] == "giraffe above airplane"
    assert ["".join(word.split("\u200b")).replace("\u00ad", "") for word in result["unseen"][1]] == result["seen"][1]
    assert result["unseen"][2]


def test_a_prompt_is_shown_with_its_embeddings_as_it_was_written(result):
    summary, written, planned, error = result["an embedding alone"]
    assert summary.startswith('No spatial relation was found in "embedding:giraffe above an airplane"')
    assert written == "embedding:giraffe above an airplane"
    assert '"embedding:giraffe above an airplane"' in planned
    assert '"embedding:cat, a cat above a dog"' in error
