"""The reader of attention, on networks made for it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from steering_core.attention import logit_variance, standardised_queries, token_columns
from steering_core.families import CROSS, IMAGE, REFERENCES, REGISTERS, TEXT, Blocks, Family, NetworkInputs
from steering_core.layers import default_layers
from steering_core.networks import Transformer
from steering_core.probe import MapCollector, MapRequest, ProbeComplete

HEADS, KEY_HEADS, WIDTH = 4, 2, 8
TEXTS, SIZE = 5, (6, 8)
TOKENS = [(1,), (2, 3)]


def test_collector_ends_the_forward_after_the_last_layer():
    q, k = torch.rand(2, 3, 6, 4), torch.rand(2, 3, 7, 4)
    collector = MapCollector(MapRequest(TOKENS, ["up.0", "up.1"]))
    collector.add("up.0", q, k, (2, 3))
    with pytest.raises(RuntimeError, match=r"up\.1"):
        collector.token_maps()
    with pytest.raises(ProbeComplete):
        collector.add("up.1", q, k, (3, 2))
    layers = collector.token_maps().layers
    assert list(layers) == ["up.0", "up.1"]
    assert layers["up.0"].shape == (2, 2, 3, 2, 3)
    assert layers["up.1"].shape == (2, 2, 3, 3, 2)


def test_collector_reads_the_first_objects_standardised_too():
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 3, 12, 4, generator=generator), torch.randn(2, 3, 7, 4, generator=generator)
    read = []
    for standardised in ((), ("up.0",)):
        collector = MapCollector(MapRequest([*TOKENS, (5,)], ["up.0"], objects=2, standardised=standardised))
        with pytest.raises(ProbeComplete):
            collector.add("up.0", q, k, (2, 3, 2), first=1)
        read.append(collector.token_maps())
    own, both = read
    tokens = [(2,), (3, 4)]
    queries = standardised_queries(q, [logit_variance(q, k, tokens)])
    expected = token_columns(queries, k, tokens).unflatten(-1, (2, 3, 2)).mean(dim=-3)
    assert torch.equal(both.layers["up.0"], own.layers["up.0"])
    assert own.standardised is None and both.layers["up.0"].shape == (2, 3, 3, 3, 2)
    assert torch.equal(both.standardised["up.0"], expected)


def test_a_layer_that_is_run_again_has_the_factor_that_it_had():
    """As a block has in the backward pass, where memory is short."""
    layers = {name: (torch.randn(2, 3, 6, 4), torch.randn(2, 3, 7, 4)) for name in ("up.0", "up.1", "up.2")}
    collector = MapCollector(MapRequest(TOKENS, list(layers), objects=2, standardised=list(layers)))
    for name, (q, k) in layers.items():
        with pytest.raises(ProbeComplete) if name == "up.2" else nullcontext():
            collector.add(name, q, k, (2, 3))
    before = collector.token_maps()
    for name in ("up.1", "up.0"):
        collector.add(name, *layers[name], (2, 3))
    after = collector.token_maps().standardised
    assert after.keys() == before.standardised.keys() == layers.keys()
    for name, maps in after.items():
        assert torch.equal(maps, before.standardised[name])


@pytest.mark.parametrize("follows_own", [True, False])
def test_maps_that_are_only_told_of_keep_nothing_for_a_gradient(follows_own):
    q = torch.randn(2, 3, 6, 4, requires_grad=True)
    collector = MapCollector(MapRequest(TOKENS, ["up.0"], objects=2, standardised=["up.0"], follows_own=follows_own))
    with pytest.raises(ProbeComplete):
        collector.add("up.0", q, torch.randn(2, 3, 7, 4), (2, 3))
    maps = collector.token_maps()
    assert maps.layers["up.0"].requires_grad == follows_own
    assert maps.standardised["up.0"].requires_grad


@pytest.mark.parametrize(("dtype", "copies"), [(torch.float32, 2), (torch.bfloat16, 3)])
def test_what_a_layer_keeps_for_a_gradient(dtype, copies):
    """PyTorch's attention its queries and its output, and the queries in float32 where they were not."""
    q, k = (torch.randn(2, 3, count, 32).to(dtype).requires_grad_() for count in (600, 7))
    kept = {}

    def keep(saved):
        memory = saved.untyped_storage()
        kept[memory.data_ptr()] = memory.nbytes()
        return saved

    request = MapRequest(TOKENS, ["up.0"], objects=2, standardised=["up.0"], follows_own=False)
    collector = MapCollector(request, goes_on=True)
    with saved_tensors_hooks(keep, lambda saved: saved), torch.enable_grad():
        collector.add("up.0", q, k, (20, 30))
    kept.pop(q.untyped_storage().data_ptr(), None)
    assert sum(kept.values()) < (copies + 0.5) * q.numel() * 4


