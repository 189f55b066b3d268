"""What other nodes and ComfyUI keep and move during a run, which steering is to leave as it is without it."""

import logging
from functools import partial

import torch
from setting import (
    ContextWindowsManualNode,
    ControlNet,
    ControlNetApplyAdvanced,
    FluxKontextMultiReferenceLatentMethod,
    FluxKVCache,
    ReferenceLatent,
    Scene,
    T2IAdapter,
    comfy,
    loras,
    model_management,
    report,
    sd,
)
from spatial_steering.steering_core.miniature.folder import FLUX_MINIATURE_DIR
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE
from torch import nn

STEPS = 4
#: Of a loss that every picture meets, so that steering looks and moves nothing.
MET = {"target": 10.0, "end": 0.5}


sampled = partial(Scene.sample, steps=STEPS)


def steered(scene, model, **schedule):
    return scene.steered(model, **{**MET, **schedule})


def told(log, latent, plain):
    """The steps that were looked at, why others were not, and how far the picture is from the unsteered one."""
    run = log.run_of(latent)
    return {
        "looks": sorted({entry.step for entry in run.entries}),
        "unsteered": [str(step) for step in run.unsteered],
        "pictures": sorted({len(entry.mean_map) for entry in run.entries}),
        "maps": sorted({entry.mean_map.shape[-2:] for entry in run.entries}),
        "change": relative(latent, plain),
    }


def relative(latent, plain):
    return ((latent - plain).norm() / plain.norm()).item()


def with_reference_cache(update):
    scene = Scene(FLUX_MINIATURE_DIR, batch=1)
    reference = {"samples": torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))}
    positive = ReferenceLatent.execute(scene.positive, reference).result[0]
    # The cache's own way of numbering references needs FLUX.2's modulation.
    scene.positive = FluxKontextMultiReferenceLatentMethod.execute(positive, "index").result[0]
    plain = sampled(scene, FluxKVCache.execute(scene.model).result[0], cfg=1.0)
    # With the cache objects can be bound in the first step alone, and bound they would be by default.
    model, log = steered(scene, FluxKVCache.execute(scene.model).result[0], update=update, bound=0.0)
    return told(log, sampled(scene, model, cfg=1.0), plain)


def with_windows(axis, length, batch):
    """Along the picture's width, or over its batch."""
    scene = Scene(batch=batch)
    overlap = 0 if axis == 0 else 4
    windowed = ContextWindowsManualNode.execute(
        scene.model, length, overlap, "standard_static", 1, False, "pyramid", axis, False
    ).result[0]
    model, log = steered(scene, windowed)
    return told(log, sampled(scene, model), sampled(scene, windowed))


def bound_in_windows(axis, length, batch):
    """What was told of the objects' regions, and how far the picture is from the unbound one."""
    scene = Scene(batch=batch)
    windowed = ContextWindowsManualNode.execute(
        scene.model, length, 0, "standard_static", 1, False, "pyramid", axis, False
    ).result[0]
    model, log = scene.steered(windowed, bound=1.0, strength=0.0)
    latent = sampled(scene, model)
    binding = log.run_of(latent).binding
    return {"told": [str(line) for line in binding.lines()], "change": relative(latent, sampled(scene, windowed))}


class Adapter(nn.Module):
    """As a T2I-Adapter's network: what the blocks of the UNet are to be given, of a picture."""

    unshuffle_amount, input_channels = 8, 3

    def __init__(self):
        super().__init__()
        self.unshuffle, self.convolution = nn.PixelUnshuffle(8), nn.Conv2d(192, 64, 3, 1, 1)

    def forward(self, x):
        return {"input": [None, None, 5 * self.convolution(self.unshuffle(x)), None]}


def with_adapter(batch, update):
    scene = Scene(batch=batch)
    bare = sampled(scene, scene.model)
    torch.manual_seed(0)
    hints = torch.rand(batch, 128, 128, 3)
    adapter = T2IAdapter(Adapter(), 3, 8, "nearest-exact")
    scene.positive, scene.negative = ControlNetApplyAdvanced().apply_controlnet(
        scene.positive, scene.negative, adapter, hints, 1.0, 0.0, 1.0
    )
    plain = sampled(scene, scene.model)
    model, log = steered(scene, scene.model, update=update)
    return {**told(log, sampled(scene, model), plain), "of the adapter": relative(plain, bare)}


