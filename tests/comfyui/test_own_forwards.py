"""A sampler's own forward serves a look wherever it has no other part, and nothing else is different."""

from __future__ import annotations

import pytest

from steering_core.miniature.folder import SHIPPED

SERVED = ["alone", "heun", "noisy", "fails"]
APART = ["guided", "combined", "beside one without weight", "area", "cache", "override", "tiled", "single"]
WAYS = [*SERVED, *APART, "meeting"]


@pytest.fixture(scope="module", params=SHIPPED)
def result(comfyui, request):
    return comfyui.run("own_forwards.py", str(SHIPPED[request.param]))


@pytest.mark.parametrize("way", SERVED)
def test_without_other_parts_no_forward_is_run_for_a_look_after_the_last_move(result, way):
    seen = result["descent"][way]
    assert seen["runs apart"] - seen["runs"] == (way != "fails")


@pytest.mark.parametrize("way", SERVED)
def test_without_other_parts_no_forward_is_run_for_a_look_before_a_bend(result, way):
    seen = result["guidance"][way]
    looks = len(seen["entries"]) + len(seen["unsteered"])
    assert seen["runs apart"] - seen["runs"] == looks >= 2


@pytest.mark.parametrize("way", APART)
@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_else_it_is_run_apart(result, update, way):
    seen = result[update][way]
    assert seen["runs apart"] == seen["runs"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_the_same_is_seen_and_done(result, update, way):
    seen = result[update][way]
    assert seen["unsteered"] == seen["unsteered apart"]
    assert len(seen["entries"]) == len(seen["entries apart"])
    for entry, apart in zip(seen["entries"], seen["entries apart"]):
        assert entry == pytest.approx(apart, abs=1e-4)
    assert seen["difference"] < 1e-3


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
@pytest.mark.parametrize("share, shown_in", [(0.5, 2), (0.75, 3)])
def test_where_objects_are_bound_the_first_step_without_it_serves_the_look(result, sampler, share, shown_in):
    seen = result["bound"][f"{sampler}, {share}"]
    assert seen["runs apart"] - seen["runs"] == 1
    (*moves, look), (*moves_apart, apart) = seen["entries"], seen["entries apart"]
    assert look[:2] == [shown_in, 0] and apart[0] == moves[-1][0] == 1
    for entry, other in zip(moves, moves_apart, strict=True):
        assert entry == pytest.approx(other, abs=1e-4)
    assert seen["difference"] < 1e-3


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_where_all_steps_are_bound_the_look_is_run_apart(result, sampler):
    seen = result["bound"][f"{sampler}, 1.0"]
    assert seen["runs apart"] == seen["runs"]
    assert [entry[:2] for entry in seen["entries"]] == [entry[:2] for entry in seen["entries apart"]]
