"""Text encoders of reduced size with random weights, of ComfyUI's own classes: their tokens, and what they encode."""

from __future__ import annotations

import torch

from setting import arguments, comfy, report  # isort: skip
import comfy.text_encoders.anima
import comfy.text_encoders.flux
import comfy.text_encoders.hunyuan_image
import comfy.text_encoders.kandinsky5
import comfy.text_encoders.krea2
import comfy.text_encoders.longcat_image
import comfy.text_encoders.omnigen2
import comfy.text_encoders.ovis
import comfy.text_encoders.qwen_image
import comfy.text_encoders.z_image
from comfy_extras.nodes_clip_sdxl import CLIPTextEncodeSDXL
from spatial_steering.steering_core.backends.comfyui import text
from spatial_steering.steering_core.backends.comfyui.conditions import RELATIONS_ENTRY
from spatial_steering.steering_core.backends.comfyui.encoders import encoders_of

from nodes import CLIPTextEncode

PROMPT = 'user: a photo of a giraffe above an airplane, "shape and texture" to the left of a (red:1.2) lighthouse'
LLM = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 38,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
T5 = {"d_model": 4096, "d_ff": 32, "d_kv": 16, "num_heads": 2, "num_layers": 1}
CLIP = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
#: The weights, over and over: drawing each would take longer than all the rest.
RANDOM = 0.02 * torch.randn(65_537, generator=torch.Generator().manual_seed(0))
OPTIONS = {
    **{
        f"{name}_model_config": LLM
        for name in ("qwen3_4b", "qwen3_2b", "qwen3_06b", "qwen25_3b", "qwen25_7b", "qwen3vl_4b")
    },
    "t5xxl_model_config": T5,
    "clip_l_model_config": CLIP,
    "clip_g_model_config": CLIP,
}

ENCODERS = {
    "SDXL": (comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLClipModel),
    "SD 3": (comfy.text_encoders.sd3_clip.SD3Tokenizer, comfy.text_encoders.sd3_clip.sd3_clip()),
    "FLUX.1": (comfy.text_encoders.flux.FluxTokenizer, comfy.text_encoders.flux.flux_clip()),
    "FLUX.2 klein": (comfy.text_encoders.flux.KleinTokenizer, comfy.text_encoders.flux.klein_te()),
    "Z-Image": (comfy.text_encoders.z_image.ZImageTokenizer, comfy.text_encoders.z_image.te()),
    "Qwen-Image": (comfy.text_encoders.qwen_image.QwenImageTokenizer, comfy.text_encoders.qwen_image.te()),
    "Krea 2": (comfy.text_encoders.krea2.Krea2Tokenizer, comfy.text_encoders.krea2.te()),
    "Ovis": (comfy.text_encoders.ovis.OvisTokenizer, comfy.text_encoders.ovis.te()),
    "LongCat": (comfy.text_encoders.longcat_image.LongCatImageTokenizer, comfy.text_encoders.longcat_image.te()),
    "HunyuanImage": (
        comfy.text_encoders.hunyuan_image.HunyuanImageTokenizer,
        comfy.text_encoders.hunyuan_image.te(byt5=False),
    ),
    "Anima": (comfy.text_encoders.anima.AnimaTokenizer, comfy.text_encoders.anima.te()),
    "OmniGen 2": (comfy.text_encoders.omnigen2.Omnigen2Tokenizer, comfy.text_encoders.omnigen2.te()),
}


def words_of(name):
    """The words of each object's tokens in each segment, and how tokens and encoders stand to the conditioning."""
    tokenizer, model = ENCODERS[name]
    clip = comfy.sd.CLIP(no_init=True)
    clip.tokenizer, clip.tokenizer_options = tokenizer(), {}
    clip.cond_stage_model = model(device="cpu", dtype=torch.float32, model_options=dict(OPTIONS))
    for part, weight in clip.cond_stage_model.named_parameters():
        if ".visual." not in part:  # it sees pictures, and no prompt has one
            weight.copy_(RANDOM.repeat(-(-weight.numel() // len(RANDOM)))[: weight.numel()].view_as(weight))
    cpu = torch.device("cpu")
    clip.patcher = comfy.model_patcher.ModelPatcher(clip.cond_stage_model, load_device=cpu, offload_device=cpu)
    clip.layer_idx, clip.use_clip_schedule, clip.apply_hooks_to_conds = None, False, None
    conditioning, scene = text.encode_prompt(clip, PROMPT)
    vectors, extra = conditioning[0]
    segments = len(encoders_of(clip).loaded(clip))
    words = []
    for indices in scene.tokens:
        parts = [[scene.sequence[index] for index in indices] for _ in range(segments)]
        words.append(
            ["".join(token.text for token in part if token.segment == number) for number, part in enumerate(parts)]
        )
    keys = len(extra["t5xxl_ids"]) if "t5xxl_ids" in extra else vectors.shape[1]
    told = {"words": words, "tokens": len(scene.sequence), "keys": keys, "segments": segments}
    ((plain, of_plain),) = CLIPTextEncode().encode(clip, PROMPT)[0]
    told["varied"] = plain.std().item()
    entries = {entry: value for entry, value in extra.items() if entry != RELATIONS_ENTRY}
    told["as CLIP Text Encode"] = torch.equal(plain, vectors) and set(of_plain) == set(entries)
    for entry, value in of_plain.items():
        same = value is entries[entry] or torch.equal(torch.as_tensor(value), torch.as_tensor(entries[entry]))
        told["as CLIP Text Encode"] &= same
    if name == "SDXL":
        size = dict.fromkeys(("width", "height", "target_width", "target_height"), 1024)
        sized = CLIPTextEncodeSDXL.execute(clip, crop_w=0, crop_h=0, text_g=PROMPT, text_l=PROMPT, **size)
        told["as CLIP Text Encode SDXL"] = torch.equal(sized[0][0][0], vectors)
    return told


with torch.inference_mode():
    told = {}
    for name in arguments or ENCODERS:
        told[name] = words_of(name)
    report(told)
