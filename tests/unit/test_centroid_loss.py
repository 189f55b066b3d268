from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from steering_core.losses.centroid import FUNCTIONS, PAPER_SETTINGS, CentroidLoss
from steering_core.relations.place import CENTER_DISTANCE, Place
from steering_core.relations.relation import NEAR_DISTANCE, Relation
from steering_core.token_maps import TokenMaps, centroids, threshold_at_mean, variances
from steering_core.tokens import GroundedRelation

DIRECTED = [relation for relation in Relation if relation is not Relation.NEAR]


def blob(x: float, y: float, size: int = 16, width: float = 0.08, dtype=torch.float32) -> torch.Tensor:
    """A Gaussian spot (size, size) around (x, y) in [0, 1]."""
    axis = (torch.arange(size, dtype=dtype) + 0.5) / size
    return torch.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * width**2))


def two_blobs(a, b, **kwargs) -> TokenMaps:
    return TokenMaps({"up.0": torch.stack([blob(*a, **kwargs), blob(*b, **kwargs)])[None, :, None]})


def pair(relation: Relation) -> GroundedRelation:
    return GroundedRelation(0, relation, 1)


def by_hand(function: str, x: torch.Tensor, slope: float = 0.05) -> torch.Tensor:
    return {
        "relu": x.clamp_min(0),
        "leaky_relu": torch.where(x > 0, x, slope * x),
        "gelu": x * 0.5 * (1 + torch.erf(x / 2**0.5)),
        "sigmoid": 1 / (1 + torch.exp(-x)),
    }[function]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("relation", DIRECTED)
def test_loss_is_the_papers_formula(function, relation):
    maps = two_blobs((0.3, 0.6), (0.55, 0.4))
    centres = centroids(threshold_at_mean(maps.layers["up.0"].mean(dim=2)))[0]
    displacement = centres[0] - centres[1]
    alpha, margin = PAPER_SETTINGS[function]["alpha"], PAPER_SETTINGS[function]["margin"]
    expected = sum(
        by_hand(function, alpha * (margin - sign * displacement[axis]))
        for axis, sign in enumerate(relation.direction)
        if sign
    )
    torch.testing.assert_close(CentroidLoss(function)(maps, pair(relation), 0.0), expected[None])


