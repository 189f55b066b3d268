from __future__ import annotations

import pytest
import torch

from steering_core.layers import AttentionLayer, MapCollector, ProbeComplete, check_layers, default_layers, halved

STABLE_DIFFUSION = [
    *(AttentionLayer("down", number, number // 2, 8) for number in range(6)),
    AttentionLayer("mid", 0, 3, 8),
    *(AttentionLayer("up", number, 2 - number // 3, 8) for number in range(9)),
]


def test_default_is_the_first_two_decoder_blocks():
    assert default_layers(STABLE_DIFFUSION) == tuple(f"up.{number}" for number in range(6))


@pytest.mark.parametrize(("levels", "expected"), [((1, 1, 0, 0), ("up.0", "up.1")), ((1, 1), ("up.0", "up.1"))])
def test_default_leaves_out_the_last_block_where_there_are_several(levels, expected):
    decoder = [AttentionLayer("up", number, level, 8) for number, level in enumerate(levels)]
    assert default_layers([AttentionLayer("mid", 0, 1, 8), *decoder]) == expected


def test_wanted_layers_come_in_running_order():
    assert check_layers(["up.3", "down.1"], STABLE_DIFFUSION) == ("down.1", "up.3")


@pytest.mark.parametrize("wanted", [["up.9"], []])
def test_unknown_or_no_layers_are_refused_with_the_known_ones(wanted):
    with pytest.raises(ValueError, match=r"down\.0, down\.1"):
        check_layers(wanted, STABLE_DIFFUSION)


def test_collector_ends_the_forward_after_the_last_layer():
    q, k = torch.rand(2, 3, 6, 4), torch.rand(2, 3, 7, 4)
    collector = MapCollector(["up.0", "up.1"], [(1,), (2, 3)])
    collector.add("up.0", q, k, (2, 3))
    with pytest.raises(ProbeComplete):
        collector.add("up.1", q, k, (3, 2))
    layers = collector.token_maps().layers
    assert list(layers) == ["up.0", "up.1"]
    assert layers["up.0"].shape == (2, 2, 3, 2, 3)
    assert layers["up.1"].shape == (2, 2, 3, 3, 2)


@pytest.mark.parametrize(
    ("size", "level", "expected"), [((64, 96), 2, (16, 24)), ((9, 5), 1, (5, 3)), ((7, 7), 0, (7, 7))]
)
def test_odd_sizes_are_halved_as_strided_convolutions_do(size, level, expected):
    assert halved(size, level) == expected
