"""Memory that a probe's graph keeps beside the stored weights, and its gradient: FAMILY BLOCKS …"""

from contextlib import nullcontext

import torch
from family_models import OBJECTS, ROWS
from setting import arguments, quant_ops, report
from spatial_steering.steering_core.backends.comfyui import probe
from spatial_steering.steering_core.backends.comfyui.cast_weights import weights_cast_again
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.backends.comfyui.inference_weights import ordinary_weights
from spatial_steering.steering_core.layers import default_layers
from spatial_steering.steering_core.probe import MapRequest
from torch.autograd.graph import saved_tensors_hooks

FORMATS = ("float8_e4m3fn", "int8_tensorwise", "nvfp4")


class Kept:
    """Bytes of the storages that are saved for backward and hold no weight as it is stored."""

    def __init__(self, network):
        self.weights = {weight.untyped_storage().data_ptr() for weight in network.parameters() if plain(weight)}
        self.storages = {}

    def __call__(self, tensor):
        if plain(tensor) and tensor.untyped_storage().data_ptr() not in self.weights:
            self.storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # not to be given out again
        return tensor

    @property
    def bytes(self):
        return sum(storage.nbytes() for storage in self.storages.values())


def plain(tensor):
    """Not quantised."""
    return not isinstance(tensor, quant_ops.QuantizedTensor)


def patched(model):
    """The model with another weight in each linear layer while it computes, as a LoRA beside stored weights is."""
    for part in model.model.diffusion_model.modules():
        if hasattr(part, "weight_function") and hasattr(part, "in_features"):
            part.weight_function = [lambda weight: 1.1 * weight]
    return model


def probed(row, model):
    """Bytes kept, the gradient, and the one of autograd that keeps what it likes."""
    kept, gradient = _probed(row, model)
    probe.weights_cast_again = lambda modules: nullcontext()
    try:
        return kept, gradient, _probed(row, model)[1]
    finally:
        probe.weights_cast_again = weights_cast_again


def _probed(row, model):
    readable, found = readable_network(model), []

    def look(executor, guider, sigmas, extra_args, callback, noise, *rest, **named):
        sigma, options = sigmas[0].item() * 0.7, extra_args["model_options"]
        (condition,) = guider.conds["positive"]
        layers = default_layers(readable.layers)
        with ordinary_weights(guider), torch.inference_mode(False), torch.enable_grad():
            kept = Kept(guider.inner_model.diffusion_model)
            leaf = (noise * sigma).clone().requires_grad_()
            with saved_tensors_hooks(kept, lambda tensor: tensor):
                maps = probe.probe_model(
                    guider, condition, leaf.clone(), sigma, options, readable, MapRequest(OBJECTS, layers)
                ).layers
                value = sum((seen * torch.linspace(0, 1, seen.numel()).view_as(seen)).sum() for seen in maps.values())
            (gradient,) = torch.autograd.grad(value, leaf)
        found.extend((kept.bytes, gradient.flatten()))
        return executor(guider, sigmas, extra_args, callback, noise, *rest, **named)

    watched = model.clone()
    watched.add_wrapper_with_key("sampler_sample", "look", look)
    row.sample(watched, row.conditioning(), steps=1)
    return found


def family(name, blocks):
    """Each kind of its weights, beside the plain ones."""
    row = ROWS[name]
    models = {"plain": row.model(), "cast": row.cast(), "patched": patched(row.cast())}
    models |= {format: row.quantised(blocks, format) for format in FORMATS}
    result = {}
    for kind, model in models.items():
        bytes, gradient, expected = probed(row, model)
        result[kind] = {"bytes": bytes, "off by": ((gradient - expected).norm() / expected.norm()).item()}
    return result


if __name__ == "__main__":
    with torch.inference_mode():
        report({name: family(name, blocks) for name, blocks in zip(arguments[::2], arguments[1::2])})
