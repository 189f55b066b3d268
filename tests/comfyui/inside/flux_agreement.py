"""Outputs of the folder of a miniature of FLUX's shape in ComfyUI, on inputs of diffusers: FOLDER INPUTS OUTPUTS."""

import torch
from safetensors.torch import load_file, save_file
from setting import PROMPT, CentroidLoss, Scene, arguments, backend, report, sample
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.backends.comfyui.miniature import is_miniature
from spatial_steering.steering_core.backends.comfyui.recording import RecordableComfyModel
from spatial_steering.steering_core.schedule import SteeringSchedule
from spatial_steering.steering_core.steering import Steering
from spatial_steering.steering_core.training.recording import RecordingSettings
from spatial_steering.steering_core.training.sources import MiniatureScenes

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
    schedule = SteeringSchedule(strength=0.0, bound=0.5)
    binding = backend.steer_model(scene.model, Steering(scene.grounded, CentroidLoss(), schedule))
    sampled, bound = (
        sample.sample(
            model,
            given["latent"],
            5,
            3.5,
            "euler",
            "simple",
            scene.positive,
            scene.negative,
            torch.zeros_like(given["latent"]),
        )
        for model in (scene.model, binding)
    )

    recordable = RecordableComfyModel(scene.model, scene.clip, scene.vae, (128, 128))
    levels = recordable.noise_levels(4)
    layout = RecordingSettings(("double.1", "single.0")).layout(recordable.network)

    def work(clean, prompted):
        maps = prompted.token_maps(given["latent"][:1], levels[1], scene.grounded.tokens, layout.layers)
        return clean, prompted.derivative(given["latent"][:1], levels[1]), layout.stack(maps, (0, 1))

    clean, derivative, maps = recordable.prompted([MiniatureScenes(1, 0)[0].picture], [PROMPT], work)
    decoded = recordable.decode(clean)

tensors = {"context": context, "pooled": pooled, "velocity": velocity, "picture": picture}
tensors |= {"sampled": sampled, "bound": bound}
tensors |= {"clean": clean, "derivative": derivative, "maps": maps, "decoded": decoded}
save_file({name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}, outputs)
report(
    {
        "tokens": scene.grounded.tokens,
        "network": [layer.name for layer in readable_network(scene.model).layers],
        "is_miniature": is_miniature(scene.model),
        "levels": [(level.sigma, level.progress) for level in levels],
    }
)
