"""The presence loss: which words it minds, where, and that a probe reads them for it."""

from __future__ import annotations

import math

import pytest
import torch
from pipelines import make_steering, sample
from toys import pair_scene

from steering_core.layers import AttentionLayer
from steering_core.losses import CentroidLoss, CombinedLoss, PresenceLoss
from steering_core.relations.relation import Relation
from steering_core.schedule import SamplingStep, SteeringSchedule
from steering_core.steering import Steering
from steering_core.token_maps import TokenMaps

RELATION = pair_scene(Relation.LEFT_OF).relations[0]
NETWORK = [AttentionLayer("up", 0, 0, 1)]


def maps_of(words: torch.Tensor, objects=((0,), (1,))) -> TokenMaps:
    """Of a layer's words, (batch, words, H, W), and of no objects' own."""
    whole = torch.cat([torch.zeros_like(words[:, : len(objects)]), words], dim=1)[:, :, None]
    return TokenMaps({"up.0": whole}).with_words(objects)


def loss_of(words: torch.Tensor, **more) -> float:
    return PresenceLoss()(maps_of(words, **more), RELATION, 0.0).item()


def squares(*strengths: float) -> torch.Tensor:
    """A word for each, which has so much in a square of its own and a little elsewhere."""
    words = torch.full((1, len(strengths), 8, 8), 0.01)
    for number, strength in enumerate(strengths):
        words[0, number, 2 * number + 1 : 2 * number + 3] = strength
    return words


def test_the_weakest_token_of_any_object_counts():
    strong, weak = loss_of(squares(0.3, 0.3, 0.3)), loss_of(squares(0.3, 0.012, 0.3))
    assert strong < 0.2 < 0.5 < weak
    assert loss_of(squares(0.012, 0.3, 0.3)) == pytest.approx(weak, abs=0.1)
    assert loss_of(squares(0.3, 0.3, 0.012)) == pytest.approx(strong, abs=0.1)  # no object's
    assert loss_of(squares(0.3, 0.3, 0.012), objects=((0,), (1, 2))) == pytest.approx(weak, abs=0.1)


def test_it_is_what_the_published_formula_gives():
    words = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) / 50
    sharp = (100 * words).softmax(dim=1)
    weights = torch.tensor([math.exp(-2), 1.0, math.exp(-2)])
    kernel = (weights[:, None] * weights / weights.sum() ** 2)[None, None].expand(3, 1, 3, 3)
    smooth = torch.nn.functional.conv2d(torch.nn.functional.pad(sharp, (1,) * 4, mode="reflect"), kernel, groups=3)
    peaks = smooth.flatten(2).amax(dim=2)[0]
    assert loss_of(words) == pytest.approx(1 - min(peaks[0], peaks[1]).item(), abs=1e-6)


def test_a_word_that_is_nowhere_strongest_is_pulled_up_by_the_gradient():
    words = squares(0.05, 0.03).requires_grad_()
    PresenceLoss()(maps_of(words), RELATION, 0.0).sum().backward()
    assert words.grad[0, 1].amin() < 0 < words.grad[0, 0].amax()  # more of the weak one, less of the other


@pytest.mark.parametrize("loss", [PresenceLoss(), CombinedLoss(((CentroidLoss(), 1.0), (PresenceLoss(), 0.5)))])
def test_a_bound_steering_probes_the_words_and_keeps_them_out_of_the_trace(loss):
    scene = pair_scene(Relation.LEFT_OF)
    steering = Steering(scene, loss, SteeringSchedule(refinements=1)).for_network(NETWORK)
    assert steering.request.tokens == ((1,), (2,), (1,), (2,))

    def probe(latent):
        maps = latent.flatten(2).softmax(dim=-1)
        return TokenMaps({"up.0": maps.view(len(latent), 4, 1, 8, 8)})

    latent = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    moved = steering.descend(latent, probe, 1.0, SamplingStep(0, 16, 0.0))
    (entry,) = steering.trace
    assert entry.mean_map.shape[1] == entry.centroids.shape[1] == entry.strength.shape[1] == 2
    assert not torch.equal(moved, latent)


def test_other_losses_probe_the_objects_alone():
    steering = Steering(pair_scene(Relation.LEFT_OF), CentroidLoss()).for_network(NETWORK)
    assert steering.request.tokens == ((1,), (2,))


def test_a_pipeline_is_steered_by_it(pipeline):
    steering = make_steering(pipeline, PresenceLoss())
    moved = sample(pipeline, steering)
    assert steering.unsteered == [] and (steering.trace[0].gradient_norm > 0).all()
    assert not torch.equal(moved, sample(pipeline))