def with_hint_by_vae(fails):
    """A control net whose hint the VAE encodes; ``fails``: the models cannot be loaded once, after that.

    Gives how far the picture is from the unsteered one, and that from the one without the control net.
    """
    scene = Scene(batch=1)
    bare = sampled(scene, scene.model)
    config = {**scene.model.model.model_config.unet_config, "hint_channels": 4}
    del config["out_channels"]
    torch.manual_seed(3)
    network = comfy.cldm.cldm.ControlNet(**config, operations=comfy.ops.disable_weight_init)
    for layer in network.input_hint_block.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
    for weight in network.parameters():
        weight.normal_(std=0.1)
    control = ControlNet(
        network, compression_ratio=1, latent_format=scene.model.model.latent_format, load_device=torch.device("cpu")
    )
    scene.positive, scene.negative = ControlNetApplyAdvanced().apply_controlnet(
        scene.positive, scene.negative, control, torch.rand(1, 128, 128, 3), 1.0, 0.0, 1.0, vae=scene.vae
    )
    plain = sampled(scene, scene.model)
    load, encode, encoded, failed = model_management.load_models_gpu, scene.vae.encode, [], []

    def encoding(picture):
        hint = encode(picture)
        encoded.append(True)
        return hint

    def failing(*given, **options):
        if fails and encoded and not failed:
            failed.append(True)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return load(*given, **options)

    model_management.load_models_gpu, scene.vae.encode = failing, encoding
    try:
        model, log = steered(scene, scene.model)
        latent = sampled(scene, model)
    finally:
        model_management.load_models_gpu, scene.vae.encode = load, encode
    return {**told(log, latent, plain), "failed": len(failed), "of the control net": relative(plain, bare)}


def with_evicted_weights():
    """ComfyUI takes a LoRA's weights off the device in the second forward, as where another model wants the memory."""
    scene = Scene(batch=1)
    plain = sampled(scene, scene.model)
    layers = loras.model_lora_keys_unet(scene.model.model, {})
    weights, lora = scene.model.model.state_dict(), {}
    for name, key in layers.items():
        if isinstance(key, str) and key.endswith(("to_q.weight", "to_k.weight")):
            out, into = weights[key].shape
            lora[f"{name}.lora_up.weight"], lora[f"{name}.lora_down.weight"] = torch.randn(out, 2), torch.randn(2, into)
    model = sd.load_lora_for_models(scene.model, None, lora, 0.2, 0)[0]
    by_lora, forwards = sampled(scene, model), []

    def evicting(apply_model, told):
        forwards.append(1)
        if len(forwards) == 2:
            apply_model.__self__.current_patcher.partially_unload(torch.device("cpu"), 1e10)
        return apply_model(told["input"], told["timestep"], **told["c"])

    evicted = model.clone()
    evicted.set_model_unet_function_wrapper(evicting)
    steered_model, log = steered(scene, evicted)
    latent = sampled(scene, steered_model)
    return {
        "looks": len(log.run_of(latent).entries),
        "of the LoRA": relative(by_lora, plain),
        "this run": relative(latent, by_lora),
        "with it afterwards": relative(sampled(scene, model), by_lora),
        "without it afterwards": relative(sampled(scene, scene.model), plain),
    }


def with_a_batch_in_parts():
    """As a node does that saves memory: each picture in a forward of its own."""
    scene = Scene(batch=2)

    def one_by_one(apply_model, told):
        parts = zip(told["input"].split(1), told["timestep"].split(1), told["c"]["c_crossattn"].split(1))
        return torch.cat([apply_model(x, t, **{**told["c"], "c_crossattn": text}) for x, t, text in parts])

    scene.model = scene.model.clone()
    scene.model.set_model_unet_function_wrapper(one_by_one)
    model, log = steered(scene, scene.model, target=0.0)
    return told(log, sampled(scene, model), sampled(scene, scene.model))


def with_largest_seed():
    scene = Scene(batch=1)
    model, _ = steered(scene, scene.model, target=0.0)
    return bool(sampled(scene, model, sampler="euler_ancestral", seed=2**64 - 2).isfinite().all())


logging.getLogger().setLevel(logging.ERROR)
with torch.inference_mode():
    report(
        {
            "reference cache": {update: with_reference_cache(update) for update in (DESCENT, GUIDANCE)},
            "windows": {"width": with_windows(3, 10, 1), "batch": with_windows(0, 2, 3)},
            "bound in windows": {"width": bound_in_windows(3, 8, 1), "batch": bound_in_windows(0, 1, 2)},
            "adapter": {
                f"{update} of {batch}": with_adapter(batch, update)
                for update in (DESCENT, GUIDANCE)
                for batch in (1, 2)
            },
            "hint by a VAE": [with_hint_by_vae(fails) for fails in (False, True)],
            "evicted": with_evicted_weights(),
            "batch in parts": with_a_batch_in_parts(),
            "largest seed": with_largest_seed(),
        }
    )
