from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from test_classifier import NETWORK, small
from toys import pair_scene

from benchmarks.separation import SeparationLoss
from steering_core.classifier import CLASSIFIERS_DIR, load_classifier
from steering_core.layers import PUBLISHED_NETWORKS
from steering_core.losses import CentroidLoss, CombinedLoss, LearnedLoss, MapsRead, PresenceLoss
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from steering_core.token_maps import TokenMaps
from steering_core.tokens import GroundedRelation


def token_maps(batch: int = 2) -> TokenMaps:
    rng = torch.Generator().manual_seed(0)
    sizes = {layer.name: (batch, 2, layer.heads, 8 >> layer.level, 8 >> layer.level) for layer in NETWORK}
    return TokenMaps({name: torch.rand(size, generator=rng).requires_grad_() for name, size in sizes.items()})


def relation(name: Relation = Relation.ABOVE):
    return pair_scene(name).relations[0]


def logits(classifier, maps, step):
    stack = classifier.layout.stack(maps, (0, 1))
    return classifier(stack, torch.full((len(stack),), step))


def test_the_loss_is_the_cross_entropy_of_the_wanted_relation():
    classifier, maps = small(), token_maps()
    expected = F.cross_entropy(logits(classifier, maps, 3), torch.tensor([2, 2]), reduction="none")
    torch.testing.assert_close(LearnedLoss(classifier)(maps, relation(Relation.LEFT_OF), 0.7), expected)


def test_a_diagonal_is_its_two_directions_together():
    classifier, maps = small(), token_maps()
    log = logits(classifier, maps, 1).log_softmax(dim=1)
    expected = -(log[:, 1] + log[:, 3]) / 2 - math.log(2)
    torch.testing.assert_close(LearnedLoss(classifier)(maps, relation(Relation.BELOW_RIGHT), 0.0), expected)
    assert (expected > 0).all()


def test_the_gradient_reaches_the_maps_that_are_read_and_no_weight():
    classifier, maps = small().requires_grad_(False), token_maps()
    LearnedLoss(classifier)(maps, relation(), 0.2).sum().backward()
    assert all(layer.grad.abs().sum() > 0 for layer in maps.layers.values())
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_another_network_is_refused_with_both_named():
    loss = LearnedLoss(small())
    assert loss.for_network(NETWORK, [Relation.ABOVE]) is loss
    message = (
        r"6 maps of 4×4 from mid\.0.*3 attention layers.*this model is a network with 16 attention layers: down\.0 \(8"
    )
    with pytest.raises(ValueError, match=message):
        loss.for_network(PUBLISHED_NETWORKS["sd14"], [Relation.ABOVE])


def test_a_relation_it_does_not_know_is_refused_before_sampling_with_what_to_do():
    refusal = 'does not know "next to", only above, below, left_of, right_of. Combine it with the centroid loss'
    with pytest.raises(ValueError, match=refusal):
        LearnedLoss(small()).for_network(NETWORK, [Relation.ABOVE, Relation.NEAR])


@pytest.mark.parametrize("file", sorted(CLASSIFIERS_DIR.glob("*.safetensors")), ids=lambda file: file.stem)
def test_no_classifier_that_ships_knows_next_to(file):
    loss = LearnedLoss(load_classifier(file))
    assert {relation for relation in Relation if not loss.knows(relation)} == {Relation.NEAR}


def test_a_place_is_refused_before_sampling_with_what_to_do():
    with pytest.raises(ValueError, match=r'does not know "on the left", a place .* Combine it with the centroid loss'):
        LearnedLoss(small()).for_network(NETWORK, [Relation.ABOVE, Place.AT_LEFT])


@pytest.mark.parametrize("unknown", [GroundedRelation(1, Place.AT_TOP), GroundedRelation(0, Relation.NEAR, 1)])
def test_a_combination_leaves_what_is_not_learned_to_its_other_losses(unknown):
    learned, centroid = (LearnedLoss(small()), 1.0), (CentroidLoss(layers=("up.0",)), 2.0)
    maps = token_maps()
    combined = CombinedLoss((learned, centroid)).for_network(NETWORK, [Relation.ABOVE, unknown.relation])
    torch.testing.assert_close(combined(maps, unknown, 0.0), 2 * centroid[0](maps, unknown, 0.0))
    whole = learned[0](maps, relation(), 0.0) + 2 * centroid[0](maps, relation(), 0.0)
    torch.testing.assert_close(combined(maps, relation(), 0.0), whole)


def test_combinations_within_a_combination_count_by_their_weights_as_nodes_make_them():
    learned, centroid = LearnedLoss(small()), CentroidLoss(layers=("up.0",))
    nested = CombinedLoss(((CombinedLoss(((learned, 0.5),)), 1.0), (CombinedLoss(((centroid, 2.0),)), 3.0)))
    assert nested == CombinedLoss(((learned, 0.5), (centroid, 6.0)))
    bound, maps = nested.for_network(NETWORK, [Place.AT_TOP]), token_maps()
    place = GroundedRelation(1, Place.AT_TOP)
    torch.testing.assert_close(bound(maps, place, 0.0), 6 * centroid(maps, place, 0.0))


@pytest.mark.parametrize(("unknown", "named"), [(Place.AT_TOP, "a place in the picture"), (Relation.NEAR, "next to")])
def test_a_combination_without_a_centroid_loss_refuses_what_is_not_learned(unknown, named):
    combined = CombinedLoss(((LearnedLoss(small()), 1.0), (PresenceLoss(), 1.0)))
    with pytest.raises(ValueError, match=named):
        combined.for_network(NETWORK, [unknown])


def test_combined_losses_add_up_by_weight_each_on_its_own_layers():
    maps, centroid, presence = token_maps(), CentroidLoss(), SeparationLoss(layers=("mid.0",))
    combined = CombinedLoss(((centroid, 2.0), (presence, 0.5))).for_network(NETWORK, [Relation.ABOVE])
    assert combined.reads == MapsRead(layers=("mid.0",), standardised=("up.0",))
    alone = TokenMaps({"up.0": maps.layers["up.0"]}), TokenMaps({"mid.0": maps.layers["mid.0"]})
    expected = 2 * centroid(alone[0], relation(), 0.0) + 0.5 * presence(alone[1], relation(), 0.0)
    torch.testing.assert_close(combined(maps, relation(), 0.0), expected)


def test_a_combination_refuses_what_one_of_its_losses_refuses():
    combined = CombinedLoss(((CentroidLoss(), 1.0), (LearnedLoss(small()), 1.0)))
    with pytest.raises(ValueError, match="another loss"):
        combined.for_network(PUBLISHED_NETWORKS["sd14"], [Relation.NEAR])


@pytest.mark.parametrize("terms", [(), ((CentroidLoss(), 0.0),), ((CentroidLoss(), float("nan")),)])
def test_a_combination_of_nothing_is_refused(terms):
    with pytest.raises(ValueError, match=r"expected|greater than 0"):
        CombinedLoss(terms)
