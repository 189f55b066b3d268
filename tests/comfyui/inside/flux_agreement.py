"""Outputs of the folder of a miniature of FLUX's shape in ComfyUI, on inputs of diffusers: FOLDER INPUTS OUTPUTS."""

import torch
from safetensors.torch import load_file, save_file
from setting import PROMPT, Scene, arguments, report, sample
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.backends.comfyui.miniature import is_miniature

folder, inputs, outputs = arguments
given = load_file(inputs)
with torch.inference_mode():
    scene = Scene(folder)
    context, pooled = scene.clip.encode_from_tokens(scene.clip.tokenize(PROMPT), return_pooled=True)
    velocity = scene.model.model.diffusion_model(
        given["latent"],
        given["time"],
        context=given["context"].expand(2, -1, -1),
        y=given["pooled"].expand(2, -1),
    )
    picture = scene.vae.decode(given["latent"] / scene.model.model.latent_format.scale_factor)
    sampled = sample.sample(
        scene.model,
        given["latent"],
        5,
        3.5,
        "euler",
        "simple",
        scene.positive,
        scene.negative,
        torch.zeros_like(given["latent"]),
    )

tensors = {"context": context, "pooled": pooled, "velocity": velocity, "picture": picture, "sampled": sampled}
save_file({name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}, outputs)
report(
    {
        "tokens": scene.grounded.tokens,
        "network": [layer.name for layer in readable_network(scene.model).layers],
        "is_miniature": is_miniature(scene.model),
    }
)
