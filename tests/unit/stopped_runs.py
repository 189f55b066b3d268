"""A training of a miniature that is stopped and goes on."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from steering_core.miniature import optimise


def check_goes_on(monkeypatch, train, unbroken, folder, stopped_at) -> None:
    """Stopped in an optimiser's step and started again, it ends as the unbroken one did.

    Args:
        train: trains, given a work folder and the folder to write.
        unbroken: what it wrote when nothing stopped it.
        stopped_at: number of the step, from 1.
    """
    monkeypatch.setattr(optimise, "_CHECKPOINT_SECONDS", 0)
    step, calls = torch.optim.AdamW.step, []

    def stop_in_the_middle(self, *args, **kwargs):
        calls.append(None)
        if len(calls) == stopped_at:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        train(folder / "work", folder / "out")
    assert not (folder / "out").exists()
    train(folder / "work", folder / "out")
    files = list(unbroken.rglob("*.safetensors"))
    assert files
    for file in files:
        expected, resumed = load_file(file), load_file(folder / "out" / file.relative_to(unbroken))
        for name, weight in expected.items():
            torch.testing.assert_close(resumed[name], weight, atol=2e-3, rtol=2e-2)
