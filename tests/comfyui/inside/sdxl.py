"""Steering of SDXL's architecture: its own tokenizer, and a network of its layout, narrower, with random weights."""

from dataclasses import replace

import torch
from family_models import SDXL_UNET, patcher
from setting import backend, comfy, common_ksampler, followed_gradients, report, text
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.layers import default_layers
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.parser import parse
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering
from spatial_steering.steering_core.tokens import ground

PROMPT = "a photo of a giraffe above an airplane, " + "very highly detailed and sharp, " * 30 + "a dog below a cat"
CONTEXT = SDXL_UNET["context_dim"]

with torch.inference_mode():
    clip = comfy.sd.CLIP(no_init=True)  # the tokenizer needs none of the encoders
    clip.tokenizer = comfy.sdxl_clip.SDXLTokenizer()
    clip.tokenizer_options = {}
    tokens = text.prompt_tokens(clip, PROMPT)
    grounded = ground(parse(PROMPT), tokens)
    chunks = clip.tokenize(PROMPT)
    result = {
        "texts": ["".join(tokens[index].text for index in indices) for indices in grounded.tokens],
        "same tokens": [[entry[0] for entry in chunks[name][0] if entry[0]] for name in "lg"],
        "chunks": [len(chunks[name]) for name in "lg"],
    }

    torch.manual_seed(0)
    config = comfy.supported_models.SDXL(SDXL_UNET)
    config.set_inference_dtype(torch.float32, None)
    network = config.get_model({}, "")
    for weight in network.diffusion_model.parameters():
        weight.normal_(std=0.05)
    model = patcher(network)
    layers = readable_network(model).layers
    result["layers"] = [len(layers), len(default_layers(layers))]
    grounded = replace(grounded, conditioning=torch.randn(1, len(tokens), CONTEXT))
    conditioning = [[grounded.conditioning, {"pooled_output": torch.randn(1, 1280)}]]
    negative = [[torch.randn(1, 77, CONTEXT), {"pooled_output": torch.randn(1, 1280)}]]
    latent = {"samples": torch.zeros(2, 4, 32, 48)}

    def sample(model):
        return common_ksampler(model, 3, 8, 5.0, "euler", "normal", conditioning, negative, latent)[0]["samples"]

    plain = sample(model)
    for update in (DESCENT, GUIDANCE):
        steering = Steering(grounded, CentroidLoss(), SteeringSchedule(update))
        moved = sample(backend.steer_model(model, steering))
        result[update] = {
            "moved": bool(moved.isfinite().all()) and not torch.equal(moved, plain),
            # The last move of descent is looked at, and not followed by another.
            "gradients": followed_gradients(steering.trace[:-1] if update == DESCENT else steering.trace),
            "maps": list(steering.trace[0].mean_map.shape),
        }
    result["untouched"] = torch.equal(sample(model), plain)
report(result)
