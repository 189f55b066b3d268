"""What other nodes keep during a run, and what ComfyUI moves in it, is as it would be without steering."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("node_state.py")


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_a_look_fills_no_cache_of_references(result, update):
    told = result["reference cache"][update]
    assert told["looks"] == [0, 1] and not told["unsteered"]
    assert told["change"] < 1e-5


@pytest.mark.parametrize(("way", "pictures"), [("width", 1), ("batch", 3)])
def test_a_look_sees_the_whole_picture_and_every_picture_where_a_model_samples_in_windows(result, way, pictures):
    told = result["windows"][way]
    assert told["looks"] == [0, 1] and not told["unsteered"]
    assert told["pictures"] == [pictures] and told["maps"] == [[8, 8]]
    assert told["change"] < 1e-5


def test_objects_are_bound_to_regions_of_the_whole_picture_and_not_of_windows_of_it(result):
    told = result["bound in windows"]["width"]
    assert any("sampled in windows" in line for line in told["told"]) and told["change"] == 0
    told = result["bound in windows"]["batch"]
    assert not any("windows" in line for line in told["told"]) and told["change"] > 0.01


@pytest.mark.parametrize("update", ["descent", "guidance"])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_model_with_an_adapter_is_looked_at_and_keeps_it(result, update, batch):
    told = result["adapter"][f"{update} of {batch}"]
    assert told["looks"] == [0, 1] and not told["unsteered"]
    assert told["change"] < 1e-5 < 0.05 < told["of the adapter"]


def test_a_fault_while_a_hint_is_encoded_leaves_no_half_of_it_behind(result):
    whole, failed = result["hint by a VAE"]
    assert [told["failed"] for told in (whole, failed)] == [0, 1] and not failed["unsteered"]
    for told in (whole, failed):
        assert told["looks"] == [0, 1] and told["change"] < 1e-5 < 0.05 < told["of the control net"]


def test_weights_that_are_evicted_in_a_run_leave_no_lora_behind(result):
    told = result["evicted"]
    assert told["looks"] == 2 and told["of the LoRA"] > 0.01
    for when in ("this run", "with it afterwards", "without it afterwards"):
        assert told[when] < 1e-5, when


def test_the_largest_seed_is_sampled(result):
    assert result["largest seed"]


def test_a_batch_that_another_node_draws_in_parts_is_told_and_left_as_it_is(result):
    told = result["batch in parts"]
    assert not told["looks"] and told["change"] == 0
    assert len(told["unsteered"]) == 2
    assert all("the network was given 1 of 2 pictures at a time" in reason for reason in told["unsteered"])
