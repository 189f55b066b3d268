"""What ``benchmarks.proof`` has a real ComfyUI draw."""

from __future__ import annotations

import pytest

from benchmarks.in_comfyui import ComfyUI
from steering_core.evaluation.suites import ScenePrompt
from steering_core.relations import Relation


@pytest.mark.parametrize("model", ["miniature", "flux_miniature"])
def test_a_picture_is_its_seeds_and_areas_change_it(server, model):
    comfyui = ComfyUI(f"http://127.0.0.1:{server.port}")
    prompt = ScenePrompt((("giraffe", Relation.ABOVE, "airplane"),))
    both = comfyui.draw(model, 4, 5.0, False, prompt, (1, 2))
    assert both.shape == (2, 3, 128, 128) and 0 <= both.min() < both.max() <= 1
    assert not both[0].equal(both[1])
    assert (comfyui.draw(model, 4, 5.0, False, prompt, (2,))[0] - both[1]).abs().max() < 2 / 255
    assert (comfyui.draw(model, 4, 5.0, True, prompt, (1,))[0] - both[0]).abs().max() > 0.1


def test_what_it_refuses_is_told(server):
    comfyui = ComfyUI(f"http://127.0.0.1:{server.port}")
    prompt = ScenePrompt((("giraffe", Relation.ABOVE, "airplane"),))
    with pytest.raises(RuntimeError, match="refuses the graph"):
        comfyui.draw("miniature", 0, 5.0, False, prompt, (1,))
