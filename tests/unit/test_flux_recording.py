"""Recording of a FLUX pipeline: its own noise levels, its own steps, the maps that steering sees."""

from __future__ import annotations

import diffusers
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image
from pipelines import WatchedLoss
from tiny_pipelines import tiny
from toys import PROMPT

from steering_core.backends.diffusers import ground_prompt, steered
from steering_core.backends.diffusers.recording import recordable
from steering_core.relations.relation import Relation
from steering_core.relations.scene import relation_scene
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering
from steering_core.training.inversion import invert, reconstruct
from steering_core.training.recording import NOISE, RecordingSettings, noise_of, record
from steering_core.training.sources import Example

SIDE, STEPS = 64, 4
SHIFTS = pytest.mark.parametrize("shift", [{"shift": 3.0}, {"use_dynamic_shifting": True}])


@pytest.fixture
def pipeline(tokenizer):
    return tiny("FLUX.1", tokenizer)


def drawn_by_the_pipeline(pipeline, latent, output="latent"):
    packed = FluxPipeline._pack_latents(latent, *latent.shape)
    result = pipeline(
        PROMPT,
        latents=packed,
        num_images_per_prompt=len(latent),
        num_inference_steps=STEPS,
        guidance_scale=0.0,
        height=SIDE,
        width=SIDE,
        output_type=output,
    ).images
    if output == "pt":
        return result
    return FluxPipeline._unpack_latents(result, SIDE, SIDE, pipeline.vae_scale_factor)


def latent_of(pipeline, count=2):
    channels, side = pipeline.vae.config.latent_channels, SIDE // pipeline.vae_scale_factor
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(0))


@SHIFTS
@torch.no_grad()
def test_steps_are_those_of_the_pipeline(pipeline, shift):
    pipeline.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(**shift)
    model, noise = recordable(pipeline, SIDE), latent_of(pipeline)
    levels = {level.sigma: level for level in model.noise_levels(STEPS)}
    assert [level.progress for level in levels.values()] == [0.75, 0.5, 0.25, 0.0]
    prompted = model.with_prompts([PROMPT] * 2)

    def derivative(latent, sigma):
        return prompted.derivative(latent, levels[sigma])

    drawn = reconstruct(derivative, noise, list(levels))
    torch.testing.assert_close(drawn, drawn_by_the_pipeline(pipeline, noise), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.decode(drawn), drawn_by_the_pipeline(pipeline, noise, "pt"), rtol=1e-4, atol=1e-4)
    *_, back = invert(derivative, drawn, list(levels), refinements=30)
    torch.testing.assert_close(back, noise, rtol=1e-2, atol=1e-2)


@torch.no_grad()
def test_pictures_are_encoded_as_image_to_image_does(pipeline):
    pipeline.vae.register_to_config(shift_factor=0.3)
    picture = Image.effect_noise((SIDE, SIDE), 60).convert("RGB")
    model = recordable(pipeline, SIDE)
    other = diffusers.FluxImg2ImgPipeline(**pipeline.components)
    pixels = other.image_processor.preprocess([picture], SIDE, SIDE)
    expected = other._encode_vae_image(pixels, torch.Generator())
    mode = pipeline.vae.encode(pixels).latent_dist
    assert (model.encode([picture]) - expected).abs().max() <= 6 * mode.std.max() * pipeline.vae.config.scaling_factor
    torch.testing.assert_close(model.prepared([picture])[0] * 2 - 1, pixels[0], rtol=0, atol=1e-6)


def test_maps_are_those_that_steering_reads(pipeline):
    settings = RecordingSettings(
        ("double.1", "single.0"), map_size=8, steps=STEPS, recorded=(0,), method=NOISE, false_prompts=0
    )
    example = Example("0", Image.new("RGB", (SIDE, SIDE)), "dog", Relation.ABOVE, "cat")
    model = recordable(pipeline, SIDE)
    (recorded,) = record(model, [example], settings, first=0)

    noise = noise_of(latent_of(pipeline).shape[1:], 0, 0)[None]
    prompt = relation_scene("dog", Relation.ABOVE, "cat").prompt
    layout = settings.layout(model.network)
    steering = Steering(ground_prompt(pipeline, prompt), WatchedLoss(layers=settings.layers), SteeringSchedule(end=0.1))
    WatchedLoss.seen.clear()
    with steered(pipeline, steering):
        packed = FluxPipeline._pack_latents(noise, *noise.shape)
        pipeline(prompt, latents=packed, num_inference_steps=STEPS, guidance_scale=0.0, height=SIDE, width=SIDE)
    torch.testing.assert_close(
        recorded.maps[0].float(), layout.stack(WatchedLoss.seen[0][0], (0, 1))[0], rtol=5e-3, atol=1e-3
    )


def test_a_side_that_does_not_fit_and_another_pipeline_are_refused(pipeline, tokenizer):
    with pytest.raises(ValueError, match="size: a multiple of"):
        recordable(pipeline, SIDE + 1)
    with pytest.raises(ValueError, match="StableDiffusion3Pipeline: maps are recorded of"):
        recordable(tiny("SD 3", tokenizer))
