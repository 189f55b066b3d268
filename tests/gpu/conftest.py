"""Where these tests run: on a card, or where ``STEER_TEST_DEVICE`` says, such as cpu to try the tests themselves."""

from __future__ import annotations

import os

import pytest
import torch
from pipelines import small_tokenizer


@pytest.fixture(scope="session")
def device() -> str:
    """As PyTorch names it."""
    named = os.environ.get("STEER_TEST_DEVICE")
    if named is None and not torch.cuda.is_available():
        pytest.skip("no CUDA card (STEER_TEST_DEVICE=cpu tries these tests without one)")
    return named or "cuda"


@pytest.fixture(scope="session")
def clip_tokenizer():
    """Trained on a few captions."""
    return small_tokenizer()
