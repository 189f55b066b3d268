"""Token maps of a network of the diffusers library: a forward that is read, and ends at the last layer wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from torch import nn

from ...probe import MapCollector, MapRequest, ProbeComplete
from ...process_wide import differentiable_attention, uncompiled_forwards
from ...run_again import reading_with_gradient
from ...token_maps import TokenMaps
from .families import readable_network
from .layerwise_casting import casting_copies


def probe_network(
    network: nn.Module,
    inputs: Mapping[str, Any],
    request: MapRequest,
) -> TokenMaps:
    """Token maps of one forward, which ends at the last layer wanted.

    Whatever is hung on the network runs as it does in sampling: hooks, LoRAs, attention processors. A network that
    was compiled runs uncompiled.

    Args:
        inputs: of the network's forward, by name, in its precision; as a forward, this may empty lists among them.
        request: what to read; its layers by the names that ``readable_network`` tells.

    Raises:
        ValueError: a layer is not the network's, or how it attends to the prompt is not known.
        RuntimeError: the network did not come to all of the layers.
    """
    inputs = {**inputs, "return_dict": False}
    maps, _ = _read(network, inputs, request, goes_on=False)
    return maps


def predicted_and_probed(
    network: nn.Module,
    inputs: Mapping[str, Any],
    request: MapRequest,
) -> tuple[Any, TokenMaps]:
    """What a forward returns, and its token maps: after the last layer wanted it goes on without gradients.

    Args and what it raises: see ``probe_network``.
    """
    with torch.set_grad_enabled(torch.is_grad_enabled()):  # puts back what is switched off within
        maps, output = _read(network, inputs, request, goes_on=True)
    return output, maps


def _read(
    network: nn.Module,
    inputs: Mapping[str, Any],
    request: MapRequest,
    goes_on: bool,
) -> tuple[TokenMaps, Any]:
    """Token maps of a forward, and what it returned if it came to its end."""
    readable = readable_network(network)
    collector = MapCollector(request.of(readable.layers), goes_on)
    # One walk, and no look for an attribute that a module lacks: in a large network either takes milliseconds.
    modules = list(network.modules())
    output = None
    with reading_with_gradient(readable, collector, 0, modules, _differentiable), suppress(ProbeComplete):
        output = network(**inputs)
    return collector.token_maps(), output


@contextmanager
def _differentiable(modules: Sequence[nn.Module]) -> Iterator[None]:
    """In this context the modules of a network can be run for a gradient to the latent."""
    with (
        uncompiled_forwards(),
        differentiable_attention(),
        native_attention(modules),
        not_trained(modules),
        casting_copies(modules),
    ):
        yield


@contextmanager
def not_trained(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Only the latent's path is kept in this context: no parameter asks for a gradient, no block is run twice.

    Blocks that are checkpointed would run again during the backward pass, when nobody reads them any more.
    """
    parameters = [parameter for module in modules for parameter in module._parameters.values()]
    trained = [parameter for parameter in parameters if parameter is not None and parameter.requires_grad]
    checkpointed: list[Any] = [module for module in modules if vars(module).get("gradient_checkpointing")]
    for parameter in trained:
        parameter.requires_grad_(False)
    for module in checkpointed:
        module.gradient_checkpointing = False
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for module in checkpointed:
            module.gradient_checkpointing = True


@contextmanager
def native_attention(modules: Sequence[nn.Module]) -> Iterator[None]:
    """In this context the modules attend by PyTorch's own function, where it is read and has a gradient."""
    # Processors with weights are modules themselves.
    candidates: list[Any] = [*modules, *(vars(module).get("processor") for module in modules)]
    processors = [candidate for candidate in candidates if hasattr(type(candidate), "_attention_backend")]
    before = [processor._attention_backend for processor in processors]
    for processor in processors:
        processor._attention_backend = AttentionBackendName.NATIVE
    try:
        yield
    finally:
        for processor, backend in zip(processors, before):
            processor._attention_backend = backend
