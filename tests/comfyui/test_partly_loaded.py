"""Models that do not fit whole: ComfyUI keeps most weights elsewhere, and streams each where it is used."""

from __future__ import annotations

import pytest

FAMILIES = ("UNet", "FLUX.1", "Z-Image", "Qwen-Image", "SD 3", "Anima")


@pytest.fixture(scope="module")
def results(comfyui):
    return comfyui.run("partly_loaded.py", *FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_streamed_is_steered_as_what_is_loaded_whole(results, family):
    told = results[family]
    assert told["streamed"] > 10
    assert told["plain is off by"] < 1e-3
    assert told["failed"] == [] == told["unsteered"]
    assert told["looks"] == told["expected looks"] > 1
    assert told["off by"] < 1e-2
    assert told["as it was"]
