"""Relations act on the conditioning of their own prompt, whatever a graph has made of it, or are refused."""

from __future__ import annotations

import pytest

_ALIKE = ["plain text encode", "combined, first", "combined, second", "area", "mask", "two ranges"]

_HANDING_ON = [
    "FluxGuidance",
    "ConditioningSetAreaPercentage",
    "ConditioningAverage, to",
    "ConditioningConcat, to",
    "ConditioningSetProperties",
]


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("conditionings.py")


@pytest.mark.parametrize("way", _ALIKE)
def test_the_probe_looks_with_the_prompt_of_the_relations(result, way):
    assert result["same first look"][way]
    assert sorted(set(result["steps"][way])) == [0, 1, 2]


def test_tokens_move_by_what_stands_before_the_prompt(result):
    first, chunk = result["first token"]
    assert first == chunk > 0


def test_a_blend_with_another_prompt_belongs_to_the_relations_that_it_carries(result):
    assert sorted(set(result["average"])) == [0, 1, 2]


@pytest.mark.parametrize("way", ["combined", "concatenated"])
def test_more_pictures_come_right_than_without_steering(result, way):
    unsteered, steered = result["right"][way]
    assert steered > unsteered


def test_steps_at_which_the_prompt_does_not_act_are_left_alone(result):
    assert result["late"]
    assert len(result["late steps"]) == 3
    assert all("does not act at this step" in told for told in result["late steps"])


def test_a_default_conditioning_is_steered_where_others_leave_it_room(result):
    same, told = result["default"]
    assert same and len(told) == 3 and all("does not act at this step" in one for one in told)
    assert sorted(set(result["default of a half"])) == [0, 1, 2]


@pytest.mark.parametrize("way", ["strength", "strength of a mask", "black mask", "black mask, bounds"])
def test_a_prompt_that_takes_no_part_in_the_picture_is_left_alone(result, way):
    as_plain, told = result["weightless"][way]
    assert as_plain and len(told) == 3 and all("does not act at this step" in one for one in told)


def test_a_prompt_without_weight_leaves_another_of_the_same_text_to_be_steered(result):
    assert sorted(set(result["weightless before another"])) == [0, 1, 2]


@pytest.mark.parametrize("case", ["another prompt", "relations of another prompt"])
def test_another_prompt_is_refused_with_what_to_connect(result, case):
    assert "Connect the conditioning of the Spatial Relation Parser" in result[case]
    assert "several fields for text, such as CLIPTextEncodeSDXL, must have that prompt in all" in result[case]


def test_a_prompt_that_is_connected_as_negative_is_told(result):
    assert "Swap" in result["swapped"]


def test_the_empty_prompt_of_perp_neg_is_not_the_positive_one(result):
    assert result["Perp-Neg"]["positive"] == [[0, 1, 2], [0, 1, 2]]
    for told in result["Perp-Neg"]["empty"]:  # with relations of its own, and with those that are carried
        assert "is connected as the empty conditioning. Swap" in told


@pytest.mark.parametrize("guider", ["basic", "dual, regular", "dual, nested"])
def test_every_guider_is_bent_as_far(result, guider):
    (expected, _), (moved, told) = result["guiders"]["CFG"], result["guiders"][guider]
    assert moved == pytest.approx(expected, rel=0.02) and not told


def test_a_guider_that_cannot_be_bent_is_told_of(result):
    moved, (told,) = result["guiders"]["past"]
    assert moved == 0 and "Past hands its predictions past" in told


def test_an_encoder_of_another_model_is_told_in_words(result):
    assert "CLIP that does not belong to the model" in result["another encoder"]
    assert "mat1" not in result["another encoder"]


def test_the_positive_conditioning_supplies_the_relations(result):
    assert result["carried"] and result["carried, combined"]
    assert result["carries a prompt without"]


@pytest.mark.parametrize("node", _HANDING_ON)
def test_the_relations_survive_the_nodes_that_change_a_conditioning(result, node):
    assert sorted(set(result["handed on"][node])) == [0, 1, 2]


def test_relations_that_a_node_has_dropped_are_told_with_the_node(result):
    assert "Conditioning (Concat) keeps those of its conditioning_to alone" in result["dropped"]


def test_relations_that_are_not_carried_or_are_several_are_told(result):
    assert "it carries no relations" in result["carries none"]
    assert "several prompts" in result["carries those of two"]
    assert 'several layouts of "a photo of a giraffe above an airplane"' in result["carries two layouts of one"]


def test_a_strength_of_zero_asks_nothing_of_what_is_connected(result):
    assert result["idle"] == [True] * 3


def test_a_prompt_of_which_zeroing_has_left_nothing_is_told(result):
    assert ["it was not encoded from the prompt of the relations" in told for told in result["zeroed"]] == [True] * 3
    assert sorted(set(result["after zeros"])) == [0, 1, 2]


@pytest.mark.parametrize("cfg", ["3.0", "1.0"])
def test_a_negative_conditioning_for_a_model_of_its_own_can_have_another_width(comfyui, cfg):
    told = comfyui.run("dual_model.py")[cfg]
    assert told["moved"] and told["same again"] and told["unsteered"] == []
    assert told["loss"][-1] < told["loss"][0]
