"""From pictures to a classifier that steers, in ComfyUI."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def result(comfyui, tmp_path_factory):
    comfyui.need_training()
    return comfyui.run("recording.py", str(tmp_path_factory.mktemp("recording")))


def test_inversion_finds_the_noise_that_a_picture_comes_from(result):
    assert result["reconstruction"] < 0.05
    assert result["psnr"] > 20  # with what the autoencoder loses
    assert 0.8 < result["noise"] < 1.2
    assert result["parts"] == list(reversed(range(20)))


def test_pictures_become_a_dataset_and_a_classifier_that_steers(result):
    assert [name for name in result["files"] if not name.endswith(".lock")] == ["000000.tar", "manifest.json"]
    assert result["saved"] and result["steers"]
    assert "on true prompts" in result["report"]
    assert [shape[-1] for shape in result["plots"]] == [3, 3]


def test_a_training_with_other_settings_begins_anew_under_the_same_name(result):
    assert "mine.safetensors" in result["wider"] and "on true prompts" in result["wider"]
    assert result["epochs"] == [2, 1]


def test_what_was_made_here_and_is_gone_is_made_anew(result):
    """Training, validation, a name that is linked, one that was not recorded, the classifier."""
    there, still_there, gone, still_gone = result["fingerprints"]
    assert there == still_there == [0, 0, 0, 0, 0] and gone == still_gone == [0, 1, 0, 0, 1]


def test_a_steered_model_is_refused_with_what_to_connect(result):
    assert "Connect the model from before the node that steers it" in result["steered"]


def test_the_model_is_as_it_was(result):
    assert result["untouched"]


def test_training_alone_needs_packages_that_comfyui_does_not_bring(comfyui, tmp_path):
    result = comfyui.run("lacking.py", str(tmp_path))
    assert "manifest.json" in result["recorded"]
    assert result["trained"].endswith("pip install accelerate matplotlib")


@pytest.fixture(scope="module")
def hashes(comfyui):
    return comfyui.run("hashes.py")


def test_a_models_hash_tells_loras_and_their_strengths_apart(hashes):
    assert hashes["patches"]["lora"] == [1, 1]
    assert len(set(hashes["before"].values())) == len(hashes["before"])


def test_a_models_hash_is_the_same_whether_it_is_loaded_or_not(hashes):
    assert hashes["before"] == hashes["loaded"] == hashes["after"]
    assert hashes["again"] == hashes["before"]["lora"]


def test_a_model_that_tells_nothing_of_its_lora_is_refused(hashes):
    assert "Load the LoRA with the ordinary node" in hashes["bypass"]


def test_a_picture_is_drawn_once_for_its_record_and_its_preview(result):
    assert result["drawn"] == [*range(8), *range(4)]
