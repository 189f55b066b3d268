"""Steering is indifferent to how flat or sharp a network's attention is."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from toys import PROMPT

from benchmarks.logits import scaled_logits
from steering_core.backends.diffusers import ground_prompt, load_pipeline
from steering_core.backends.diffusers.families import readable_network, unet_of
from steering_core.backends.diffusers.probe import probe_network
from steering_core.classifier import MINIATURE_CLASSIFIER, load_classifier
from steering_core.layers import default_layers
from steering_core.losses import CentroidLoss, CombinedLoss, LearnedLoss, PresenceLoss
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.score import sampled
from steering_core.schedule import DESCENT, GUIDANCE, SamplingStep, SteeringSchedule
from steering_core.steering import Steering


@pytest.fixture(scope="module", params=SHIPPED)
def drawn(request):
    """Makes a picture of a shipped miniature, in few steps, and what its steering saw."""
    pipeline = load_pipeline(SHIPPED[request.param], "cpu")

    @cache
    def draw(loss, logits=1.0, update=DESCENT):
        steering = Steering(ground_prompt(pipeline, PROMPT), loss, SteeringSchedule(update=update))
        with scaled_logits(logits):
            return sampled(pipeline, PROMPT, [3], steering, steps=3), steering.trace

    return draw


@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
@pytest.mark.parametrize("logits", [0.25, 4.0])
def test_pictures_do_not_depend_on_the_contrast_of_the_attention(drawn, update, logits):
    (picture, trace), (expected, usual) = (
        drawn(CentroidLoss(standardised=True), times, update) for times in (logits, 1.0)
    )
    torch.testing.assert_close(picture, expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(trace[0].loss, usual[0].loss)
    assert not torch.equal(trace[0].mean_map, usual[0].mean_map)  # which tells of the network's own attention


@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_a_latent_of_another_scale_moves_as_far_in_its_own(update, scale):
    pipeline = load_pipeline(SHIPPED["miniature"], "cpu")
    encoded, _ = pipeline.encode_prompt(PROMPT, "cpu", 1, False)
    schedule = SteeringSchedule(update=update, target=-9.0)
    steering = Steering(ground_prompt(pipeline, PROMPT), CentroidLoss(), schedule)
    steering = steering.for_network(readable_network(pipeline.unet).layers)
    latent = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))

    def moved(by):
        """How far steering moves a latent that the network is given divided by so much."""
        steering.begin()
        step = SamplingStep(0, 25, 0.0, removes=0.1)

        def probe(given):
            inputs = {"sample": given / by, "timestep": torch.tensor(900), "encoder_hidden_states": encoded}
            return probe_network(pipeline.unet, inputs, steering.request)

        if update == GUIDANCE:
            return steering.noise_shift(latent * by, probe, step)
        return (steering.descend(latent * by, probe, noise_level=by, step=step) - latent * by) / by

    usual = moved(1.0)
    assert usual.abs().max() > 0.01
    torch.testing.assert_close(moved(scale), usual)


@pytest.mark.parametrize("logits", [0.25, 4.0])
def test_as_published_they_do(drawn, logits):
    (_, trace), (_, usual) = (drawn(CentroidLoss(standardised=False), scale) for scale in (logits, 1.0))
    assert (trace[0].loss - usual[0].loss).abs() > 0.005


def test_each_loss_of_a_combination_reads_its_own_maps():
    learned = LearnedLoss(load_classifier(MINIATURE_CLASSIFIER))
    pipeline = load_pipeline(SHIPPED["miniature"], "cpu")
    scene = ground_prompt(pipeline, PROMPT)
    losses = {"centroid": CentroidLoss(standardised=True), "learned": learned, "presence": PresenceLoss()}
    losses["together"] = CombinedLoss(tuple((loss, 1.0) for loss in losses.values()))
    seen = {}
    for name, loss in losses.items():
        steering = Steering(scene, loss, SteeringSchedule(target=-10.0))
        sampled(pipeline, PROMPT, [3], steering, steps=3)
        seen[name] = steering.trace[0].loss
    torch.testing.assert_close(seen["together"], seen["centroid"] + seen["learned"] + seen["presence"])


def test_maps_are_standardised_for_a_loss_that_reads_them():
    pipeline = load_pipeline(SHIPPED["miniature"], "cpu")
    network = unet_of(pipeline.unet).layers
    scene = ground_prompt(pipeline, PROMPT)
    standardised, published, presence = (
        CentroidLoss(standardised=True),
        CentroidLoss(standardised=False),
        PresenceLoss(),
    )
    read = tuple(default_layers(network))
    for loss, layers, follows_own in (
        (standardised, read, False),
        (CombinedLoss(((standardised, 1.0), (presence, 1.0))), read, True),
        (published, (), True),
        (CombinedLoss(((published, 1.0), (presence, 1.0))), (), True),
    ):
        request = Steering(scene, loss).for_network(network).request
        assert (request.objects, request.standardised, request.follows_own) == (2, layers, follows_own)
