"""Faults in a probe cost a step its steering, never the picture, and never the model."""

from __future__ import annotations

import pytest

WINDOW = ["0", "1"]
RULES = ["descent", "guidance"]


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("faults.py")


@pytest.mark.parametrize("step", WINDOW)
@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("kind", ["out of memory once", "out of memory", "error", "not a number", "cancel"])
def test_the_model_is_as_it_was(result, kind, update, step):
    assert result[f"{kind}, {update}"][step]["untouched"]


@pytest.mark.parametrize("step", WINDOW)
@pytest.mark.parametrize("update", RULES)
def test_memory_that_runs_out_once_costs_nothing(result, update, step):
    told = result[f"out of memory once, {update}"][step]
    assert told["finite"] and told["probed"] == [0, 1] and not told["unsteered"]


@pytest.mark.parametrize("step", WINDOW)
@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize(("kind", "words"), [("out of memory", "out of memory"), ("error", "deliberate")])
def test_what_fails_again_leaves_the_step_unsteered(result, kind, words, update, step):
    told = result[f"{kind}, {update}"][step]
    assert told["finite"]
    assert told["probed"] == list(range(int(step)))
    assert len(told["unsteered"]) == len(WINDOW) - int(step)
    assert all(words in line for line in told["unsteered"])


@pytest.mark.parametrize("update", RULES)
def test_a_picture_whose_gradient_is_no_number_is_left_alone_and_the_others_are_not(result, update):
    told = result[f"not a number, {update}"]["0"]
    assert told["finite"] and told["probed"] == [0, 1]
    assert len(told["unsteered"]) == 1 and "picture 1" in told["unsteered"][0]
    assert min(told["each moved"]) > 0


@pytest.mark.parametrize("step", WINDOW)
@pytest.mark.parametrize("update", RULES)
def test_a_cancel_ends_the_run(result, update, step):
    assert result[f"cancel, {update}"][step].get("cancelled")
