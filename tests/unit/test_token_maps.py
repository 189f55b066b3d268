from __future__ import annotations

import pytest
import torch

from steering_core.token_maps import TokenMaps, centroids, normalise, resize, smoothed, threshold_at_mean, variances


def spot(x: int, y: int, height: int = 8, width: int = 8) -> torch.Tensor:
    """A map (1, 1, H, W) that is nothing but one cell."""
    maps = torch.zeros(1, 1, height, width)
    maps[..., y, x] = 3.0
    return maps


@pytest.mark.parametrize(("x", "y", "height", "width"), [(0, 0, 8, 8), (5, 2, 8, 8), (5, 2, 4, 16)])
def test_centroid_of_a_spot_is_its_cells_centre(x, y, height, width):
    expected = torch.tensor([[[(x + 0.5) / width, (y + 0.5) / height]]])
    torch.testing.assert_close(centroids(spot(x, y, height, width)), expected)


def test_centroid_does_not_depend_on_the_mass():
    maps = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(centroids(maps), centroids(7 * maps))


def test_background_below_the_mean_does_not_pull_the_centroid():
    maps = spot(7, 0) + 0.1
    torch.testing.assert_close(centroids(threshold_at_mean(maps)), centroids(spot(7, 0)))
    assert centroids(maps)[0, 0, 0] < 0.9


def test_threshold_is_each_maps_own_mean():
    maps = torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[10.0, 20.0], [30.0, 60.0]]])
    expected = torch.tensor([[[0.0, 0.0], [0.0, 6.0]], [[0.0, 0.0], [0.0, 60.0]]])
    torch.testing.assert_close(threshold_at_mean(maps), expected)


def test_variance_is_the_mean_squared_distance():
    maps = spot(1, 4) + spot(5, 4)
    torch.testing.assert_close(variances(maps), torch.tensor([[0.25**2]]))
    torch.testing.assert_close(variances(spot(3, 3)), torch.zeros(1, 1))


def test_empty_maps_give_finite_centroids():
    assert centroids(torch.zeros(1, 1, 4, 4)).isfinite().all()


def test_mean_map_weighs_layers_alike_whatever_their_size():
    small, large = spot(0, 0, 4, 4)[:, :, None], 100 * spot(7, 7)[:, :, None]
    mean = TokenMaps({"up.0": small, "up.1": large}).mean_map()
    assert mean.shape == (1, 1, 8, 8)
    torch.testing.assert_close(mean.sum(), torch.tensor(1.0))
    torch.testing.assert_close(mean[..., 7, 7], torch.tensor([[0.5]]))
    torch.testing.assert_close(mean, (normalise(resize(spot(0, 0, 4, 4), (8, 8))) + normalise(spot(7, 7))) / 2)


def test_detached_maps_are_outside_the_graph():
    values = torch.rand(1, 1, 1, 2, 2, requires_grad=True)
    kept = TokenMaps({"up.0": values}).detach().layers["up.0"]
    assert not kept.requires_grad
    assert torch.equal(kept, values)


def test_no_layer_is_an_error():
    with pytest.raises(ValueError, match="at least one layer"):
        TokenMaps({})


@pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1), (2, 6)])
def test_even_a_map_of_one_row_is_smoothed(shape):
    ones = torch.ones(1, 2, *shape)
    torch.testing.assert_close(smoothed(ones, 0.5), ones)
