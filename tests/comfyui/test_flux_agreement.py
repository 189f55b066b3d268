"""A miniature of FLUX's shape gives the same in ComfyUI as in diffusers."""

from __future__ import annotations

import pytest
import torch
from diffusers import FluxPipeline
from safetensors.torch import load_file, save_file

from steering_core.backends.diffusers import ground_prompt, load_pipeline, steered
from steering_core.backends.diffusers.recording import recordable
from steering_core.losses import CentroidLoss
from steering_core.miniature.export import export
from steering_core.miniature.flux_training import untrained_flux_pipeline
from steering_core.miniature.folder import FLUX_MINIATURE_DIR, MINIATURE_DIR
from steering_core.miniature.networks import T5_LENGTH
from steering_core.miniature.score import FLUX_GUIDANCE
from steering_core.miniature.world import IMAGE_SIZE
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering
from steering_core.training.recording import RecordingSettings
from steering_core.training.sources import MiniatureScenes

PROMPT = "a photo of a giraffe above an airplane"
_TIME = 0.6


def _random_folder(folder):
    """An untrained pipeline none of whose weights are nothing."""
    pipeline = untrained_flux_pipeline(0, load_pipeline(MINIATURE_DIR, "cpu").vae, "cpu")
    torch.manual_seed(1)
    for module in (pipeline.transformer, pipeline.text_encoder, pipeline.text_encoder_2):
        for weight in module.parameters():
            weight.data += 0.05 * torch.randn_like(weight)
    export(pipeline, {"factors": [[0.0] * 3] * 4, "bias": [0.0] * 3}, folder)
    return folder


@torch.no_grad()
def _outputs(pipeline: FluxPipeline, latent: torch.Tensor) -> dict[str, torch.Tensor]:
    context, pooled, text_ids = pipeline.encode_prompt(PROMPT, None, max_sequence_length=T5_LENGTH)
    packed = pipeline._pack_latents(latent, *latent.shape)
    velocity = pipeline.transformer(
        hidden_states=packed,
        timestep=torch.full((2,), _TIME),
        pooled_projections=pooled.expand(2, -1),
        encoder_hidden_states=context.expand(2, -1, -1),
        txt_ids=text_ids,
        img_ids=pipeline._prepare_latent_image_ids(2, 8, 8, "cpu", torch.float32),
        return_dict=False,
    )[0]

    def sample() -> torch.Tensor:
        return pipeline(
            PROMPT,
            latents=packed,
            num_images_per_prompt=2,
            num_inference_steps=5,
            output_type="latent",
            negative_prompt="",
            true_cfg_scale=FLUX_GUIDANCE,
            height=IMAGE_SIZE,
            width=IMAGE_SIZE,
            max_sequence_length=T5_LENGTH,
        ).images

    sampled, scene = sample(), ground_prompt(pipeline, PROMPT)
    with steered(pipeline, Steering(scene, CentroidLoss(), SteeringSchedule(strength=0.0, bound=0.5))):
        bound = sample()
    picture = pipeline.vae.decode(latent / pipeline.vae.config.scaling_factor).sample
    unpacked = {
        name: pipeline._unpack_latents(value, 128, 128, 8)
        for name, value in {"velocity": velocity, "sampled": sampled, "bound": bound}.items()
    }
    model = recordable(pipeline, IMAGE_SIZE)
    level, prompted = model.noise_levels(4)[1], model.with_prompts([PROMPT])
    layout = RecordingSettings(("double.1", "single.0")).layout(model.network)
    maps = prompted.token_maps(latent[:1], level, scene.tokens, layout.layers)
    clean = model.encode([MiniatureScenes(1, 0)[0].picture])
    return {
        "clean": clean,
        "decoded": model.decode(clean),
        "derivative": prompted.derivative(latent[:1], level),
        "maps": layout.stack(maps, (0, 1)),
        "context": context,
        "pooled": pooled,
        "velocity": unpacked["velocity"],
        "sampled": unpacked["sampled"] / pipeline.vae.config.scaling_factor,
        "bound": unpacked["bound"] / pipeline.vae.config.scaling_factor,
        "picture": (picture.movedim(1, -1) / 2 + 0.5).clamp(0, 1),
    }


@pytest.mark.parametrize("weights", ["random", "shipped"])
def test_comfyui_and_diffusers_agree(comfyui, tmp_path, weights):
    folder = FLUX_MINIATURE_DIR if weights == "shipped" else _random_folder(tmp_path / "random")
    pipeline = load_pipeline(folder, "cpu")
    latent = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = _outputs(pipeline, latent)
    inputs, outputs = tmp_path / "inputs.safetensors", tmp_path / "outputs.safetensors"
    given = {name: expected[name] for name in ("context", "pooled")}
    save_file({"latent": latent, "time": torch.full((2,), _TIME), **given}, inputs)

    answer = comfyui.run("flux_agreement.py", str(folder), str(inputs), str(outputs))

    assert answer["is_miniature"]
    assert answer["network"] == [*(f"double.{index}" for index in range(3)), *(f"single.{index}" for index in range(4))]
    tokenizer = pipeline.tokenizer_2
    texts = [tokenizer.decode(tokenizer(PROMPT)["input_ids"][index]) for (index,) in answer["tokens"]]
    assert texts == ["giraffe", "airplane"]
    levels = recordable(pipeline, IMAGE_SIZE).noise_levels(4)
    for (sigma, progress), level in zip(answer["levels"], levels, strict=True):
        assert (sigma, progress) == pytest.approx((level.sigma, level.progress), abs=1e-3)
    got = load_file(outputs)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].shape == value.shape, name
        difference = ((got[name] - value).norm() / value.norm()).item()
        assert difference <= 2e-5, (name, difference)
