"""What ``benchmarks.proof`` has a real ComfyUI draw."""

from __future__ import annotations

import pytest

from benchmarks.in_comfyui import ComfyUI
from steering_core.evaluation.suites import ScenePrompt
from steering_core.relations.relation import Relation


def _prompt(relation: Relation) -> ScenePrompt:
    return ScenePrompt((("giraffe", relation, "airplane"),))


@pytest.mark.parametrize("model", ["miniature", "flux_miniature"])
def test_a_picture_is_its_seeds_and_areas_change_it(server, model):
    comfyui = ComfyUI(f"http://127.0.0.1:{server.port}")
    both = comfyui.draw(model, 4, 5.0, _prompt(Relation.ABOVE), (1, 2))
    assert both.shape == (2, 3, 128, 128) and 0 <= both.min() < both.max() <= 1
    assert not both[0].equal(both[1])
    assert (comfyui.draw(model, 4, 5.0, _prompt(Relation.ABOVE), (2,))[0] - both[1]).abs().max() < 2 / 255
    assert (comfyui.draw(model, 4, 5.0, _prompt(Relation.LEFT_OF), (1,))[0] - both[0]).abs().max() > 0.1


def test_what_it_refuses_is_told(server):
    comfyui = ComfyUI(f"http://127.0.0.1:{server.port}")
    with pytest.raises(RuntimeError, match="refuses the graph"):
        comfyui.draw("miniature", 0, 5.0, _prompt(Relation.ABOVE), (1,))
