"""Token maps of one forward of a ComfyUI model: one that ends at the last layer wanted, or a sampler's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import comfy.ops
import comfy.samplers
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy.model_patcher import create_model_options_clone
from torch import Tensor, nn
from torch.nn.attention import SDPBackend

from ...attributes import replaced
from ...networks import ReadableNetwork, uncompiled
from ...probe import MapCollector, MapRequest, ProbeComplete
from ...process_wide import differentiable_attention, uncompiled_forwards
from ...run_again import reading_with_gradient
from ...token_maps import TokenMaps
from .brought import counting_tokens
from .cast_weights import weights_cast_again
from .conditions import Condition, control_hints, control_nets
from .inference_weights import make_cast_weights_ordinary
from .rope import make_rope_differentiable

#: The transformer option by which ComfyUI asks what attends.
OVERRIDE = "optimized_attention_override"
#: The one in which core's EasyCache and LazyCache keep what they have seen of a run.
EASYCACHE = "easycache"

try:
    from comfy.ldm.ernie import model as ernie
except ImportError:  # of a ComfyUI before it
    ernie = None


#: A forward of the guider's model: of a latent as a sampler holds it, (batch, channels, H, W), with model options.
Forward = Callable[[Tensor, dict[str, Any]], Any]


def probe_model(
    guider: comfy.samplers.CFGGuider,
    condition: Condition,
    x: Tensor,
    sigma: float,
    model_options: dict[str, Any],
    network: ReadableNetwork,
    request: MapRequest,
    own: Forward | None = None,
) -> TokenMaps:
    """Token maps of one forward under a conditioning, ended at the last layer wanted.

    A network that was compiled runs uncompiled.

    Args:
        guider: while it samples.
        condition: one of the guider's, which acts at this noise level.
        x: latent as a sampler holds it, (batch, channels, H, W).
        sigma: noise level of x.
        network: of the guider's model.
        request: what to read.
        own: in place of a forward for the maps alone a sampler's own, under the condition alone. It goes on after the
            last layer, without gradients, and what it returns is the caller's to keep.

    Raises:
        RuntimeError: the network did not come to all of the layers, or is given a batch in parts.
    """
    make_rope_differentiable()
    forward = own or partial(_forward, guider, condition, sigma)
    collector = MapCollector(request.of(network.layers), goes_on=own is not None)
    control, vectors = condition.get("control"), condition.get("cross_attn")
    options = _options_of_probe(model_options, is_controlled=control is not None)
    diffusion_model = guider.inner_model.diffusion_model
    modules = list(diffusion_model.modules())  # one walk: in a large network each takes milliseconds
    make_cast_weights_ordinary(modules)
    tokens = 0 if vectors is None else vectors.shape[1]
    differentiable = partial(_differentiable, diffusion_model)
    with (
        _gradients_put_back() if own else nullcontext(),
        suppress(ProbeComplete),
        _nothing_kept(control, options["transformer_options"]),
        reading_with_gradient(network, collector, tokens, modules, differentiable),
    ):
        forward(x, options)
    maps = collector.token_maps()
    _check_all_seen(maps, len(x))
    return maps


def _gradients_put_back() -> AbstractContextManager[Any]:
    """After this context gradients are on or off as before: what goes on after the last layer switches them off."""
    return torch.set_grad_enabled(torch.is_grad_enabled())


def _forward(
    guider: comfy.samplers.CFGGuider, condition: Condition, sigma: float, x: Tensor, options: dict[str, Any]
) -> None:
    """A forward for the maps alone."""
    timestep = x.new_full((len(x),), sigma, dtype=torch.float32)
    comfy.samplers.calc_cond_batch(guider.inner_model, [[_condition_of_probe(condition)]], x, timestep, options)


def _condition_of_probe(condition: Condition) -> Condition:
    """A conditioning as a probe takes it: for the whole picture, and with no gradient through its control net."""
    # Of a conditioning for an area only, the maps would show the area only.
    condition = {name: value for name, value in condition.items() if name != "area"}
    if condition.get("control") is not None:
        condition["control"] = _ControlWithoutGradient(condition["control"])
    return condition


def _options_of_probe(model_options: dict[str, Any], is_controlled: bool) -> dict[str, Any]:
    """A run's options as a probe takes them.

    Args:
        is_controlled: whether the conditioning has a control net.
    """
    options = create_model_options_clone(model_options)
    options.pop("context_handler", None)  # of core's context windows: the maps would show the first window only
    transformer_options = options.get("transformer_options", {})
    # Of the attention kernels that may be chosen, this one is known to have a backward.
    transformer_options[OVERRIDE] = choosing_pytorch()
    if EASYCACHE in transformer_options:  # what it skips hangs on the forwards that it has seen
        transformer_options[EASYCACHE] = transformer_options[EASYCACHE].clone()
    if is_controlled:
        # Residuals are added in place to what the next encoder block has saved for backward, if it is not a copy.
        patches = transformer_options.get("patches", {})
        name = "input_block_patch_after_skip"
        transformer_options["patches"] = {**patches, name: [*patches.get(name, ()), lambda h, _: h.clone()]}
    options["transformer_options"] = counting_tokens(transformer_options)
    return options


def _check_all_seen(maps: TokenMaps, pictures: int) -> None:
    """Refuse maps of a part of a batch.

    Raises:
        RuntimeError: says of how many pictures they are.
    """
    seen = len(next(iter(maps.layers.values())))
    if seen != pictures:
        raise RuntimeError(f"the network was given {seen} of {pictures} pictures at a time, so that not all were seen")


@contextmanager
def _differentiable(network: nn.Module, modules: Sequence[nn.Module]) -> Iterator[None]:
    """In this context the modules of a network can be run for a gradient to the latent."""
    with (
        weights_cast_again(modules),
        attending_by_pytorch(network),
        uncompiled_forwards(),
        differentiable_attention(),
        _without_cudnn(),
    ):
        yield


def choosing_pytorch(override: Callable[..., Tensor] | None = None) -> Callable[..., Tensor]:
    """An override of attention that chooses PyTorch's, which has a gradient and takes every mask.

    Args:
        override: what was there before, and is kept.
    """
    if override is None:
        return lambda kernel, *args, **kwargs: attention_pytorch(*args, **kwargs)
    return lambda kernel, *args, **kwargs: override(attention_pytorch, *args, **kwargs)


@contextmanager
def _without_cudnn() -> Iterator[None]:
    """In this context ComfyUI does not name cuDNN's kernel when it attends: see ``differentiable_attention``."""
    kernels = getattr(comfy.ops, "SDPA_BACKEND_PRIORITY", [])  # on a card alone, and named anew in each call
    before = list(kernels)
    kernels[:] = [kernel for kernel in kernels if kernel is not SDPBackend.CUDNN_ATTENTION]
    try:
        yield
    finally:
        kernels[:] = before


