"""The learned loss in ComfyUI, with a classifier of random weights."""

from __future__ import annotations

import pytest
import torch

from steering_core.backends.diffusers import load_pipeline
from steering_core.backends.diffusers.families import unet_of
from steering_core.classifier import (
    ClassifierSettings,
    MapLayout,
    RelationClassifier,
    TransformerSettings,
    save_classifier,
)
from steering_core.layers import PUBLISHED_NETWORKS
from steering_core.miniature.folder import MINIATURE_DIR


def _save(network, layers, file):
    torch.manual_seed(0)
    small = TransformerSettings(2, 1, 16)
    settings = ClassifierSettings(width=16, steps=25, extractor=small, classifier=small)
    relations = ["left_of", "right_of", "above", "below"]
    save_classifier(RelationClassifier(relations, MapLayout(network, layers, 16, 256.0), settings, range(8)), file)


@pytest.fixture(scope="module")
def result(comfyui, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifiers")
    unet = load_pipeline(MINIATURE_DIR, "cpu").unet
    network = unet_of(unet).layers
    fitting, other = folder / "fitting.safetensors", folder / "other.safetensors"
    _save(network, ("down.0", "up.1"), fitting)
    _save(PUBLISHED_NETWORKS["sd14"], ("mid.0",), other)
    return comfyui.run("learned.py", str(fitting), str(other))


@pytest.mark.parametrize("loss", ["learned", "presence", "combined"])
def test_losses_steer_and_leave_the_model_as_it_was(result, loss):
    assert result[loss]["moved"]
    assert result[loss]["first"][0] == 0 and result[loss]["first"][1] > 0
    assert result["untouched"]


def test_combined_losses_add_up_by_their_weights(result):
    """At the first probe all ways see the same latent."""
    parts = result["learned"]["losses"][0] + result["presence"]["losses"][0]
    assert 0 < result["combined"]["losses"][0] - parts < 1


def test_a_classifier_of_another_model_is_refused(result):
    assert "8 maps of 16×16 from mid.0" in result["refused"]
    assert "this model is a network with 7 attention layers" in result["refused"]


def test_a_file_that_was_written_anew_under_the_same_name_is_loaded_anew(result):
    linked, first, same, other = result["fingerprints"]
    assert linked is None and first == same != other
