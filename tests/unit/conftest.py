"""A random pipeline of the miniature's shape."""

from __future__ import annotations

import pytest
import torch
from diffusers import StableDiffusionPipeline
from pipelines import random_pipeline, small_tokenizer
from tiny_pipelines import tiny

from steering_core.miniature import sheets
from steering_core.miniature.networks import build_unet


@pytest.fixture(scope="session")
def tokenizer():
    """Trained on a few captions."""
    return small_tokenizer()


@pytest.fixture(scope="session")
def pipeline(tokenizer) -> StableDiffusionPipeline:
    """With random weights; tests leave it as it is."""
    torch.manual_seed(0)
    return random_pipeline(build_unet(), tokenizer)


@pytest.fixture(scope="module")
def quick_sheets():
    """Sample sheets of a training, of a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "STEPS", 2)
        yield


@pytest.fixture(scope="module")
def made(tokenizer):
    """Each pipeline once; tests leave them as they were."""
    pipelines = {}

    def make(name: str):
        if name not in pipelines:
            pipelines[name] = tiny(name, tokenizer)
        return pipelines[name]

    return make
