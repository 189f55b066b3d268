"""A model that ComfyUI loads in part, with weights that are streamed: steered, and its gradient: FAMILY…

On the CPU there is no second device to stream from. So ComfyUI is told to load a few layers only, as it does with
``--lowvram``, and of all others each weight is copied, when it is used, over that of the layer before the last, into
the buffers that ComfyUI takes for that.
"""

import itertools
from contextlib import contextmanager
from functools import partial

import torch
from family_models import ROWS, scene_of
from setting import Scene, arguments, comfy, report
from spatial_steering.steering_core import care
from spatial_steering.steering_core.backends.comfyui import cast_weights
from spatial_steering.steering_core.backends.comfyui.sampling import steer_model
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.schedule import SteeringSchedule
from spatial_steering.steering_core.steering import Steering

_LOADED = 16 * 1024


@contextmanager
def loaded_in_part(told):
    """ComfyUI loads so few bytes of a model's layers, and streams the others through two buffers."""
    patcher, load, cast = (
        comfy.model_patcher.ModelPatcher,
        comfy.model_patcher.ModelPatcher.load,
        comfy.ops.cast_bias_weight,
    )
    buffers = comfy.model_management.STREAM_CAST_BUFFERS
    turn = itertools.cycle(("first", "second"))

    def load_in_part(self, device_to=None, lowvram_model_memory=0, force_patch_weights=False, full_load=False):
        load(self, device_to, _LOADED, force_patch_weights, False)
        told["streamed"] = sum(is_streamed(part) for part in self.model.diffusion_model.modules())

    def streamed(layer, *args, offloadable=False, **kwargs):
        weight, bias, lent = cast(layer, *args, offloadable=True, **kwargs)
        if is_streamed(layer):
            size = comfy.memory_management.vram_aligned_size([weight, bias])
            stream = next(turn)
            if buffers.get(stream) is None or buffers[stream].numel() < size:
                buffers[stream] = torch.empty(size, dtype=torch.int8)
            copies = comfy.memory_management.interpret_gathered_like([weight, bias], buffers[stream])
            weight = copies[0].copy_(weight)
            bias = None if bias is None else copies[1].copy_(bias)
        return (weight, bias, lent) if offloadable else (weight, bias)

    def more_careful(way, error):
        told["failed"].append(str(error))
        return ask(way, error)

    told["failed"], ask = [], care.more_careful
    patcher.load, comfy.ops.cast_bias_weight, care.more_careful = load_in_part, streamed, more_careful
    elsewhere = cast_weights._is_elsewhere
    cast_weights._is_elsewhere = lambda layer, input: is_streamed(layer)
    try:
        yield
    finally:
        patcher.load, comfy.ops.cast_bias_weight, care.more_careful = load, cast, ask
        cast_weights._is_elsewhere = elsewhere
        buffers.clear()


def is_streamed(layer):
    return hasattr(layer, "prev_comfy_cast_weights")


def lora(model):
    """The model with a patch on each of its larger weights."""
    patched = model.clone()
    weights = {key: weight for key, weight in model.model.state_dict().items() if weight.dim() > 1}
    generator = torch.Generator().manual_seed(9)
    drawn = {key: 0.02 * torch.randn(weight.shape, generator=generator) for key, weight in weights.items()}
    patched.add_patches(
        {key: ("diff", (difference,)) for key, difference in drawn.items() if key.startswith("diffusion")}
    )
    return patched


def family(name):
    """The same pictures, loaded whole and in part."""
    if name == "UNet":
        miniature = Scene()
        model, scene, sample = miniature.model, miniature.grounded, partial(miniature.sample, steps=4)
    else:
        row = ROWS[name]
        conditioning = row.conditioning()
        model, scene = row.model(), scene_of(conditioning[0][0])
        sample = partial(row.sample, conditioning=conditioning)
    model, told = lora(model), {}

    def steered():
        steering = Steering(scene, CentroidLoss(), SteeringSchedule(refinements=2, target=-9.0))
        latent = sample(steer_model(model, steering))
        return latent, [str(step) for step in steering.unsteered], len(steering.trace)

    plain, (expected, _, looks) = sample(model), steered()
    model.detach()
    comfy.model_management.unload_all_models()
    with loaded_in_part(told):
        told["plain is off by"] = (sample(model) - plain).abs().max().item()  # its buffers are made in inference mode
        found, told["unsteered"], told["looks"] = steered()
        told["as it was"] = torch.equal(sample(model), sample(model))
        comfy.model_management.unload_all_models()
    told["off by"] = ((found - expected).norm() / (expected - plain).norm()).item()
    told["expected looks"] = looks
    return told


with torch.inference_mode():
    report({name: family(name) for name in arguments})
