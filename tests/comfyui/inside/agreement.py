"""Outputs of a pipeline folder in ComfyUI, on inputs that diffusers made: FOLDER INPUTS OUTPUTS."""

import torch
from safetensors.torch import load_file, save_file
from setting import PROMPT, Scene, arguments, report
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.backends.comfyui.inference_weights import ordinary_weights
from spatial_steering.steering_core.backends.comfyui.noise import progress as progress_at
from spatial_steering.steering_core.backends.comfyui.probe import probe_model
from spatial_steering.steering_core.probe import MapRequest

folder, inputs, outputs = arguments
given = load_file(inputs)
with torch.inference_mode():
    scene = Scene(folder)
    unet = scene.model.model.diffusion_model
    context = scene.clip.encode_from_tokens(scene.clip.tokenize(PROMPT))
    noise = unet(given["latent"], given["timestep"], context=given["context"].expand(2, -1, -1))
    picture = scene.vae.decode(given["latent"] / scene.model.model.latent_format.scale_factor)

    seen, network, progress = {}, [], []

    def probe(executor, guider, sigmas, extra_args, *rest, **named):
        """Stand where steering stands, and probe once at the timestep that diffusers probed."""
        sigma = guider.inner_model.model_sampling.sigma(given["timestep"][:1]).item()
        readable = readable_network(scene.model)
        names = [layer.name for layer in readable.layers]
        x = given["latent"] * (1 + sigma**2) ** 0.5
        with ordinary_weights(guider):
            (condition,), options = guider.conds["positive"], extra_args["model_options"]
            maps = probe_model(guider, condition, x, sigma, options, readable, MapRequest(scene.grounded.tokens, names))
        seen.update({name: value.clone() for name, value in maps.layers.items()})
        network.extend((layer.name, layer.level, layer.heads) for layer in readable.layers)
        progress.append(progress_at(guider.inner_model.model_sampling, sigma))
        return executor(guider, sigmas, extra_args, *rest, **named)

    model = scene.model.clone()
    model.add_wrapper_with_key("sampler_sample", "probe", probe)
    scene.sample(model, steps=2)

tensors = {"context": context, "noise": noise, "picture": picture, **seen}
save_file({name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}, outputs)
report({"tokens": scene.grounded.tokens, "network": network, "progress": progress[0]})
