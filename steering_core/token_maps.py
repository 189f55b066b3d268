"""Token maps: where each layer of the model looks for each object."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .indices import rows_of


@dataclass(frozen=True)
class WordMaps:
    """The maps of a prompt's words, each token by itself.

    Attributes:
        layers: as those of ``TokenMaps``, (batch, words, heads, H, W).
        objects: of each object the numbers of its words.
    """

    layers: Mapping[str, Tensor]
    objects: Sequence[Sequence[int]]

    def mean_of(self, names: Sequence[str]) -> Tensor:
        """Of each word the mean over heads and the named layers, (batch, words, H, W); see ``TokenMaps.mean_of``."""
        return _mean_of_layers([self.layers[name].mean(dim=2) for name in names or self.layers])


@dataclass(frozen=True)
class TokenMaps:
    """The maps of one latent.

    Attributes:
        layers: by the layer's name, in the order the model runs them: (batch, objects, heads, H, W),
            H and W the layer's own. Values are attention probabilities in [0, 1].
        words: the maps of all words, where the loss reads them.
        standardised: the same layers by logits of one contrast (``attention.standardised_queries``), where the loss
            reads them.
    """

    layers: Mapping[str, Tensor]
    words: WordMaps | None = None
    standardised: Mapping[str, Tensor] | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("Token maps of at least one layer were expected, got none.")

    def of(self, names: Sequence[str], standardised: bool = False) -> list[Tensor]:
        """The maps of the named layers; of all, where none is named.

        Args:
            standardised: the standardised ones, if those are there.
        """
        layers = self.standardised if standardised and self.standardised is not None else self.layers
        return [layers[name] for name in names or layers]

    def mean_map(self) -> Tensor:
        """One map for each object: the mean over heads and layers of maps that each sum to 1.

        Returns:
            (batch, objects, H, W), in the size of the largest layer, each map summing to 1.
        """
        height, width = largest_size(self.layers.values())
        resized = [normalise(resize(maps.mean(dim=2), (height, width))) for maps in self.layers.values()]
        return torch.stack(resized).mean(dim=0)

    def mean_of(self, names: Sequence[str], objects: Sequence[int]) -> Tensor:
        """One map for each of some objects: the mean over heads and the named layers, in the size of the largest.

        Args:
            names: of layers; all, where none is named.

        Returns:
            (batch, objects, H, W), the values being attention probabilities.
        """
        return _mean_of_layers([rows_of(layer, 1, objects).mean(dim=2) for layer in self.of(names)])

    def with_words(self, objects: Sequence[Sequence[int]]) -> TokenMaps:
        """The maps of the objects, and apart from them those of the words, which follow on them here.

        Args:
            objects: of each object the numbers of its words.
        """
        count = len(objects)
        words = WordMaps({name: maps[:, count:] for name, maps in self.layers.items()}, objects)
        return replace(self, layers={name: maps[:, :count] for name, maps in self.layers.items()}, words=words)

    def strength(self) -> Tensor:
        """How much attention each object gets: the mean over cells, heads and layers, (batch, objects), in [0, 1]."""
        return torch.stack([maps.mean(dim=(-3, -2, -1)) for maps in self.layers.values()]).mean(dim=0)

    @property
    def requires_grad(self) -> bool:
        """Whether any of the maps are in an autograd graph."""
        each = (self.layers, self.standardised or {}, self.words.layers if self.words else {})
        return any(maps.requires_grad for layers in each for maps in layers.values())

    def detach(self) -> TokenMaps:
        """The maps of the objects by the network's own logits, outside the autograd graph."""
        return TokenMaps({name: maps.detach() for name, maps in self.layers.items()})


def _mean_of_layers(layers: Sequence[Tensor]) -> Tensor:
    """(batch, maps, H, W) of each layer, in the size of the largest."""
    return torch.stack([resize(layer, largest_size(layers)) for layer in layers]).mean(dim=0)


def largest_size(layers: Iterable[Tensor]) -> tuple[int, int]:
    """(H, W) of the layer with the most cells."""
    height, width = max((maps.shape[-2:] for maps in layers), key=math.prod)
    return height, width


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resizing of the last two axes."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    return F.interpolate(flat, size=size, mode="bilinear", align_corners=False).view(*maps.shape[:-2], *size)


def smoothed(maps: Tensor, sigma: float) -> Tensor:
    """Each map convolved with a Gaussian of 3×3 cells, mirrored beyond its border.

    Args:
        maps: (batch, objects, H, W).
        sigma: in cells.
    """
    offsets = torch.arange(-1, 2, dtype=maps.dtype, device=maps.device)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (weights[:, None] * weights) / weights.sum() ** 2
    mode = "reflect" if min(maps.shape[-2:]) > 1 else "replicate"  # in a single row there is nothing to mirror
    padded = F.pad(maps.flatten(0, 1)[:, None], (1, 1, 1, 1), mode=mode)
    return F.conv2d(padded, kernel[None, None]).view_as(maps)


def normalise(maps: Tensor) -> Tensor:
    """Divide each map by its sum over the last two axes."""
    return maps / maps.sum(dim=(-2, -1), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)


def threshold_at_mean(maps: Tensor) -> Tensor:
    """Keep what lies above each map's own mean, zero elsewhere (InfSplign, section 4.1).

    A map without contrast is kept whole.
    """
    above = maps > maps.mean(dim=(-2, -1), keepdim=True)
    return maps * (above | ~above.any(dim=-1, keepdim=True).any(dim=-2, keepdim=True))


def centroids(maps: Tensor) -> Tensor:
    """Centres of mass (x, y) in (0, 1), x to the right and y downward.

    InfSplign eq. 7, with the sum of the same map as divisor: as printed, a thresholded numerator
    over the whole map's sum pulls every centroid to the origin. An empty map has its centroid in the middle.

    Args:
        maps: (..., H, W), not negative.

    Returns:
        (..., 2).
    """
    x, y = _coordinates(maps)
    empty = maps.sum(dim=(-2, -1), keepdim=True) <= 0
    mass = normalise(maps + empty)
    return torch.stack([(mass * x).sum(dim=(-2, -1)), (mass * y).sum(dim=(-2, -1))], dim=-1)


def variances(maps: Tensor) -> Tensor:
    """Mean squared distance of a map's mass from its centroid, (...,), in [0, 0.5]."""
    x, y = _coordinates(maps)
    centre = centroids(maps)[..., None, None, :]
    squared_distance = (x - centre[..., 0]) ** 2 + (y - centre[..., 1]) ** 2
    return (normalise(maps) * squared_distance).sum(dim=(-2, -1))


def overlaps(maps: Tensor) -> Tensor:
    """How much of their mass each two maps of an image share: the intersection of histograms (Swain and Ballard 1991).

    Args:
        maps: (batch, objects, H, W), each summing to 1.

    Returns:
        (batch, objects, objects), in [0, 1]: 1 of equal maps, 0 of maps that share no cell.
    """
    flat = maps.flatten(2)
    return torch.minimum(flat[:, :, None], flat[:, None]).sum(dim=-1)


def _coordinates(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the cells' centres: x (1, W) and y (H, 1)."""
    height, width = maps.shape[-2:]
    x = (torch.arange(width, device=maps.device, dtype=maps.dtype) + 0.5) / width
    y = (torch.arange(height, device=maps.device, dtype=maps.dtype) + 0.5) / height
    return x[None, :], y[:, None]
