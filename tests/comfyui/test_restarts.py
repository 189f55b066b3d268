"""Pictures that begin again in ComfyUI's samplers."""

from __future__ import annotations

import pytest

#: Plain, with noise of its own, with two looks at each step, and with history.
SAMPLERS = ["euler", "euler_ancestral", "dpmpp_sde", "uni_pc"]


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("restarts.py")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_crowded_picture_begins_again_and_the_attempt_of_least_overlap_is_kept(result, sampler):
    told = result["samplers"][sampler]
    (restart,) = told["restarts"]["restarted"]
    first, kept = told["overlaps"]
    assert restart["image"] == told["crowded"] and not told["restarts"]["failure"]
    assert restart["overlaps"][0] == pytest.approx(first[told["crowded"]])
    assert kept[told["crowded"]] == pytest.approx(min(restart["overlaps"]))
    assert not told["unsteered"] and told["probes"][0] == told["probes"][1]
    assert "1 of 3 pictures began again" in told["told"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_others_are_as_without_restarts_to_the_bit(result, sampler):
    told = result["samplers"][sampler]
    (restart,) = told["restarts"]["restarted"]
    expected = [image != told["crowded"] or restart["kept"] == 0 for image in range(3)]
    assert told["same"] == expected
    assert told["predictions"] and all(same == expected for same in told["predictions"].values())


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_sde"])
def test_the_seed_decides(result, sampler):
    assert result["samplers"][sampler]["deterministic"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_progress_is_told_as_without_restarts_and_nothing_is_left_behind(result, sampler):
    assert result["samplers"][sampler]["callbacks"]
    assert result["samplers"][sampler]["untouched"]


def test_a_picture_that_begins_again_alone_keeps_its_own_reference(result):
    told = result["references of their own"]
    assert told["restarted"][0] == [1] and 1 in told["restarted"][1]
    assert told["change"] < 1e-4


def test_a_cancel_in_a_restart_ends_the_run_and_leaves_nothing(result):
    assert result["cancelled"] == {"untouched": True, "as before": True}


def test_a_restart_that_fails_costs_no_picture(result):
    told = result["failed"]
    assert "deliberate" in told["told"][0] and told["untouched"]
    assert told["steered"] == [0, 1, 2] and told["same until then"]


def test_pictures_with_conditions_of_their_own_keep_them(result):
    assert result["with conditions of their own"] < 1e-3


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("mask", "by a mask"),
        ("denoise", "denoise below 1"),
        ("keyframes", "keyframes, once passed"),
        ("momentum", "APG's momentum"),
    ],
)
def test_where_something_of_a_run_is_kept_none_begins_again(result, what, reason):
    told = result["kept"][what]
    assert told["same"] and reason in told["told"][0]


def test_a_picture_that_is_denoised_from_full_noise_begins_again(result):
    assert result["all of a picture denoised"] == [3]


def test_attempts_are_looked_at_without_what_binds_objects(result):
    """Bound words share no place, and what a look sees of them tells nothing."""
    (overlaps,) = result["bound"]
    assert len(overlaps) == 3 and min(overlaps) > 0.1


def test_pictures_under_a_control_net_of_other_nodes_begin_again(result):
    assert result["a foreign control net"] == [3]


def test_of_steps_that_end_together_each_is_shown_by_its_own_prediction(result):
    assert result["two steps seen at once"] == [[0], [1]]
