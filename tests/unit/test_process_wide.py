from __future__ import annotations

from contextlib import ExitStack

import torch

from steering_core.process_wide import differentiable_attention


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
