"""Runs are found by the latent that they ended with."""

from __future__ import annotations

import pytest
import torch
from toys import pair_scene

from steering_core.report.log import RunLog
from steering_core.report.run import SteeringRun


def test_a_log_finds_the_run_of_a_latent_and_forgets_old_ones():
    log = RunLog()
    runs = [SteeringRun(pair_scene(), 16, [], {}, torch.full((1, 4, 8, 8), float(n))) for n in range(40)]
    for run in runs:
        log.add(run)
    assert log.run_of(torch.full((1, 4, 8, 8), 39.0)) is runs[39]
    assert log.run_of(torch.full((1, 4, 8, 8), 10.0, dtype=torch.float16)) is runs[10]
    assert log.run_of(torch.full((1, 4, 8, 8), 10.00001)) is runs[10]
    for latent in (torch.full((1, 4, 8, 8), 0.0), torch.zeros(1, 4, 4, 4)):
        with pytest.raises(ValueError, match="Nothing is known of this latent"):
            log.run_of(latent)
