"""Both trainings run on the card for a few steps."""

from __future__ import annotations

import pytest
from test_training_commands import record, train

from steering_core.backends.diffusers import load_pipeline
from steering_core.classifier import load_classifier
from steering_core.cli.main import main

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("shape", [["--shape", "flux"], ["--autoencoder-steps", "2"]], ids=["flux", "unet"])
def test_a_miniature_is_trained(device, tmp_path, shape):
    few = [*shape, "--pictures", "8", "--denoiser-steps", "2", "--denoiser-batch", "2"]
    assert main(["miniature", "train", "--out", str(tmp_path / "out"), "--device", device, *few]) == 0
    assert load_pipeline(tmp_path / "out", device).device.type == device


def test_a_classifier_is_trained_on_maps_recorded_there(device, tmp_path):
    assert record(tmp_path / "a", 4, 0, "--device", device) == 0
    assert train(tmp_path / "a", tmp_path / "a", tmp_path / "out") == 0
    assert load_classifier(tmp_path / "out" / "classifier.safetensors").settings.width == 16
