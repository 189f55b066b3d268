"""A network as steering reads it: a UNet, or a transformer of one of the families."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any, Protocol

from torch import nn

from .attention_calls import CallWatch, Projections, Reading, Spans, watching_calls, watching_projected
from .families import Family, NetworkInputs
from .layers import AttentionLayer
from .probe import CallReader, MapCollector, reading_projections


class ReadableNetwork(Protocol):
    """A network whose attention can be read."""

    @property
    def layers(self) -> tuple[AttentionLayer, ...]:
        """In running order."""

    @property
    def changes_in_place(self) -> bool:
        """Whether its blocks add to their activations in place."""

    @property
    def spreads(self) -> bool:
        """Whether moves are better spread over more of few steps (``SteeringSchedule.spread``)."""

    @property
    def is_joint(self) -> bool:
        """Whether text and image attend to one another in one sequence."""

    @property
    def text_width(self) -> int | None:
        """How many numbers a token's vector has that it reads; none where that is not known."""

    def blocks_without(self, layer: str) -> list[nn.Module]:
        """Its blocks but the one that holds this layer."""

    def inputs_of_blocks(self, layer: str, inputs: NetworkInputs) -> list[int]:
        """How many numbers the input of each block has up to the one that holds this layer, for one picture."""

    def reading(self, collector: MapCollector, tokens: int) -> Reading:
        """Within this context, a forward of the network shows the layers that a collector wants to it.

        Args:
            tokens: how many the conditioning has that the forward is given.
        """

    def watching(self, wanted: Sequence[str], watch: CallWatch, tokens: int) -> AbstractContextManager[None]:
        """Within this context, the watch sees the calls of PyTorch's attention in a forward's wanted layers.

        Args:
            tokens: as for ``reading``.
        """

    def spans(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], tokens: int) -> Spans | None:
        """What is what in the attention calls of a forward with these arguments; none where layers tell it one by one.

        Args:
            tokens: as for ``reading``.
        """


@dataclass(frozen=True)
class UNet:
    """A ``ReadableNetwork`` of cross-attention.

    Attributes:
        projections: by the layer's name.
        blocks: residual ones and those of transformers, in running order, with how often the latent was halved where
            they run.
    """

    layers: tuple[AttentionLayer, ...]
    projections: Mapping[str, Projections]
    blocks: Mapping[nn.Module, int]
    text_width: int | None = None
    changes_in_place: bool = False
    spreads: bool = False
    is_joint: bool = False

    def blocks_without(self, layer: str) -> list[nn.Module]:
        """See ``ReadableNetwork``."""
        return [block for block in self.blocks if not self._holds(block, layer)]

    def inputs_of_blocks(self, layer: str, inputs: NetworkInputs) -> list[int]:
        """See ``ReadableNetwork``."""
        last = next(number for number, block in enumerate(self.blocks) if self._holds(block, layer))
        cells = math.prod(inputs.size)
        return [_block_width(block) * cells // 4**level for block, level in islice(self.blocks.items(), last + 1)]

    def _holds(self, block: nn.Module, layer: str) -> bool:
        return self.projections[layer].attention in block.modules()

    def reading(self, collector: MapCollector, tokens: int) -> Reading:
        """See ``ReadableNetwork``."""
        return reading_projections({name: self.projections[name] for name in collector.request.layers}, collector)

    def watching(self, wanted: Sequence[str], watch: CallWatch, tokens: int) -> AbstractContextManager[None]:
        """See ``ReadableNetwork``."""
        return watching_projected({name: self.projections[name] for name in wanted}, watch)

    def spans(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], tokens: int) -> None:
        """See ``ReadableNetwork``: each layer has a size of its own."""


@dataclass(frozen=True)
class Transformer:
    """A ``ReadableNetwork`` of one of the families.

    Attributes:
        modules: by the layer's name the module in whose forward its call is.
        blocks: by the layer's name the block that it is in.
        inputs: of the arguments of the network's forward.
    """

    network: nn.Module
    family: Family
    layers: tuple[AttentionLayer, ...]
    modules: Mapping[str, nn.Module]
    blocks: Mapping[str, nn.Module]
    inputs: Callable[[tuple[Any, ...], Mapping[str, Any]], NetworkInputs]
    spreads: bool = True

    @classmethod
    def of(
        cls,
        network: nn.Module,
        family: Family,
        inputs: Callable[[tuple[Any, ...], Mapping[str, Any]], NetworkInputs],
    ) -> Transformer:
        """The network with its layers.

        Args:
            inputs: of the arguments of its forward, where the family has no reading of its own.
        """
        level = family.patch_of(network).bit_length() - 1
        layers, modules, whole = [], {}, {}
        for blocks in family.blocks:
            for number, block in enumerate(attrgetter(blocks.path)(network)):
                layer = AttentionLayer(blocks.stage, number, level, attrgetter(blocks.heads)(block))
                layers.append(layer)
                whole[layer.name] = block
                modules[layer.name] = attrgetter(blocks.attention)(block) if blocks.attention else block
        return cls(network, family, tuple(layers), modules, whole, family.inputs or inputs)

    @property
    def changes_in_place(self) -> bool:
        """See ``ReadableNetwork``."""
        return self.family.changes_in_place

    @property
    def is_joint(self) -> bool:
        """See ``ReadableNetwork``."""
        return self.family.is_joint

    @property
    def text_width(self) -> int | None:
        """See ``ReadableNetwork``."""
        text_in = self.network.get_submodule(self.family.text_in) if self.family.text_in else None
        return getattr(text_in, "in_features", None)

    def size_in_tokens(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, int, int]:
        """(frames, H, W) of the image in tokens, of the arguments of the network's forward."""
        return self.family.size_in_tokens(self.network, self.inputs(args, kwargs))

    def blocks_without(self, layer: str) -> list[nn.Module]:
        """See ``ReadableNetwork``."""
        return [block for name, block in self.blocks.items() if name != layer]

    def inputs_of_blocks(self, layer: str, inputs: NetworkInputs) -> list[int]:
        """See ``ReadableNetwork``."""
        tokens = self.family.spans(self.network, inputs, inputs.text).queries
        last = list(self.blocks).index(layer)
        return [tokens * _block_width(block) for block in islice(self.blocks.values(), last + 1)]

    def reading(self, collector: MapCollector, tokens: int) -> Reading:
        """See ``ReadableNetwork``."""
        return self.watching(collector.request.layers, CallReader(collector), tokens)

    def watching(self, wanted: Sequence[str], watch: CallWatch, tokens: int) -> Reading:
        """See ``ReadableNetwork``."""
        modules = {name: self.modules[name] for name in wanted}
        return watching_calls(self.network, modules, partial(self.spans, tokens=tokens), watch)

    def spans(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], tokens: int) -> Spans:
        """See ``ReadableNetwork``."""
        return self.family.spans(self.network, self.inputs(args, kwargs), tokens)


def uncompiled(network: nn.Module) -> nn.Module:
    """The module that ``torch.compile`` has wrapped, or the network itself."""
    return getattr(network, "_orig_mod", network)


def _block_width(block: nn.Module) -> int:
    """How many numbers a place of its input has: what most of its linear layers or convolutions take."""
    widths = [getattr(part, "in_features", None) or getattr(part, "in_channels", None) for part in block.modules()]
    return Counter(width for width in widths if width).most_common(1)[0][0]
