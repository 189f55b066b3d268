"""The stack of maps that a relation classifier reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..indices import rows_of
from ..layers import AttentionLayer, describe_network
from ..token_maps import TokenMaps, resize
from ..wording import brief
from .settings import MOST_LAYERS, MOST_MAP_SIZE, MOST_WIDTH, check_range

#: Added to a map's sum before it divides, as in the published code: a map of nearly nothing stays small, and so does
#: its gradient.
_ROOM = 1e-8


@dataclass(frozen=True)
class MapLayout:
    """Which maps a classifier reads, of which network, and in which order.

    Attributes:
        network: every layer in which the image looks at the text, of the network that the classifier was made for.
        layers: names of those that are read, in the order of the stack; a layer's heads in their own.
        map_size: side that every map is resized to.
        total: what each map sums to after that: 1 in most of the released classifiers; ``map_size`` squared
            gives values around 1, from which a classifier learns sooner. None leaves the attention's own values.

    Raises:
        ValueError: a layer is named twice or is not the network's, or a size is outside its range.
    """

    network: tuple[AttentionLayer, ...]
    layers: tuple[str, ...]
    map_size: int
    total: float | None

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.network]
        for kind, named in (("network", names), ("layers", self.layers)):
            if len(set(named)) < len(named) or not named:
                raise ValueError(f"{kind} must name one layer or more, each once, not {brief(list(named))}.")
        if unknown := [name for name in self.layers if name not in names]:
            raise ValueError(f"layers must be among the network's {brief(names)}, not {brief(unknown)}.")
        for layer in self.network:
            check_range(f"heads of {brief(layer.name)}", layer.heads, 1, MOST_WIDTH)
            check_range(f"level of {brief(layer.name)}", layer.level, 0, MOST_LAYERS)
        check_range("map_size", self.map_size, 1, MOST_MAP_SIZE)
        if self.total is not None and not 0 < self.total < math.inf:
            raise ValueError(f"total must be greater than 0, not {self.total}.")

    @property
    def maps(self) -> int:
        """How many maps the stack of one object has."""
        heads = {layer.name: layer.heads for layer in self.network}
        return sum(heads[name] for name in self.layers)

    def __str__(self) -> str:
        described = describe_network(self.network)
        return f"{self.maps} maps of {self.map_size}×{self.map_size} from {', '.join(self.layers)} of {described}"

    def stack(self, maps: TokenMaps, objects: Sequence[int]) -> Tensor:
        """What the classifier reads: (batch, objects, maps, map_size, map_size)."""
        size = (self.map_size, self.map_size)
        chosen = [resize(rows_of(maps.layers[name], 1, objects), size) for name in self.layers]
        stacked = torch.cat(chosen, dim=2)
        if self.total is None:
            return stacked
        return stacked * (self.total / (stacked.sum(dim=(-2, -1), keepdim=True) + _ROOM))
