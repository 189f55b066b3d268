"""From pictures to a classifier that steers, in ComfyUI."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def result(comfyui, tmp_path_factory):
    comfyui.need_training()
    return comfyui.run("recording.py", str(tmp_path_factory.mktemp("recording")))


def test_inversion_finds_the_noise_that_a_picture_comes_from(result):
    assert result["reconstruction"] < 0.05
    assert 0.8 < result["noise"] < 1.2
    assert result["parts"] == list(reversed(range(20)))


def test_pictures_become_a_dataset_and_a_classifier_that_steers(result):
    assert result["files"] == ["000000.tar", "manifest.json"]
    assert result["saved"] and result["steers"]
    assert "on true prompts" in result["report"]
    assert [shape[-1] for shape in result["plots"]] == [3, 3]


def test_the_model_is_as_it_was(result):
    assert result["untouched"]