def test_near_asks_for_a_distance_below_the_limit():
    loss = CentroidLoss("relu", margin=0.0)
    close, far = two_blobs((0.4, 0.5), (0.6, 0.5)), two_blobs((0.25, 0.25), (0.75, 0.75))
    assert loss(close, pair(Relation.NEAR), 0.0) == 0
    torch.testing.assert_close(
        loss(far, pair(Relation.NEAR), 0.0), torch.tensor([0.75 * (0.5**0.5 - NEAR_DISTANCE)]), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(
    ("place", "x", "y", "displacements"),
    [
        (Place.AT_LEFT, 0.25, 0.75, [0.25]),
        (Place.AT_RIGHT, 0.25, 0.75, [-0.25]),
        (Place.AT_TOP, 0.25, 0.75, [-0.25]),
        (Place.AT_BOTTOM_LEFT, 0.25, 0.625, [0.25, 0.125]),
    ],
)
def test_a_place_is_scored_by_how_far_the_centre_lies_beyond_the_middle(place, x, y, displacements):
    """The other object of the maps does not count, nor does how the place's object lies across its axis."""
    for other in ((0.1, 0.1), (0.9, 0.9)):
        loss = CentroidLoss("relu", margin=0.3, orthogonal="l2", balance_weight=5.0)
        value = loss(two_blobs(other, (x, y)), GroundedRelation(1, place), 0.0)
        expected = sum(max(0.0, 0.75 * (0.3 - displacement)) for displacement in displacements)
        torch.testing.assert_close(value, torch.tensor([expected]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("x", "width"), [(0.5, 0.08), (0.5, 0.15), (0.7, 0.08)])
def test_the_center_is_scored_by_how_far_the_attention_is_from_the_middle(x, width):
    maps = two_blobs((x, 0.5), (0.9, 0.9), width=width)
    value = CentroidLoss("relu", margin=0.25)(maps, GroundedRelation(0, Place.AT_CENTER), 0.0)
    mass = threshold_at_mean(maps.layers["up.0"].mean(dim=2))[0, 0]
    axis = (torch.arange(16) + 0.5) / 16 - 0.5
    distance = ((mass * (axis[None, :] ** 2 + axis[:, None] ** 2)).sum() / mass.sum()).sqrt()
    torch.testing.assert_close(value[0], 0.75 * (0.25 - (CENTER_DISTANCE - distance)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 7)])
def test_the_center_has_a_gradient_where_all_attention_is_one_cell_in_the_middle(shape):
    maps = torch.zeros(1, 2, 1, *shape)
    maps[..., shape[0] // 2, shape[1] // 2] = 1
    value = CentroidLoss()(TokenMaps({"up.0": maps.requires_grad_()}), GroundedRelation(0, Place.AT_CENTER), 0.0)
    assert torch.autograd.grad(value.sum(), maps)[0].isfinite().all()


@pytest.mark.parametrize("place", list(Place))
def test_descent_moves_the_centre_to_its_place(place):
    logits = two_blobs((0.35, 0.6), (0.5, 0.5), width=0.2).layers["up.0"].log().requires_grad_()
    loss, relation = CentroidLoss("gelu"), GroundedRelation(0, place)

    def displacement():
        return place.displacement(tuple(centroids(threshold_at_mean(logits.exp().mean(dim=2)))[0, 0].tolist()))

    before = displacement()
    for _ in range(4):
        value = loss(TokenMaps({"up.0": logits.exp()}), relation, 0.0).sum()
        (gradient,) = torch.autograd.grad(value, logits)
        logits = (logits - 5 * gradient / gradient.abs().max().clamp_min(1e-9)).detach().clamp(-30, 5).requires_grad_()
    assert displacement() > before + 0.01


@pytest.mark.parametrize(("norm", "power"), [("l1", 1), ("l2", 2)])
def test_orthogonal_term_is_the_displacement_across_the_axis(norm, power):
    maps = two_blobs((0.25, 0.25), (0.75, 0.75))
    plain, term = CentroidLoss("relu"), CentroidLoss("relu", orthogonal=norm, orthogonal_weight=3.0)
    difference = term(maps, pair(Relation.LEFT_OF), 0.0) - plain(maps, pair(Relation.LEFT_OF), 0.0)
    torch.testing.assert_close(difference, torch.tensor([3 * 0.5**power]), atol=1e-4, rtol=0)
    diagonal = pair(Relation.ABOVE_LEFT)
    torch.testing.assert_close(term(maps, diagonal, 0.0), plain(maps, diagonal, 0.0))


def test_presence_counts_on_the_coarsest_layers_and_balance_on_the_others():
    coarse = torch.stack([blob(0.3, 0.5, 8, 0.2), blob(0.7, 0.5, 8, 0.1)])[None, :, None]
    fine = torch.stack([blob(0.3, 0.5, 16, 0.05), blob(0.7, 0.5, 16, 0.15)])[None, :, None]
    maps, relation = TokenMaps({"up.0": coarse, "up.1": fine}), pair(Relation.LEFT_OF)
    plain = CentroidLoss()(maps, relation, 0.0)
    spread = [variances(threshold_at_mean(layer.mean(dim=2)))[0] for layer in (coarse, fine)]
    presence = CentroidLoss(presence_weight=2.0)(maps, relation, 0.0) - plain
    balance = CentroidLoss(balance_weight=2.0)(maps, relation, 0.0) - plain
    torch.testing.assert_close(presence[0], 2 * spread[0].sum() / 2, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(balance[0], 2 * (spread[1][0] - spread[1][1]).abs() / 2, atol=1e-5, rtol=1e-4)


def test_balance_counts_where_all_layers_have_one_size():
    maps = TokenMaps({"up.0": torch.stack([blob(0.3, 0.5, 16, 0.05), blob(0.7, 0.5, 16, 0.15)])[None, :, None]})
    relation = pair(Relation.LEFT_OF)
    assert CentroidLoss(balance_weight=1.0)(maps, relation, 0.0) > CentroidLoss()(maps, relation, 0.0)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("extras", [{}, {"orthogonal": "l2", "presence_weight": 0.7, "balance_weight": 0.3}])
def test_gradients_through_thresholding_are_right(function, extras):
    generator = torch.Generator().manual_seed(1)
    small, large = (torch.rand(2, 2, 2, n, n, generator=generator, dtype=torch.float64) for n in (3, 5))
    loss = CentroidLoss(function, **extras)

    def of(a, b):
        return loss(TokenMaps({"up.0": a, "up.1": b}), pair(Relation.ABOVE_RIGHT), 0.0) + loss(
            TokenMaps({"up.0": a, "up.1": b}), pair(Relation.LEFT_OF), 0.0
        )

    assert torch.autograd.gradcheck(of, (small.requires_grad_(), large.requires_grad_()))


@pytest.mark.parametrize("relation", list(Relation))
def test_descent_moves_the_centres_towards_the_relation(relation):
    dx, dy = relation.direction if relation is not Relation.NEAR else (0, 0)
    start = ((0.15, 0.15), (0.85, 0.85)) if relation is Relation.NEAR else ((0.5, 0.5), (0.5, 0.5))
    logits = two_blobs(*start, width=0.25).layers["up.0"].log().requires_grad_()
    loss = CentroidLoss("gelu")

    def centres():
        return centroids(threshold_at_mean(logits.exp().mean(dim=2)))[0].detach()

    before = centres()
    for _ in range(3):
        value = loss(TokenMaps({"up.0": logits.exp()}), pair(relation), 0.0).sum()
        (gradient,) = torch.autograd.grad(value, logits)
        logits = (logits - 20 * gradient / gradient.abs().max().clamp_min(1e-9)).detach().clamp(-30, 5).requires_grad_()
    after = centres()
    change = (after[0] - after[1]) - (before[0] - before[1])
    if relation is Relation.NEAR:
        assert (after[0] - after[1]).norm() < (before[0] - before[1]).norm()
    else:
        assert all(change[axis] * sign > 0.01 for axis, sign in enumerate((dx, dy)) if sign)


def test_standardised_maps_are_read_where_they_are_there():
    plain, other = two_blobs((0.3, 0.6), (0.55, 0.4)), two_blobs((0.6, 0.6), (0.2, 0.4))
    both = replace(plain, standardised=other.layers)
    for standardised, expected in ((True, other), (False, plain)):
        loss = CentroidLoss(layers=("up.0",), standardised=standardised)
        assert loss(both, pair(Relation.LEFT_OF), 0.0) == loss(expected, pair(Relation.LEFT_OF), 0.0)


def test_images_of_a_batch_do_not_touch_each_other():
    generator = torch.Generator().manual_seed(0)
    layer = torch.rand(3, 2, 2, 6, 6, generator=generator)
    together = CentroidLoss()(TokenMaps({"up.0": layer}), pair(Relation.BELOW), 0.0)
    alone = [CentroidLoss()(TokenMaps({"up.0": layer[i : i + 1]}), pair(Relation.BELOW), 0.0) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_relation_picks_its_own_objects():
    layer = torch.stack([blob(0.1, 0.5), blob(0.5, 0.5), blob(0.9, 0.5)])[None, :, None]
    loss = CentroidLoss("relu")
    assert loss(TokenMaps({"up.0": layer}), GroundedRelation(0, Relation.LEFT_OF, 2), 0.0) == 0
    assert loss(TokenMaps({"up.0": layer}), GroundedRelation(2, Relation.LEFT_OF, 1), 0.0) > 0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_papers_best_settings_are_the_defaults(function):
    loss = CentroidLoss(function).resolved()
    assert {"alpha": loss.alpha, "margin": loss.margin} == PAPER_SETTINGS[function]


def test_another_function_comes_with_its_own_defaults():
    maps, changed = two_blobs((0.8, 0.5), (0.2, 0.5)), replace(CentroidLoss("gelu"), function="relu")
    assert changed(maps, pair(Relation.LEFT_OF), 0.0) == CentroidLoss("relu")(maps, pair(Relation.LEFT_OF), 0.0)
    assert replace(CentroidLoss("gelu", margin=0.1), function="sigmoid").resolved() == CentroidLoss("sigmoid", 8.0, 0.1)


def test_slope_of_the_leaky_relu_is_used():
    x = F.leaky_relu(torch.tensor(2.0 * (0.25 - 0.6)), 0.3)
    loss = CentroidLoss("leaky_relu", leaky_slope=0.3)(two_blobs((0.2, 0.5), (0.8, 0.5)), pair(Relation.LEFT_OF), 0.0)
    torch.testing.assert_close(loss, x[None], atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"function": "tanh"}, "function"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"margin": 1.0}, "margin"),
        ({"margin": -0.1}, "margin"),
        ({"leaky_slope": -1.0}, "leaky_slope"),
        ({"orthogonal": "l3"}, "orthogonal"),
        ({"presence_weight": -1.0}, "presence_weight"),
        ({"balance_weight": float("nan")}, "balance_weight"),
    ],
)
def test_settings_out_of_range_are_named(settings, named):
    with pytest.raises(ValueError, match=named):
        CentroidLoss(**settings)
