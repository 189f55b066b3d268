"""A guider with a model of its own for the negative conditioning, whose vectors have another width."""

import torch
from comfy_extras.nodes_custom_sampler import (
    BasicScheduler,
    DualModelGuider,
    KSamplerSelect,
    RandomNoise,
    SamplerCustomAdvanced,
)
from setting import Scene, comfy, report

WIDTH = 64


def other_model(like):
    """Of the same latent, with random weights."""
    given = like.model_config
    config = type(given)({**given.unet_config, "context_dim": WIDTH})
    config.latent_format, config.sampling_settings = given.latent_format, given.sampling_settings
    config.set_inference_dtype(torch.float32, None)
    network = type(like)(config, model_type=comfy.model_base.ModelType.V_PREDICTION)
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        weight.data = 0.02 * torch.randn(weight.shape, generator=generator)
    cpu = torch.device("cpu")
    return comfy.model_patcher.CoreModelPatcher(network, load_device=cpu, offload_device=cpu)


with torch.inference_mode():
    scene = Scene(batch=1)
    other = other_model(scene.model.model)
    negative = [[torch.randn(1, 77, WIDTH, generator=torch.Generator().manual_seed(1)), {}]]
    sigmas = BasicScheduler.execute(scene.model, "normal", 4, 1.0).result[0]

    def drawn(model, cfg):
        guider = DualModelGuider.execute(model, scene.positive, cfg, other, negative).result[0]
        noise, sampler = RandomNoise.execute(7).result[0], KSamplerSelect.execute("euler").result[0]
        return SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, scene.latent).result[0]["samples"]

    told = {}
    for cfg in (3.0, 1.0):
        plain = drawn(scene.model, cfg)
        model, log = scene.steered(scene.model)
        moved = drawn(model, cfg)
        run = log.run_of(moved)
        told[str(cfg)] = {
            "loss": [entry.loss.mean().item() for entry in run.entries],
            "unsteered": list(map(str, run.unsteered)),
            "moved": not torch.equal(moved, plain),
            "same again": torch.equal(drawn(scene.model, cfg), plain),
        }
report(told)