class Block(nn.Module):
    """One attention over given queries and keys, and before it one of the image alone."""

    def __init__(self, mask=None, grouped=False):
        super().__init__()
        self.heads, self.mask, self.grouped, self.ran = HEADS, mask, grouped, 0

    def forward(self, q, k, tokens):
        self.ran += 1
        F.scaled_dot_product_attention(q[..., -tokens:, :], q[..., -tokens:, :], q[..., -tokens:, :])
        k = k[:, :KEY_HEADS] if self.grouped else k
        return F.scaled_dot_product_attention(q, k, k, attn_mask=self.mask, scale=0.3, enable_gqa=self.grouped)


class Network(nn.Module):
    """Blocks that see one sequence: its parts are made beforehand, and its image has patches of 2."""

    def __init__(self, parts, patch=2, blocks=8, keys=None, **options):
        super().__init__()
        self.parts, self.patch, self.keys = parts, patch, keys
        self.blocks = nn.ModuleList(Block(**options) for _ in range(blocks))

    def forward(self, latent, context):
        q = torch.cat(self.parts, dim=-2)
        k = q if self.keys is None else self.keys
        for block in self.blocks:
            block(q, k, latent.shape[-1] * latent.shape[-2] // self.patch**2)


def tokens_of(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, HEADS, length, WIDTH, generator=generator) for length in lengths]


def read(network, order, over_all_keys=False, **options):
    family = Family("toy", ("toy",), (Blocks("block", "blocks", heads="heads"),), patch="patch", order=order, **options)
    readable = Transformer.of(network, family, lambda args, kwargs: NetworkInputs((1, *SIZE), TEXTS))
    wanted = default_layers(readable.layers)
    collector = MapCollector(MapRequest(TOKENS, wanted, over_all_keys))
    with readable.reading(collector, TEXTS), pytest.raises(ProbeComplete):
        network(torch.zeros(2, 4, *SIZE), torch.zeros(2, TEXTS, 7))
    assert wanted == ("block.2", "block.3")
    assert [block.ran for block in network.blocks] == [1, 1, 1, 1, 0, 0, 0, 0]
    return collector.token_maps().layers["block.2"]


def expected(image, keys, first, bias=0.0):
    probabilities = (image @ keys.transpose(-1, -2) * 0.3 + bias).softmax(dim=-1)
    columns = [probabilities[..., [first + index for index in indices]].mean(dim=-1) for indices in TOKENS]
    return torch.stack(columns, dim=1).unflatten(-1, (3, 4))


def test_the_softmax_runs_over_the_text_or_over_all_keys():
    text, image = tokens_of(TEXTS, 12)
    for over_all_keys, keys in ((False, text), (True, torch.cat([text, image], dim=-2))):
        maps = read(Network([text, image]), (TEXT, IMAGE), over_all_keys)
        torch.testing.assert_close(maps, expected(image, keys, first=0))


