"""Which model a dataset is of: hashes of models with and without LoRAs, before and after they are loaded."""

import torch
from setting import Scene, model_management, report, sd
from spatial_steering.steering_core.backends.comfyui.recording import RecordableComfyModel


def lora(scene, seed):
    """A LoRA of one layer of the UNet and one of the text encoder."""
    torch.manual_seed(seed)
    unet = next(key for key in scene.model.model.state_dict() if key.endswith("attn2.to_q.weight"))
    text = "clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.weight"
    weights = {}
    for name, weight in (
        (unet.removesuffix(".weight"), scene.model.model.state_dict()[unet]),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", scene.clip.cond_stage_model.state_dict()[text]),
    ):
        weights[f"{name}.lora_up.weight"] = torch.randn(weight.shape[0], 2)
        weights[f"{name}.lora_down.weight"] = torch.randn(2, weight.shape[1])
    return weights


def hashed(model, clip):
    return RecordableComfyModel(model, clip, scene.vae, (128, 128)).hash


def loaded_hash(model, clip):
    """While model and text encoder are loaded, their LoRAs worked in."""
    model_management.load_models_gpu([model, clip.patcher], force_full_load=True)
    return hashed(model, clip)


with torch.inference_mode():
    scene = Scene()
    plain = scene.model, scene.clip
    first, second = lora(scene, 0), lora(scene, 1)
    variants = {"plain": plain}
    for name, weights, strengths in (
        ("lora", first, (1.0, 1.0)),
        ("weaker", first, (0.5, 1.0)),
        ("weaker_text", first, (1.0, 0.5)),
        ("other", second, (1.0, 1.0)),
    ):
        variants[name] = sd.load_lora_for_models(*plain, weights, *strengths)
    merged = scene.model.clone()
    merged.add_patches(variants["other"][0].get_key_patches("diffusion_model."), 0.5, 0.5)
    variants["merged"] = merged, scene.clip
    result = {"before": {name: hashed(*pair) for name, pair in variants.items()}}
    result["patches"] = {name: [len(pair[0].patches), len(pair[1].patcher.patches)] for name, pair in variants.items()}
    result["loaded"] = {name: loaded_hash(*pair) for name, pair in variants.items()}
    # The last that was loaded lies on the same weights.
    result["after"] = {name: hashed(*pair) for name, pair in variants.items()}

    scene = Scene()
    result["again"] = hashed(*sd.load_lora_for_models(scene.model, scene.clip, lora(scene, 0), 1.0, 1.0))
    try:
        hashed(*sd.load_bypass_lora_for_models(scene.model, scene.clip, lora(scene, 0), 1.0, 1.0))
    except ValueError as error:
        result["bypass"] = str(error)
report(result)
