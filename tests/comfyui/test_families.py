"""Each family of the table, at reduced size with random weights, in a real ComfyUI."""

from __future__ import annotations

import pytest

FAMILIES = (
    "Z-Image",
    "Lumina 2",
    "Krea 2",
    "Qwen-Image",
    "Qwen-Image Edit",
    "Qwen-Image, padded prompts",
    "Mage-Flow",
    "FLUX.1",
    "FLUX.1 Kontext",
    "FLUX.2 dev",
    "Chroma",
    "Anima",
    "SD 3",
    "HiDream-I1",
    "HunyuanImage 2.1",
    "Kandinsky 5",
    "ERNIE-Image",
    "AuraFlow",
    "Wan",
    "JoyImage",
    "Lens",
    "Ideogram 4",
    "OmniGen 2",
    "Boogu",
    "PixelDiT",
)


@pytest.fixture(scope="module")
def results(comfyui):
    return comfyui.run("families.py", *FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_read_and_steered(results, family):
    told = results[family]
    # The last layer ends the forward before its call.
    assert told["calls"] == len(told["layers"]) - 1 >= 3
    assert told["over the text"] < 1e-4 and told["over all keys"] < 1e-4 and told["sum"] < 1e-4
    assert told["shape"][:3] == [2, 2, told["heads"]]
    assert told["gradient"] > 0
    assert told["finite difference"] == pytest.approx(told["gradient"], rel=1e-2)
    assert told["finite"] and told["as it was"]
    for update in ("descent", "guidance"):
        assert told[f"untouched, {update}"] and told[f"moved, {update}"]
        assert told[f"unsteered, {update}"] == []
    assert len(told["losses"]) == 5 and told["losses"][-1] < told["losses"][0]


@pytest.fixture(scope="module")
def frugal(comfyui):
    return comfyui.run("frugal.py", "UNet", *FAMILIES)


@pytest.mark.parametrize("family", ["UNet", *FAMILIES])
def test_blocks_that_are_run_again_give_the_same_gradient_and_keep_less(frugal, family):
    assert frugal[family]["off by"] < 1e-4
    assert frugal[family]["kept"] < 0.75
