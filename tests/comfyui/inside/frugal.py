"""A probe whose blocks are run again: its gradient, and what it keeps, beside those of a plain one: FAMILY…"""

import weakref

import torch
from family_models import OBJECTS, ROWS
from setting import Scene, arguments, report
from spatial_steering.steering_core import care
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.backends.comfyui.inference_weights import ordinary_weights
from spatial_steering.steering_core.backends.comfyui.probe import probe_model
from spatial_steering.steering_core.layers import default_layers
from spatial_steering.steering_core.probe import MapRequest


def probed(way, guider, x, sigma, options, readable):
    """The gradient of a probe, and the bytes of the layers' outputs that are alive between forward and backward."""
    (condition,) = guider.conds["positive"]
    outputs = {}

    def note(module, args, output):
        if isinstance(output, torch.Tensor):
            # What is kept can be an alias of the output: its memory tells.
            memory = output.untyped_storage()
            outputs[memory._cdata] = weakref.ref(memory), memory.nbytes()

    handles = [module.register_forward_hook(note) for module in guider.inner_model.diffusion_model.modules()]
    try:
        with torch.enable_grad(), way():
            leaf = x.clone().requires_grad_()
            layers = default_layers(readable.layers)
            request = MapRequest(OBJECTS, layers)
            maps = probe_model(guider, condition, leaf.clone(), sigma, options, readable, request).layers
            value = sum((seen * torch.linspace(0, 1, seen.numel()).view_as(seen)).sum() for seen in maps.values())
            held = sum(size for memory, size in outputs.values() if memory() is not None)
            (gradient,) = torch.autograd.grad(value, leaf)
    finally:
        for handle in handles:
            handle.remove()
    return gradient, held


def compared(model, sample):
    """Both ways, in a run of the model."""
    readable, told = readable_network(model), {}

    def look(executor, guider, sigmas, extra_args, callback, noise, *rest, **named):
        sigma, options = sigmas[0].item() * 0.7, extra_args["model_options"]
        with ordinary_weights(guider), torch.inference_mode(False):
            x = (noise * sigma).clone()
            (expected, plain), (found, frugal) = (
                probed(way, guider, x, sigma, options, readable) for way in (care.mutable, care.frugal)
            )
        told["off by"] = ((found - expected).norm() / expected.norm()).item()
        told["kept"] = frugal / plain
        return executor(guider, sigmas, extra_args, callback, noise, *rest, **named)

    watched = model.clone()
    watched.add_wrapper_with_key("sampler_sample", "look", look)
    sample(watched)
    return told


def family(name):
    """Of the table, or the miniature's UNet."""
    if name == "UNet":
        scene = Scene()
        return compared(scene.model, lambda model: scene.sample(model, steps=1))
    row = ROWS[name]
    return compared(row.model(), lambda model: row.sample(model, row.conditioning(), steps=1))


with torch.inference_mode():
    report({name: family(name) for name in arguments})
