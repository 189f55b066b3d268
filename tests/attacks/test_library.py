"""The library called as a stranger may call it: what is wrong is named, before anything is drawn."""

from __future__ import annotations

import math

import pytest
import torch

from steering_core.backends.diffusers import generate, ground_prompt, load_pipeline
from steering_core.classifier import CLASSIFIERS_DIR, load_classifier
from steering_core.evaluation.geneval import judge_geneval
from steering_core.losses import CentroidLoss, CombinedLoss, PresenceLoss
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.parser import parse
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering

_PROMPT = "a dog to the left of a car"


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline(str(MINIATURE_DIR), "cpu")


def test_relations_of_another_prompt_are_not_tied_to_words_that_stand_where_its_own_stood(pipeline):
    with pytest.raises(ValueError, match="are of 'a giraffe above an airplane', and are to be tied to 'a dog to the "):
        ground_prompt(pipeline, _PROMPT, parse("a giraffe above an airplane"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"guidance_scale": math.nan}, "guidance_scale: a finite number was expected, not nan"),
        ({"guidance_scale": math.inf}, "guidance_scale: a finite number was expected, not inf"),
        ({"size": (0, 0)}, r"size: width and height in whole pixels were expected, not \(0, 0\)"),
        ({"size": (-8, 8)}, "size: width and height"),
        ({"seeds": [2**64]}, "seeds: whole numbers of 64 bits were expected, not 18446744073709551616"),
        ({"seeds": [0.5]}, "seeds: whole numbers of 64 bits were expected, not 0.5"),
        ({"seeds": [math.inf]}, "seeds: whole numbers of 64 bits were expected, not inf"),
        ({"size": (8,)}, "size: width and height"),
        ({"size": (math.inf, 8)}, "size: width and height"),
        ({"steps": 2.5}, "steps: 1 or more, in whole numbers, were expected, not 2.5"),
    ],
)
def test_numbers_that_make_no_picture_are_named(pipeline, wrong, named):
    given = {"seeds": [0], "steering": None, "steps": 1, "guidance_scale": 5.0, "size": (128, 128), **wrong}
    with pytest.raises(ValueError, match=named):
        generate(pipeline, _PROMPT, **given)


def test_what_is_no_steering_is_named(pipeline):
    scene = ground_prompt(pipeline, _PROMPT)
    with pytest.raises(TypeError, match="scene: one that is tied to tokens was expected, as ground_prompt makes it"):
        Steering(parse(_PROMPT), CentroidLoss("gelu"))
    for loss in (CentroidLoss, "centroid"):
        with pytest.raises(TypeError, match="loss: a loss such as CentroidLoss"):
            generate(pipeline, _PROMPT, [0], Steering(scene, loss), 1, 5.0)
    with pytest.raises(TypeError, match="steering: a Steering, made with a scene and a loss, was expected"):
        generate(pipeline, _PROMPT, [0], CentroidLoss("gelu"), 1, 5.0)


@pytest.mark.parametrize("name", ["refinements", "restarts"])
@pytest.mark.parametrize("value", [1.5, math.inf, math.nan])
def test_parts_of_a_refinement_or_restart_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number, . or more, not {value}"):
        SteeringSchedule(**{name: value})


def test_losses_of_no_finite_weight_are_refused():
    for wrong in ({"alpha": math.inf}, {"orthogonal_weight": math.inf}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a number"):
            CentroidLoss("gelu", **wrong)
    with pytest.raises(ValueError, match="weight of a combined loss must be a number greater than 0, not inf"):
        CombinedLoss(((CentroidLoss("gelu"), math.inf),))
    assert CombinedLoss([[CentroidLoss("gelu"), 1.0]]).terms[0][1] == 1.0
    with pytest.raises(ValueError, match="must be pairs of a loss and its weight"):
        CombinedLoss((CentroidLoss("gelu"), PresenceLoss()))


def test_one_text_for_names_of_layers_is_refused(pipeline):
    steering = Steering(ground_prompt(pipeline, _PROMPT), CentroidLoss("gelu", layers="up.0"))
    with pytest.raises(ValueError, match=r"Attention layers: names were expected, such as \('up.0',\), not one text"):
        generate(pipeline, _PROMPT, [0], steering, 2, 5.0)


def test_a_classifier_is_found_by_a_text_too():
    assert isinstance(load_classifier(str(CLASSIFIERS_DIR / "miniature.safetensors")), torch.nn.Module)


@pytest.mark.parametrize("relation", [Relation.ABOVE_LEFT, Relation.NEAR, Place.AT_LEFT])
def test_geneval_gives_no_verdict_on_relations_that_it_does_not_know(relation):
    with pytest.raises(ValueError, match=f'GenEval judges no "{relation.phrase}"'):
        judge_geneval([("dog", relation, None if isinstance(relation, Place) else "cat")], [], (64, 64))
