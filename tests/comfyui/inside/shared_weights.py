"""Weights and token maps of networks at reduced size, for diffusers to read the same ones: FOLDER FAMILY…

For each family a single file of its weights, and what the network was given with the maps that were read.
"""

from dataclasses import replace

import torch
from family_models import OBJECTS, ROWS, SDXL
from safetensors.torch import save_file
from setting import arguments, comfy, report
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.backends.comfyui.inference_weights import ordinary_weights
from spatial_steering.steering_core.backends.comfyui.probe import probe_model
from spatial_steering.steering_core.probe import MapRequest

#: What diffusers fixes and ComfyUI leaves to a checkpoint, as the real ones have it.
AS_IN_DIFFUSERS = {
    "FLUX.1": {"mlp_ratio": 4.0},
    "Z-Image": {"dim": 1056, "n_heads": 33, "n_kv_heads": 33, "n_layers": 2, "ffn_dim_multiplier": 8 / 3},
    # Heads of 128 numbers have the parts 32, 48, 48.
    "Krea 2": {"features": 64, "heads": 2, "kvheads": 1},
}


def weights_of(name, row, network):
    """By their names in a single file, or in diffusers where its conversion knows the real size alone (FLUX.1)."""
    weights = network.state_dict()
    if name == "FLUX.1":
        # The list has names of further networks' weights as well, and ones that other packages use.
        places = {
            key: (place,) if isinstance(place, str) else place
            for key, place in comfy.utils.flux_to_diffusers(row.unet).items()
            if not any(other in key for other in ("linear_in", "linear_out", "to_qkv_mlp_proj", "attn.to_out.weight"))
        }
        return {key: part_of(weights, *place) for key, place in places.items() if place[0] in weights}
    if name == "FLUX.2 dev":  # whose files call the weights of norms scales
        return {key.replace("_norm.weight", "_norm.scale"): value for key, value in weights.items()}
    prefix = "model.diffusion_model." if name in ("SD 3", "SDXL") else ""
    return {f"{prefix}{key}": value for key, value in weights.items()}


def part_of(weights, name, part=None, change=lambda weight: weight):
    """A weight, or the part of one, or one whose halves stand the other way round."""
    return change(weights[name] if part is None else weights[name].narrow(*part))


def share(name, folder):
    """Write a family's two files."""
    row = {**ROWS, "SDXL": SDXL}[name]
    row = replace(row, unet={**row.unet, **AS_IN_DIFFUSERS.get(name, {})}, sides=(8, 12))
    model, conditioning = row.model(), row.conditioning()
    network = model.model.diffusion_model
    readable = readable_network(model)
    seen = {}

    def watch(module, args, kwargs):
        """Of the probe's forward."""
        given = {"x": args[0], "timestep": args[1], **kwargs}
        wanted = ("x", "timestep", "context", "y", "guidance")
        seen.update({key: given[key] for key in wanted if isinstance(given.get(key), torch.Tensor)})

    def probe(executor, guider, sigmas, extra_args, callback, noise, *rest, **named):
        """Stand where steering stands, and probe once."""
        sigma = sigmas[0].item() * 0.7
        (condition,) = guider.conds["positive"]
        layers = [layer.name for layer in readable.layers]
        handle = network.register_forward_pre_hook(watch, with_kwargs=True)
        with ordinary_weights(guider), torch.no_grad():
            options = extra_args["model_options"]
            maps = probe_model(guider, condition, noise * sigma, sigma, options, readable, MapRequest(OBJECTS, layers))
        handle.remove()
        seen.update({f"maps.{layer}": value for layer, value in maps.layers.items()})
        return executor(guider, sigmas, extra_args, callback, noise, *rest, **named)

    watched = model.clone()
    watched.add_wrapper_with_key("sampler_sample", "probe", probe)
    row.sample(watched, conditioning, steps=1)
    weights = {key: value.clone().contiguous() for key, value in weights_of(name, row, network).items()}
    save_file(weights, f"{folder}/{name}.safetensors")
    seen = {key: value.clone().contiguous() for key, value in seen.items()}
    save_file(seen, f"{folder}/{name} as read.safetensors")


folder, *names = arguments
with torch.inference_mode():
    for name in names:
        share(name, folder)
report({"families": names})
