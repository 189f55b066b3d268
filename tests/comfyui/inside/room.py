"""What a probe keeps beside its estimate, and what ComfyUI is asked for before it loads a model: FAMILY…"""

from dataclasses import replace
from functools import partial

import torch
from family_models import OBJECTS, ROWS, SDXL, scene_of
from kept import Kept
from setting import Scene, arguments, comfy, report
from spatial_steering.steering_core import care
from spatial_steering.steering_core.backends.comfyui import room, sampling
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.backends.comfyui.inference_weights import ordinary_weights
from spatial_steering.steering_core.backends.comfyui.probe import probe_model
from spatial_steering.steering_core.layers import default_layers
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.probe import MapRequest
from spatial_steering.steering_core.steering import Steering
from torch.autograd.graph import saved_tensors_hooks


def kept(model, sample):
    """Bytes that a probe keeps in a run of the model, over its estimate."""
    readable, told = readable_network(model), {}
    layers = default_layers(readable.layers)
    # As the loss by default.
    request = MapRequest(OBJECTS, layers, objects=len(OBJECTS), standardised=layers, follows_own=False)

    def look(executor, guider, sigmas, extra_args, callback, noise, *rest, **named):
        (condition,) = guider.conds["positive"]
        with ordinary_weights(guider), torch.inference_mode(False), torch.enable_grad():
            held = Kept(guider.inner_model.diffusion_model)
            x = (noise * sigmas[0].item()).clone().requires_grad_()
            with saved_tensors_hooks(held, lambda tensor: tensor):
                probe_model(guider, condition, x, sigmas[0].item(), extra_args["model_options"], readable, request)
        estimate = room.room_for_probes(readable, layers, guider.inner_model, x.shape, guider.conds)
        told.update(kept=held.bytes / estimate.whole, frugal=estimate.frugal / estimate.whole)
        return executor(guider, sigmas, extra_args, callback, noise, *rest, **named)

    watched = model.clone()
    watched.add_wrapper_with_key("sampler_sample", "look", look)
    sample(watched)
    return told


def asked(model, scene, sample):
    """What the model loader is asked for, unsteered and steered, and what care a run takes where memory is short."""
    told, load = {}, comfy.model_management.load_models_gpu
    free, estimate, required = type(model).get_free_memory, room.Room.of, model.model.memory_required

    def see(models, memory_required=0, minimum_memory_required=None, **named):
        asked_for.append((memory_required, minimum_memory_required))
        return load(models, memory_required=memory_required, minimum_memory_required=minimum_memory_required, **named)

    def fail(*args):
        raise ArithmeticError("deliberate")

    comfy.model_management.load_models_gpu = see
    model.model.memory_required = required  # as another pack would
    try:
        for name, there_is in (("plain", None), ("much", 1e15), ("little", 1e3), ("unknown", 1e15)):
            asked_for, cares = [], []
            steered, steering = model, Steering(scene, CentroidLoss())
            if there_is is not None:
                type(model).get_free_memory = lambda self, device, there_is=there_is: there_is
                room.Room.of = fail if name == "unknown" else estimate
                steered = sampling.steer_model(
                    model,
                    steering,
                    on_step=lambda bound, *rest, cares=cares: cares.append(bound.caution.care is care.frugal),
                )
            sample(steered)
            told[name] = {"asked": asked_for[0], "frugal": any(cares), "unsteered": len(steering.unsteered)}
            told[name]["as it was"] = vars(model.model)["memory_required"] == required
    finally:
        comfy.model_management.load_models_gpu, type(model).get_free_memory, room.Room.of = load, free, estimate
        del model.model.memory_required
    return told


def family(name):
    """Of the table, or the miniature's UNet."""
    if name == "UNet":
        miniature = Scene()
        model, scene, sample = miniature.model, miniature.grounded, partial(miniature.sample, steps=4)
    else:
        # So large that what does not grow with the picture counts for little.
        row = replace(SDXL if name == "SDXL" else ROWS[name], sides=(32, 40), batch=1)
        conditioning = row.conditioning()
        model, scene = row.model(), scene_of(conditioning[0][0])
        sample = partial(row.sample, conditioning=conditioning, steps=2)
    return {**kept(model, sample), **(asked(model, scene, sample) if name in ("UNet", "FLUX.1") else {})}


if __name__ == "__main__":
    with torch.inference_mode():
        report({name: family(name) for name in arguments})