def test_parts_may_stand_in_any_order():
    registers, image, references, text = tokens_of(3, 12, 10, TEXTS)
    network = Network([registers, image, references, text])
    maps = read(network, (REGISTERS, IMAGE, REFERENCES, TEXT), registers=3)
    torch.testing.assert_close(maps, expected(image, text, first=0))
    maps = read(Network([text, references, image]), (TEXT, REFERENCES, IMAGE), over_all_keys=True)
    torch.testing.assert_close(maps, expected(image, torch.cat([text, references, image], dim=-2), first=0))


def test_text_that_the_network_pads_is_counted_from_its_own_first_token():
    text, image = tokens_of(TEXTS, 12)
    family = Family("toy", ("toy",), (), patch="patch", pads_left=True)
    spans = family.spans(Network([text, image]), NetworkInputs((1, *SIZE), TEXTS), conditioning=2)
    assert (spans.first, spans.texts) == (3, TEXTS)


def test_a_padded_sequence_is_counted_with_its_padding():
    text, padding, image, more = tokens_of(TEXTS, 3, 12, 4)
    network = Network([text, padding, image, more])
    network.multiple = 8
    maps = read(network, (TEXT, IMAGE), multiple="multiple")
    torch.testing.assert_close(maps, expected(image, torch.cat([text, padding], dim=-2), first=0))


def test_cross_attention_has_keys_of_the_text_alone():
    text, image = tokens_of(TEXTS, 12)
    torch.testing.assert_close(read(Network([image], keys=text), CROSS), expected(image, text, first=0))


def test_several_heads_may_share_keys():
    text, image = tokens_of(TEXTS, 12)
    maps = read(Network([text, image], grouped=True), (TEXT, IMAGE))
    shared = text[:, [0, 0, 1, 1]]
    torch.testing.assert_close(maps, expected(image, shared, first=0))


@pytest.mark.parametrize("kind", ["a row for all", "a row each", "true and false"])
def test_masked_keys_are_not_looked_at(kind):
    text, image = tokens_of(TEXTS, 12)
    whole = TEXTS + 12
    bias = torch.zeros(2, 1, 1 if kind == "a row for all" else whole, whole)
    bias[..., 3] = -torch.inf
    mask = bias == 0 if kind == "true and false" else bias
    maps = read(Network([text, image], mask=mask), (TEXT, IMAGE))
    rows = bias[..., :TEXTS] if kind == "a row for all" else bias[..., TEXTS:, :TEXTS]
    torch.testing.assert_close(maps, expected(image, text, first=0, bias=rows))
    assert maps[:, 1].sum() > 0


def test_frames_are_averaged():
    text, image = tokens_of(TEXTS, 24)
    family = Family("toy", ("toy",), (Blocks("block", "blocks", heads="heads"),), patch="patch")
    network = Network([text, image])
    readable = Transformer.of(network, family, lambda args, kwargs: NetworkInputs((2, *SIZE), TEXTS))
    collector = MapCollector(MapRequest(TOKENS, ["block.0"]))
    with readable.reading(collector, TEXTS), pytest.raises(ProbeComplete):
        network(torch.zeros(2, 4, 2, *SIZE), torch.zeros(2, TEXTS, 7))
    maps = collector.token_maps().layers["block.0"]
    both = [expected(frame, text, first=0) for frame in image.chunk(2, dim=-2)]
    torch.testing.assert_close(maps, torch.stack(both).mean(dim=0))


def test_a_call_of_another_length_is_not_read():
    text, image = tokens_of(TEXTS + 1, 12)
    family = Family("toy", ("toy",), (Blocks("block", "blocks", heads="heads"),), patch="patch")
    network = Network([text, image])
    readable = Transformer.of(network, family, lambda args, kwargs: NetworkInputs((1, *SIZE), TEXTS))
    collector = MapCollector(MapRequest(TOKENS, ["block.0"]))
    with readable.reading(collector, TEXTS):
        network(torch.zeros(2, 4, *SIZE), torch.zeros(2, TEXTS, 7))
    with pytest.raises(RuntimeError, match=r"block\.0"):
        collector.token_maps()
