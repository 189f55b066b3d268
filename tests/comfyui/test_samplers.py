"""Samplers of the installed ComfyUI can be steered: one of each kind, and by hand (``-m slow``) every one."""

from __future__ import annotations

import pytest

from steering_core.miniature.folder import SHIPPED

#: Plain, with history, with a corrector, with noise of its own, and one that forgets its latent.
_OF_EACH_KIND = ("euler", "dpmpp_2m", "uni_pc", "dpmpp_sde", "lcm")
_SOME_OR_ALL = pytest.mark.parametrize(
    ("names", "least"), [(_OF_EACH_KIND, len(_OF_EACH_KIND)), pytest.param((), 40, marks=pytest.mark.slow)]
)


@pytest.mark.parametrize("model", SHIPPED)
@_SOME_OR_ALL
def test_the_relation_comes_out_right_more_often(comfyui, names, least, model):
    right = comfyui.run("samplers.py", model, *names)

    assert len(right) >= least
    assert {sampler: counts for sampler, counts in right.items() if counts[1] <= counts[0]} == {}


@_SOME_OR_ALL
def test_the_steered_steps_are_recorded(comfyui, names, least):
    recorded = comfyui.run("watching.py", *names)

    assert len(recorded) >= 2 * least
    for name, steps in recorded.items():
        assert steps["predicted"] == steps["probed"], name
        assert steps["probed"] and set(steps["probed"]) <= {0, 1, 2}, name
        assert steps["told"][-1] == [steps["probed"][-1], 6] and len(steps["told"]) <= len(steps["probed"]), name
