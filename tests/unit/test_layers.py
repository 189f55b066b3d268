from __future__ import annotations

import pytest

from steering_core.layers import PUBLISHED_NETWORKS, AttentionLayer, check_layers, default_layers, presence_layers

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


@pytest.mark.parametrize(("depth", "wanted"), [(10, ("up.11", "up.12", "up.13")), (4, ("up.5", "up.6", "up.7"))])
def test_default_of_deep_transformers_is_the_published_three(depth, wanted):
    """SDXL and its refiner: of up_blocks.0.attentions.1 the transformer_blocks 1 to 3."""
    coarse = [AttentionLayer("up", number, 2, 20) for number in range(3 * depth)]
    fine = [AttentionLayer("up", 3 * depth + number, 1, 10) for number in range(6)]
    assert default_layers([AttentionLayer("mid", 0, 2, 20), *coarse, *fine]) == wanted


def test_presence_is_read_at_16_by_16():
    assert presence_layers(STABLE_DIFFUSION) == ("down.4", "down.5", "up.0", "up.1", "up.2")
    small = [AttentionLayer("down", 0, 0, 8), AttentionLayer("mid", 0, 1, 8), AttentionLayer("up", 0, 1, 8)]
    assert presence_layers([*small, AttentionLayer("up", 1, 0, 8)]) == ("down.0", "up.1")


def test_presence_is_read_in_the_default_layers_of_other_networks():
    flux = PUBLISHED_NETWORKS["flux_dev"]
    deep = [*(AttentionLayer("up", number, 2, 20) for number in range(30)), AttentionLayer("up", 30, 1, 10)]
    for network in (flux, deep, STABLE_DIFFUSION[6:7]):
        assert presence_layers(network) == default_layers(network)


def test_wanted_layers_come_in_running_order():
    assert check_layers(["up.3", "down.1"], STABLE_DIFFUSION) == ("down.1", "up.3")


@pytest.mark.parametrize("wanted", [["up.9"], []])
def test_unknown_or_no_layers_are_refused_with_the_known_ones(wanted):
    with pytest.raises(ValueError, match=r"down\.0, down\.1"):
        check_layers(wanted, STABLE_DIFFUSION)


SMALL_FLUX = [f"double.{number}" for number in range(3)] + [f"single.{number}" for number in range(4)]


def test_default_of_a_transformer_is_the_second_quarter_of_its_depth():
    flux = PUBLISHED_NETWORKS["flux_dev"]
    chosen = default_layers(flux)
    assert (chosen[0], chosen[-1], len(chosen)) == ("double.15", "single.9", 14)
    assert default_layers([layer for layer in flux if layer.name in SMALL_FLUX]) == ("double.2", "single.0")
    assert default_layers(flux[:1]) == ("double.0",)