@contextmanager
def attending_by_pytorch(network: nn.Module) -> Iterator[None]:
    """In this context ERNIE-Image, which asks no override, attends by PyTorch's attention as well."""
    if ernie is None or not isinstance(uncompiled(network), ernie.ErnieImageModel):
        yield
        return
    kernel = ernie.optimized_attention
    ernie.optimized_attention = attention_pytorch
    try:
        yield
    finally:
        ernie.optimized_attention = kernel


class _ControlWithoutGradient:
    """A control net as the probe sees it: its residuals count, the way through it is not kept."""

    def __init__(self, control: Any) -> None:
        self._control = control

    def get_control(self, x: Tensor, *args: Any) -> Any:
        """As the control net's own; where it fails, it is as it was before."""
        hints = list(control_hints(self._control, "cond_hint"))
        try:
            # Gradients end here whoever watches that they go on.
            with torch._C.DisableTorchFunction(), torch.no_grad():
                return self._control.get_control(x.detach(), *args)
        except Exception:
            for control, hint in hints:  # one that is half made would be taken for whole by the picture's own forwards
                control.cond_hint = hint
            raise


@contextmanager
def _nothing_kept(control: Any, transformer_options: Mapping[str, Any]) -> Iterator[None]:
    """In this context what is kept from forward to forward of a run is not there, and afterwards it is as before.

    Core's Flux KV Cache keeps keys and values, and a T2I-Adapter what it made of its hint for one batch size.

    Args:
        control: a control net, with those before it; none where there is none.
    """
    with ExitStack() as aside:
        for patch in itertools.chain.from_iterable(transformer_options.get("patches", {}).values()):
            if isinstance(getattr(patch, "cache", None), dict):
                aside.enter_context(replaced(patch, cache={}))
        for one in control_nets(control):
            if hasattr(one, "control_input"):
                aside.enter_context(replaced(one, control_input=None))
        yield
