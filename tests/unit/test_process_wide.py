from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import torch

from steering_core.process_wide import differentiable_attention, uncompiled_forwards


def test_of_several_that_are_in_it_the_last_leaves_things_as_they_were():
    is_enabled = torch.backends.cuda.cudnn_sdp_enabled
    assert is_enabled()
    first, second = ExitStack(), ExitStack()
    first.enter_context(differentiable_attention())
    second.enter_context(differentiable_attention())
    first.close()
    assert not is_enabled()
    second.close()
    assert is_enabled()


def test_what_is_installed_has_all_that_is_asked_of_torch():
    """Forwards are run uncompiled by torch.compiler.set_stance, which came with torch 2.6."""
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'"(torch\b[^"]*)"', project) == ["torch>=2.6"] * 2
    with uncompiled_forwards():
        assert torch.compile(lambda x: x + 1)(1) == 2
