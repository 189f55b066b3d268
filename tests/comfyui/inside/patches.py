"""Steering of models that other nodes have patched, or that were quantised."""

import logging

import torch
from family_models import patcher
from quantising import quantised_weights
from setting import FreeU_V2, Scene, backend, comfy, followed_gradients, model_management, report, samplers
from spatial_steering.steering_core.backends.comfyui.quantised import check_differentiable
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering
from torch.nn.attention import SDPBackend


def with_new_tensor(model):
    """A patch that brings a tensor made in a node, and so in inference mode."""
    ones = torch.ones(1, device=model_management.get_torch_device()) * 1.0
    model.set_model_output_block_patch(lambda h, hsp, options: (h * ones, hsp))


def with_hypernetwork(model):
    """As comfy_extras' Hypernetwork: layers of its own on keys and values."""
    layer = torch.nn.Linear(128, 128, device=model_management.get_torch_device())
    torch.nn.init.eye_(layer.weight)
    torch.nn.init.zeros_(layer.bias)

    def patch(q, k, v, extra_options):
        width = k.shape[-1]
        weight, bias = layer.weight[:width, :width], layer.bias[:width]
        return q, torch.nn.functional.linear(k, weight, bias), torch.nn.functional.linear(v, weight, bias)

    model.set_model_attn2_patch(patch)


def without_gradients(model):
    """A wrapper that switches gradients off."""

    def wrapper(apply_model, args):
        with torch.no_grad():
            return apply_model(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(wrapper)


def in_inference_mode(model):
    """A wrapper that runs the network in inference mode."""

    def wrapper(apply_model, args):
        with torch.inference_mode():
            return apply_model(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(wrapper)


def detached(model):
    """A patch that cuts what comes before it off from the graph."""
    model.set_model_input_block_patch(lambda h, options: h.detach())


def quantised(model, format):
    """A copy of the model with the linear layers of its transformers in a quantised format."""
    inner = model.model
    given = inner.model_config
    config = type(given)(dict(given.unet_config))
    config.latent_format, config.sampling_settings = given.latent_format, given.sampling_settings
    config.quant_config = {"mixed_ops": True}
    config.set_inference_dtype(torch.float32, torch.float32)
    weights = quantised_weights(inner.diffusion_model, ".transformer_blocks.", format)
    network = type(inner)(config, model_type=comfy.model_base.ModelType.V_PREDICTION)
    missing, unexpected = network.diffusion_model.load_state_dict(weights, strict=False)
    assert not missing and not unexpected, (missing[:3], unexpected[:3])
    return patcher(network)


def kernels_of_a_probe(scene):
    """Those that ComfyUI names on a card, before a run, in its probes and after it."""
    if not hasattr(comfy.ops, "SDPA_BACKEND_PRIORITY"):  # there on a card alone, and never read elsewhere
        comfy.ops.SDPA_BACKEND_PRIORITY = [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH]
    seen = [list(comfy.ops.SDPA_BACKEND_PRIORITY)]
    patched = scene.model.clone()

    def look(q, k, v, extra_options):
        if torch.is_grad_enabled() and len(seen) == 1:
            seen.append(list(comfy.ops.SDPA_BACKEND_PRIORITY))
        return q, k, v

    patched.set_model_attn2_patch(look)
    scene.sample(backend.steer_model(patched, Steering(scene.grounded, CentroidLoss(), SteeringSchedule())))
    seen.append(list(comfy.ops.SDPA_BACKEND_PRIORITY))
    return [[kernel.name for kernel in kernels] for kernels in seen]


logging.disable(logging.INFO)
with torch.inference_mode():
    scene, result = Scene(batch=2), {}

    def steered(model, update=DESCENT):
        """The run of a steered model."""
        log, steering = RunLog(), Steering(scene.grounded, CentroidLoss(), SteeringSchedule(update, refinements=1))
        return log.run_of(scene.sample(backend.steer_model(model, steering, log)))

    def told(run):
        """Steps probed and left out, and the sizes of the gradients."""
        return {
            "probed": [entry.step for entry in run.entries],
            "unsteered": [str(step) for step in run.unsteered],
            "gradients": followed_gradients(run.entries),
            "finite": bool(run.latent.isfinite().all()),
        }

    plain = steered(scene.model)
    result["plain"] = told(plain)
    freeu = {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}
    for update in (DESCENT, GUIDANCE):
        (patched,) = FreeU_V2.execute(scene.model, **freeu).result
        result[f"FreeU_V2, {update}"] = told(steered(patched, update))
    for patch in (with_new_tensor, with_hypernetwork, without_gradients, in_inference_mode, detached):
        patched = scene.model.clone()
        patch(patched)
        run = steered(patched)
        result[patch.__name__] = {
            **told(run),
            "untouched": torch.equal(scene.sample(patched), scene.sample(patched)),
            # These change nothing of what the model computes: so neither of what steering does.
            "as plain": (run.latent - plain.latent).abs().max().item(),
        }

    result["kernels"] = kernels_of_a_probe(scene)

    log = RunLog()
    steering = Steering(scene.grounded, CentroidLoss(), SteeringSchedule(refinements=1))
    guider = samplers.CFGGuider(backend.steer_model(scene.model, steering, log))
    guider.set_conds(scene.positive, scene.negative)
    guider.set_cfg(5.0)
    sigmas = samplers.calculate_sigmas(scene.model.get_model_object("model_sampling"), "normal", 8)
    noise = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(4))
    latent = guider.sample(noise, torch.zeros_like(noise), samplers.ksampler("euler"), sigmas, seed=None)
    result["without a seed"] = told(log.run_of(latent))

    result["quantised"] = {}
    for format in ("float8_e4m3fn", "float8_e5m2", "int8_tensorwise", "nvfp4"):
        model = quantised(scene.model, format)
        before = scene.sample(model)
        run = steered(model)
        one, other = (entry.mean_map[:, :2].flatten() for entry in (run.entries[0], plain.entries[0]))
        result["quantised"][format] = {
            **told(run),
            "moved": not torch.equal(run.latent, before.cpu()),
            "untouched": torch.equal(scene.sample(model), before),
            "like the maps of full precision": torch.corrcoef(torch.stack([one, other]))[0, 1].item(),
        }
    for format in ("convrot_w4a4", "asym_w4a8_int8"):
        try:
            check_differentiable(quantised(scene.model, format).model.diffusion_model)
        except ValueError as error:
            result["quantised"][format] = str(error)
report(result)
