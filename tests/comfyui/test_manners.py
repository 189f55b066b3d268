"""A model that was steered is as it was before, whatever happened."""

from __future__ import annotations

import pytest

#: Samplers that go on from the latent they are given, and remember nothing of the steps before.
_MEMORYLESS = {"euler", "heun"}
#: Run with ``-m slow``.
_BY_HAND = ("heun", "dpmpp_2m", "dpmpp_sde")


@pytest.mark.parametrize("update", ["descent", "guidance"])
@pytest.mark.parametrize(
    "sampler", ["euler", "uni_pc", *(pytest.param(name, marks=pytest.mark.slow) for name in _BY_HAND)]
)
def test_model_is_as_before(comfyui, sampler, update):
    result = comfyui.run("manners.py", sampler, update)

    assert result["moved"] and result["finite"]
    assert result["steps"] == [0, 1]
    assert result["after success"]
    assert result["finite after error"]
    assert result["after error"]
    assert result["cancelled"]
    assert result["after cancel"]
    if update == "guidance" or sampler in _MEMORYLESS:
        assert result["step of zero"] == 0


def test_importing_the_pack_loads_no_library_and_is_silent(comfyui):
    result = comfyui.run_alone("importing.py")

    assert result["nodes"] > 0
    assert result["libraries"] == []  # a library takes seconds, our own files tenths of one
    assert result["printed"] == ""
