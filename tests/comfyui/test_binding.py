"""Objects are bound where their prompt is, whatever a graph has made of it, and nothing stays."""

from __future__ import annotations

import pytest

BOUND = [0, 1]
CALLS = 7
STEPS = 4


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("binding.py")


def hidden(told, is_bound, shift=0, times=1):
    """Each call's expected keys: the first object's, in the parts of the batch that are bound."""
    giraffe, _ = told["keys"]
    keys = [shift + giraffe + 77 * time for time in range(times)]
    return [keys if part else [] for part in is_bound]


def test_off_is_off_to_the_bit(result):
    assert result["off"]


def test_the_prompt_is_bound_and_what_guidance_leads_away_from_is_not(result):
    told = result["alone"]
    parts = {tuple(map(tuple, call)) for call in told["hidden"][: 2 * CALLS]}
    expected = hidden(told, [True, True, False, False])
    assert parts <= {tuple(map(tuple, expected)), tuple(map(tuple, expected[::-1]))} and len(parts) == 1
    assert not any(any(call) for call in told["hidden"][2 * CALLS :])
    assert told["bound"] == BOUND and told["unbound"] == []


@pytest.mark.parametrize("way", ["combined", "carried"])
def test_of_several_prompts_the_one_of_the_relations_is_bound(result, way):
    told = result[way]
    giraffe, _ = told["keys"]
    for calls in (told["hidden"][:1], told["hidden"][CALLS : CALLS + 1]):
        assert sum(part == [giraffe] for call in calls for part in call) == 2
        assert sum(part == [] for call in calls for part in call) == len(calls[0]) - 2 > 0
    assert told["bound"] == BOUND


def test_tokens_are_bound_behind_what_stands_before_them(result):
    told = result["concatenated"]
    assert [giraffe for part in told["hidden"][0] for giraffe in part] == 2 * [told["chunk"] + told["keys"][0]]


def test_a_prompt_that_comfyui_repeats_is_bound_in_each_repetition(result):
    told = result["beside a longer one"]
    giraffe, _ = told["keys"]
    assert [part for part in told["hidden"][0] if part] == 2 * [[giraffe, told["chunk"] + giraffe]]


def test_a_prompt_for_a_mask_is_bound(result):
    assert result["mask"]["bound"] == BOUND and any(any(call) for call in result["mask"]["hidden"])


def test_a_prompt_for_an_area_is_not_bound_and_it_is_said(result):
    assert result["area is untouched"] and result["area"]["bound"] == []
    assert "is for an area of the picture" in result["area"]["unbound"][0]


def test_a_prompt_that_acts_later_is_not_bound(result):
    assert result["late is untouched"] and result["late"]["bound"] == [] == result["late"]["unbound"]


def test_a_prompt_that_takes_no_part_in_the_picture_is_not_bound(result):
    told = result["without weight"]
    assert result["faint is untouched"] and told["bound"] == [] == told["unbound"]
    assert not any(any(call) for call in told["hidden"])


# What the one move led to is seen in the first step in which nothing is bound.
@pytest.mark.parametrize("update, probed", [("descent", [0, 2]), ("guidance", [0])])
def test_bound_objects_are_steered_too(result, update, probed):
    told = result["steered"][update]
    assert told["probed"] == probed and told["unsteered"] == [] and told["bound"] == BOUND
    assert told["other than each alone"]


def test_the_first_steps_are_bound_with_every_sort_of_sampler(result):
    samplers = ("dpmpp_2m", "heun", "uni_pc", "dpmpp_sde", "lcm")
    assert result["samplers"] == {sampler: [BOUND] for sampler in samplers}


def test_another_override_of_attention_stays_in_place(result):
    assert result["override"]["asked"] and result["override"]["as without it"] < 1e-5


def test_a_compiled_model_is_bound(result):
    assert result["compiled"]["bound"] == BOUND and result["compiled"]["as uncompiled"] < 1e-4


def test_an_attention_that_another_patch_has_replaced_is_told(result):
    assert result["replaced"]["bound"] == []
    assert "another patch attends in the place of the layers" in result["replaced"]["unbound"][0]


def test_a_failure_costs_the_binding_and_not_the_picture(result):
    assert result["failure"]["picture"]
    assert len(result["failure"]["unbound"]) == STEPS and "deliberate" in result["failure"]["unbound"][0]


def test_the_model_is_as_it_was_after_errors_and_a_cancel(result):
    assert result["ended"] == {"cancel": "InterruptProcessingException", "error": "ArithmeticError"}
    assert result["as it was"]
