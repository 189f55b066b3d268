"""Token maps and gradients on the card are the CPU's."""

from __future__ import annotations

import pytest
import torch
from test_diffusers_families import network_inputs
from tiny_pipelines import tiny
from torch.utils._pytree import tree_map_only
from toys import PROMPT

from steering_core.backends.diffusers import ground_prompt, load_pipeline
from steering_core.backends.diffusers.pipelines import kind_of
from steering_core.backends.diffusers.probe import probe_network
from steering_core.losses import CentroidLoss
from steering_core.miniature.folder import SHIPPED
from steering_core.probe import MapRequest

pytestmark = pytest.mark.gpu
NAMES = pytest.mark.parametrize("name", [*SHIPPED, "SDXL", "FLUX.1", "Z-Image"])


def made(name, clip_tokenizer):
    return load_pipeline(SHIPPED[name], "cpu") if name in SHIPPED else tiny(name, clip_tokenizer)


def maps_and_gradient(pipeline, inputs, device, dtype=torch.float32):
    """Of one probe: the maps of all layers in one row, and the loss's gradient, both on the CPU."""
    kind = kind_of(pipeline)
    network, scene = kind.network_of(pipeline).to(device, dtype), ground_prompt(pipeline, PROMPT)
    there = tree_map_only(torch.Tensor, lambda x: x.to(device, dtype if x.is_floating_point() else None), inputs)
    given = there[kind.latent]
    leaf = (torch.stack(given) if kind.latent in kind.listed else given).float().requires_grad_()
    moved = list(leaf.to(dtype)) if kind.latent in kind.listed else leaf.to(dtype)
    maps = probe_network(network, {**there, kind.latent: moved}, MapRequest(scene.tokens))
    (gradient,) = torch.autograd.grad(CentroidLoss()(maps, scene.relations[0], 0.0).sum(), leaf)
    return torch.cat([layer.detach().flatten() for layer in maps.layers.values()]).cpu(), gradient.cpu()


def off_by(found, expected):
    """The difference's norm over that of what was expected."""
    return ((found - expected).norm() / expected.norm()).item()


@NAMES
def test_maps_and_gradients_in_full_precision(device, clip_tokenizer, monkeypatch, name):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # its convolutions round to 10 bits
    pipeline = made(name, clip_tokenizer)
    inputs = network_inputs(pipeline)
    maps, gradient = maps_and_gradient(pipeline, inputs, "cpu")
    maps_there, gradient_there = maps_and_gradient(pipeline, inputs, device)
    assert off_by(maps_there, maps) < 1e-4 and off_by(gradient_there, gradient) < 1e-2


@NAMES
def test_maps_in_half_precision(device, clip_tokenizer, name):
    pipeline = made(name, clip_tokenizer)
    inputs = network_inputs(pipeline)
    maps, _ = maps_and_gradient(pipeline, inputs, "cpu")
    maps_there, gradient_there = maps_and_gradient(pipeline, inputs, device, torch.bfloat16)
    assert off_by(maps_there, maps) < 0.05 and gradient_there.isfinite().all() and gradient_there.any()
