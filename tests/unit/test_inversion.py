from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from toys import PROMPT

from steering_core.backends.diffusers.recording import recordable
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
    model, scheduler = recordable(pipeline), pipeline.scheduler
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


def test_a_flow_model_comes_back_to_its_latent_by_the_steps_of_its_own_sampler():
    """A FLUX transformer of reduced size with random weights: x = (1 - sigma)·x0 + sigma·noise, dx/dsigma predicted."""
    torch.manual_seed(0)
    flux = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 6, 6),
    ).eval()
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(50)
    sigmas = scheduler.sigmas[:-1].flip(0).tolist()
    cells = torch.stack(torch.meshgrid(torch.arange(1.0), torch.arange(4.0), torch.arange(4.0), indexing="ij"), dim=-1)
    words, pooled, clean = torch.randn(2, 6, 32), torch.randn(2, 32), torch.randn(2, 16, 16)

    @torch.no_grad()
    def derivative(latent, sigma):
        return flux(
            latent, words, pooled, torch.full((2,), sigma), cells.view(-1, 3), torch.zeros(6, 3), return_dict=False
        )[0]

    *_, plain = invert(derivative, clean, sigmas, refinements=0)
    *_, noisy = invert(derivative, clean, sigmas, refinements=2)
    assert (noisy - clean).square().mean() > 0.01
    drawn = noisy
    for timestep, sigma in zip(scheduler.timesteps, reversed(sigmas)):
        drawn = scheduler.step(derivative(drawn, sigma), timestep, drawn).prev_sample
    torch.testing.assert_close(reconstruct(derivative, noisy, sigmas), drawn, rtol=1e-4, atol=1e-4)
    errors = [(reconstruct(derivative, start, sigmas) - clean).square().mean() for start in (plain, noisy)]
    assert errors[1] < errors[0]
    assert errors[1] < 1e-4 * clean.square().mean()  # 40 dB
