"""A pipeline so small that it can be run a hundred times."""

from __future__ import annotations

import pytest
import torch
from diffusers import StableDiffusionPipeline
from pipelines import random_pipeline, small_tokenizer, tiny_unet


@pytest.fixture(scope="session")
def tiny_pipeline() -> StableDiffusionPipeline:
    """With random weights; tests leave it as it is."""
    torch.manual_seed(0)
    return random_pipeline(tiny_unet(), small_tokenizer())
