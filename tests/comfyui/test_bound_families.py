"""Objects of each family of the table are bound to their regions in a real ComfyUI, at reduced size."""

from __future__ import annotations

import pytest
from test_families import FAMILIES

STEPS = 3


@pytest.fixture(scope="module")
def results(comfyui):
    return comfyui.run("bound_families.py", *FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_objects_of_a_family_are_bound_in_every_layer_of_the_first_step(results, family):
    told = results[family]
    assert told["moved"] and told["finite"]
    assert told["calls"] % STEPS == 0 and told["bound"] == told["calls"] // STEPS
    assert told["wrong"] == 0 and told["unbound"] == []
    assert told["steered too"] == [True, 0, 0]
    assert told["off"] and told["as it was"]
