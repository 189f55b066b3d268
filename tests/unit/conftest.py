"""A random pipeline of the miniature's shape."""

from __future__ import annotations

import pytest
import torch
from diffusers import StableDiffusionPipeline
from toys import PROMPT

from steering_core.miniature.networks import build_autoencoder, build_scheduler, build_text_encoder, build_unet
from steering_core.miniature.tokenizer import train_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    """Trained on a few captions."""
    return train_tokenizer([PROMPT, "a dog and a cat", "a teddy bear to the left of a dog", "a cat below a car"] * 3)


@pytest.fixture(scope="session")
def pipeline(tokenizer) -> StableDiffusionPipeline:
    """With random weights; tests leave it as it is."""
    torch.manual_seed(0)
    pipeline = StableDiffusionPipeline(
        vae=build_autoencoder(),
        text_encoder=build_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=build_unet(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
