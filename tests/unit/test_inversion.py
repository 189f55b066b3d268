from __future__ import annotations

import pytest
import torch
from toys import PROMPT

from steering_core.backends.diffusers_recording import RecordablePipeline
from steering_core.training.inversion import invert, reconstruct


def test_inversion_of_a_gaussian_gives_its_noise():
    """For data of variance v around m, the sampler's path is known: x = m + (x0 - m)·sqrt((v + sigma²)/v)."""
    mean, variance = 0.3, 0.5
    clean = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigmas = torch.linspace(0.01, 3, 3000, dtype=torch.float64).tolist()

    def derivative(x, sigma):
        return (x - mean) * sigma / (variance + sigma**2)

    *_, noisy = invert(derivative, clean, sigmas, refinements=1)
    torch.testing.assert_close(noisy, mean + (clean - mean) * ((variance + 9) / variance) ** 0.5, rtol=1e-3, atol=1e-3)


def test_refinements_make_the_way_back_exact():
    def derivative(x, sigma):
        return torch.tanh(x) / (1 + sigma)

    clean, sigmas = torch.linspace(-2, 2, 9)[None], [0.3, 0.8, 1.5, 3.0]
    errors = []
    for refinements in (0, 1, 3, 30):
        *_, noisy = invert(derivative, clean, sigmas, refinements)
        errors.append((reconstruct(derivative, noisy, sigmas) - clean).abs().max().item())
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[3] < 1e-5


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_the_derivative_is_the_noise_that_ddim_steps_along(pipeline, prediction_type):
    """One Euler step down is one step of diffusers' own DDIM scheduler."""
    before = pipeline.scheduler
    pipeline.scheduler = type(before).from_config(before.config, prediction_type=prediction_type)
    model, scheduler = RecordablePipeline(pipeline), pipeline.scheduler
    try:
        lower, upper = model.noise_levels(25)[10:12]
        alphas = [(1 + level.sigma**2) ** -0.5 for level in (lower, upper)]
        latent = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * upper.sigma
        with torch.no_grad():
            context, _ = pipeline.encode_prompt([PROMPT], "cpu", 1, False)
            stepped = latent + (lower.sigma - upper.sigma) * model.with_prompts([PROMPT]).derivative(latent, upper)
            scheduler.set_timesteps(25)
            timestep = scheduler.timesteps[25 - 1 - 11]
            output = pipeline.unet(latent * alphas[1], timestep, context).sample
            expected = scheduler.step(output, timestep, latent * alphas[1]).prev_sample
    finally:
        pipeline.scheduler = before
    torch.testing.assert_close(stepped * alphas[0], expected, rtol=1e-4, atol=1e-4)
    assert upper.progress == pytest.approx(1 - timestep.item() / 999)
