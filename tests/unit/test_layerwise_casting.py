"""A pipeline whose weights are stored in eight bits and cast for each layer (diffusers' layerwise casting)."""

from __future__ import annotations

import pytest
import torch
from pipelines import make_steering, random_pipeline, sample

from steering_core.losses import CentroidLoss
from steering_core.miniature.networks import build_unet


class FailingLoss(CentroidLoss):
    def for_network(self, network, relations):
        return FailingLoss(layers=super().for_network(network, relations).layers)

    def __call__(self, maps, relation, progress):
        raise ArithmeticError("deliberate")


@pytest.fixture
def cast_pipeline(tokenizer):
    torch.manual_seed(0)
    pipeline = random_pipeline(build_unet(), tokenizer)
    pipeline.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    return pipeline


def weights(pipeline):
    return {
        name: (id(weight), weight.dtype, weight.requires_grad, weight.detach().view(torch.uint8).sum().item())
        for name, weight in pipeline.unet.named_parameters()
    }


@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_it_is_steered_and_is_as_it_was(cast_pipeline, update):
    before, plain = weights(cast_pipeline), sample(cast_pipeline)
    assert torch.float8_e4m3fn in {dtype for _, dtype, *_ in before.values()}
    steering = make_steering(cast_pipeline, update=update, step_size=0.2)
    assert not torch.equal(sample(cast_pipeline, steering), plain)
    assert steering.trace and not steering.unsteered
    assert weights(cast_pipeline) == before
    assert torch.equal(sample(cast_pipeline, make_steering(cast_pipeline, update=update, step_size=0.0)), plain)


def test_it_is_as_it_was_after_a_fault(cast_pipeline):
    before, plain = weights(cast_pipeline), sample(cast_pipeline)
    steering = make_steering(cast_pipeline, FailingLoss())
    assert torch.equal(sample(cast_pipeline, steering), plain)
    assert steering.unsteered and weights(cast_pipeline) == before
