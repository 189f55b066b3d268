"""Transformers whose weights are cast or quantised, or that are compiled: steered, or refused in words."""

from __future__ import annotations

import pytest

#: What stands in the names of their blocks' weights.
FAMILIES = {"FLUX.1": "_blocks.", "Z-Image": "layers.", "Qwen-Image": "transformer_blocks."}


def told_by(comfyui, script):
    return comfyui.run(script, *(argument for pair in FAMILIES.items() for argument in pair))


@pytest.fixture(scope="module")
def results(comfyui):
    return told_by(comfyui, "family_weights.py")


@pytest.fixture(scope="module")
def kept(comfyui):
    return told_by(comfyui, "kept.py")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "kind", ["plain", "cast", "float8_e4m3fn", "float8_e5m2", "int8_tensorwise", "nvfp4", "compiled"]
)
def test_it_is_steered(results, family, kind):
    told = results[family][kind]
    assert told["unsteered"] == [] and told["moved"] and told["as it was"]
    assert told.get("like the maps of full precision", 1.0) > 0.9
    assert told.get("difference", 0.0) < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("format", ["convrot_w4a4", "asym_w4a8_int8"])
def test_formats_without_a_gradient_are_refused(results, family, format):
    assert format in results[family][format] and "no gradient passes" in results[family][format]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["cast", "patched", "float8_e4m3fn", "int8_tensorwise", "nvfp4"])
def test_no_copy_of_a_weight_is_kept_for_backward(kept, family, kind):
    told, plain = kept[family][kind], kept[family]["plain"]
    assert told["bytes"] < 1.02 * plain["bytes"]
    assert told["off by"] < (0.05 if kind == "int8_tensorwise" else 1e-4)
