from __future__ import annotations

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from steering_core.changed_in_place import changes_in_place_allowed
from steering_core.run_again import run_again


def alone(block):
    return nullcontext()


class Block(nn.Module):
    """Adds to its inputs in place, as FLUX's do, and is given more than tensors."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(6, 24), nn.Linear(24, 6)
        self.runs = 0

    def forward(self, image, text, scales, told=None, name=""):
        self.runs += 1
        told["runs"] = told.get("runs", 0) + 1
        text += 0.1 * scales[0]
        image += self.outer(torch.nn.functional.gelu(self.inner(image))) * text.mean() + scales[1]
        return {"image": image, "name": name}["image"], text, name


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block() for _ in range(4))

    def forward(self, latent, told):
        image, text = latent * 2, torch.ones(2, 3, 6)
        for block in self.blocks:
            image, text, name = block(image, text, (latent[:, :1], torch.tensor(0.5)), told=told, name="one")
            image[:, 0] += 1.0  # as a control net does
        assert name == "one"
        return image.sum(), text


def plain(network):
    return probed(network, [], alone, {})


def again(network, around=alone, told=None):
    return probed(network, network.blocks, around, {} if told is None else told)


def probed(network, blocks, around, told):
    """Gradient of the latent, and what came out."""
    latent = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    with changes_in_place_allowed(), run_again(blocks, around, {}):
        value, text = network(latent, told)
        return torch.autograd.grad(value, latent)[0], value.detach(), text.detach()


def test_blocks_that_change_their_inputs_give_the_same_to_the_bit():
    network = Network().requires_grad_(False)
    for expected, found in zip(plain(network), again(network)):
        assert torch.equal(found, expected)


def test_each_block_runs_twice_within_the_context_that_it_asks():
    network, entered, told = Network().requires_grad_(False), [], {}

    @contextmanager
    def around(block):
        entered.append(block)
        yield

    again(network, around, told)
    assert [block.runs for block in network.blocks] == [2] * 4 and entered == [*reversed(network.blocks)]
    assert told == {"runs": 8}, "a dictionary is the block's own, not a copy"


def test_a_block_keeps_its_inputs_alone():
    network = Network().requires_grad_(False)

    def kept(blocks):
        """Numbers in activations that are saved."""
        saved = {}
        with run_again(blocks, alone, {}), saved_tensors_hooks(lambda one: saved.setdefault(id(one), one), lambda x: x):
            network(torch.randn(2, 5, 6).requires_grad_(), {})
        return sum(one.numel() for one in saved.values() if one.dim() == 3)

    assert kept(network.blocks) < 0.5 * kept([])


def test_without_a_gradient_a_block_runs_once():
    network = Network().requires_grad_(False)
    with run_again(network.blocks, alone, {}), torch.no_grad():
        network(torch.randn(2, 5, 6), {})
    assert [block.runs for block in network.blocks] == [1] * 4


def test_what_was_made_in_inference_mode_is_kept():
    network = Network().requires_grad_(False)
    with torch.inference_mode():
        scale = torch.ones(())
    latent = torch.randn(2, 5, 6).requires_grad_()
    with run_again(network.blocks[:1], alone, {}):
        image, _, _ = network.blocks[0](latent * 1, torch.ones(2, 3, 6), (scale, scale), told={})
    assert torch.autograd.grad(image.sum(), latent)[0].isfinite().all()


@pytest.mark.parametrize("fails", [False, True])
def test_the_blocks_are_as_they_were(fails):
    network = Network()
    own = network.blocks[1].forward
    network.blocks[1].forward = own  # an instance's own, as hooks of accelerate set it
    with pytest.raises(RuntimeError) if fails else nullcontext(), run_again(network.blocks, alone, {}):
        assert network.blocks[1].forward is not own
        if fails:
            raise RuntimeError
    assert ["forward" in vars(block) for block in network.blocks] == [False, True, False, False]
    assert network.blocks[1].forward is own


def test_a_gradient_passes_what_a_block_puts_aside():
    class Aside(nn.Linear):
        def forward(self, x):
            kept["seen"] = x.square()
            return super().forward(x)

    torch.manual_seed(0)
    block, kept, found = Aside(6, 6).requires_grad_(False), {}, []
    for blocks in ([], [block]):
        kept.clear()
        latent = torch.linspace(-1, 1, 6).requires_grad_()
        with run_again(blocks, alone, kept):
            value = block(latent * 2).sum() + kept["seen"].sum()
        found.append(torch.autograd.grad(value, latent)[0])
    assert torch.equal(*found)
