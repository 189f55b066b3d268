"""ComfyUI on the card: models at full size with random weights are steered, plain and quantised."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.gpu, pytest.mark.comfyui]
#: Side of the latent of 1024 pixels.
SIDE = "128"


@pytest.mark.parametrize("precision", ["bf16", "float8_e4m3fn", "int8_tensorwise"])
@pytest.mark.parametrize("name", ["FLUX.1", "SDXL"])
def test_a_model_at_full_size_is_steered(device, comfyui, monkeypatch, name, precision):
    if device == "cpu":
        pytest.skip("12 billion weights want a card")
    monkeypatch.setenv("STEER_TEST_DEVICE", "cuda")
    told = comfyui.run("full_size.py", name, precision, SIDE)
    print(name, precision, told)
    assert told["failed"] == [] and told["moved"] and told["loss"][-1] < told["loss"][0]
