"""A probe takes less memory than the research way's: what is held, and what its maps would add."""

from __future__ import annotations

import pytest

from benchmarks.cost import probes_of
from benchmarks.memory import peak_memory
from benchmarks.shapes import SHAPES, made

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_peak_of_a_probe(device, shape):
    ours, theirs = (peak_memory(probe, device) for probe in probes_of(made(shape, shape.reduced, device)))
    assert 0 < ours < 0.8 * theirs
