"""The cross-attention layers of a network, under names that all backends share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .attention import token_columns
from .token_maps import TokenMaps


@dataclass(frozen=True)
class AttentionLayer:
    """One cross-attention layer.

    Attributes:
        stage: ``down``, ``mid`` or ``up``.
        number: its place among the stage's cross-attention layers, from 0, in running order.
        level: how often the latent was halved where it runs.
        heads: how many attention heads it has.
    """

    stage: str
    number: int
    level: int
    heads: int

    @property
    def name(self) -> str:
        """Such as ``up.0``."""
        return f"{self.stage}.{self.number}"


def default_layers(layers: Sequence[AttentionLayer]) -> tuple[str, ...]:
    """The cross-attention of the first two decoder blocks that have any, without the last block.

    In Stable Diffusion these are the first six of the decoder; the last block's loss hardly moves
    (InfSplign, section 5.2 and table 6), and the probe that leaves it out ends that much earlier.
    In the miniature they are the two at 8×8.
    """
    decoder = [layer for layer in layers if layer.stage == "up"]
    levels = sorted({layer.level for layer in decoder}, reverse=True)
    chosen = levels[: min(2, max(1, len(levels) - 1))]
    return tuple(layer.name for layer in decoder if layer.level in chosen)


def layers_on_the_way(layers: Sequence[AttentionLayer]) -> tuple[str, ...]:
    """Every layer up to the last default one: a probe runs through them all, so that they cost nothing."""
    names = [layer.name for layer in layers]
    return tuple(names[: names.index(default_layers(layers)[-1]) + 1])


def published_order(layers: Sequence[AttentionLayer]) -> tuple[str, ...]:
    """All layers as Learn-to-Steer stacks them: coarsest first, and else in running order."""
    return tuple(layer.name for layer in sorted(layers, key=lambda layer: -layer.level))


def _stable_diffusion(heads: Sequence[int]) -> tuple[AttentionLayer, ...]:
    """The layers of Stable Diffusion 1 and 2, given the heads of each level."""
    down = [(level, 2) for level in (0, 1, 2)]
    up = [(level, 3) for level in (2, 1, 0)]
    levels = [("down", [level for level, count in down for _ in range(count)]), ("mid", [3])]
    levels += [("up", [level for level, count in up for _ in range(count)])]
    return tuple(
        AttentionLayer(stage, number, level, heads[level])
        for stage, of_stage in levels
        for number, level in enumerate(of_stage)
    )


def _flux() -> tuple[AttentionLayer, ...]:
    """The joint attention of FLUX.1: 19 double and 38 single blocks on patches of 2×2 latents."""
    blocks = [("double", number) for number in range(19)] + [("single", number) for number in range(38)]
    return tuple(AttentionLayer(stage, number, level=1, heads=24) for stage, number in blocks)


#: The networks of Learn-to-Steer's released classifiers, by the names of their experiments.
PUBLISHED_NETWORKS = {
    "sd14": _stable_diffusion((8, 8, 8, 8)),
    "sd2": _stable_diffusion((5, 10, 20, 20)),
    "flux_schnell": _flux(),
    "flux_dev": _flux(),
}


def describe_network(layers: Sequence[AttentionLayer]) -> str:
    """Such as "a network with 10 attention layers: down.0 (2 heads, 1:1), mid.0 (2 heads, 1:2) …"."""
    described = ", ".join(f"{layer.name} ({layer.heads} heads, 1:{2**layer.level})" for layer in layers)
    return f"a network with {len(layers)} attention layers: {described}"


def check_layers(wanted: Sequence[str], layers: Sequence[AttentionLayer]) -> tuple[str, ...]:
    """The wanted names in running order.

    Raises:
        ValueError: a name is not among the network's layers, or none is wanted.
    """
    names = [layer.name for layer in layers]
    unknown = sorted(set(wanted) - set(names))
    if unknown or not wanted:
        raise ValueError(
            f"Attention layers must be among {', '.join(names)}; "
            + (f"unknown: {', '.join(unknown)}." if unknown else "none was given.")
        )
    return tuple(name for name in names if name in wanted)


class ProbeComplete(Exception):
    """Raised inside a forward once the last wanted layer has been read, so that no later one runs."""


class MapCollector:
    """Gathers token maps while a forward runs.

    Args:
        layers: names of the wanted layers, in running order.
        tokens: for each object the indices of its tokens.
    """

    def __init__(self, layers: Sequence[str], tokens: Sequence[Sequence[int]]) -> None:
        self._wanted = tuple(layers)
        self._tokens = tokens
        self._maps: dict[str, Tensor] = {}

    def add(self, name: str, q: Tensor, k: Tensor, size: tuple[int, int], bias: Tensor | None = None) -> None:
        """Read one layer.

        Args:
            name: the layer's name, one of those wanted.
            q: (batch, heads, H·W, head_dim).
            k: (batch, heads, keys, head_dim).
            size: the layer's (H, W).
            bias: what the layer adds to its logits; see ``token_columns``.

        Raises:
            ProbeComplete: it was the last one wanted.
        """
        columns = token_columns(q, k, self._tokens, bias)
        self._maps[name] = columns.unflatten(-1, size)
        if name == self._wanted[-1]:
            raise ProbeComplete

    def token_maps(self) -> TokenMaps:
        """What was gathered, in running order."""
        return TokenMaps({name: self._maps[name] for name in self._wanted})


def halved(size: Sequence[int], level: int) -> tuple[int, int]:
    """(H, W) after ``level`` convolutions of stride 2, which round up."""
    height, width = (-(-side // 2**level) for side in size)
    return height, width
