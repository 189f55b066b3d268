"""Many steered runs in a row leave nothing behind."""

from __future__ import annotations

import pytest

#: MiB by which the resident memory may drift between the quarters: what allocators keep to themselves.
_DRIFT = 8


@pytest.mark.parametrize("runs", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_memory_is_flat(comfyui, runs):
    told = comfyui.run("soak.py", str(runs))
    quarter = runs // 4
    assert max(told["resident"][-quarter:]) - max(told["resident"][quarter : 2 * quarter]) < _DRIFT
    assert told["objects"][-1] - told["objects"][quarter] < 50
