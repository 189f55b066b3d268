"""A network as steering reads it: a UNet, or a transformer whose family is a row of a backend's table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from .attention_calls import CallWatch, Projections, Reading, Spans, watching_calls, watching_projected
from .layers import AttentionLayer
from .probe import CallReader, MapCollector, reading_projections

Row = TypeVar("Row")

#: Parts of the sequence that a joint attention sees.
TEXT, IMAGE, REGISTERS, REFERENCES = "text", "image", "registers", "references"
#: In place of an order: the image's queries attend to keys of the text alone.
CROSS = ()


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

    def blocks_without(self, layer: str) -> list[nn.Module]:
        """See ``ReadableNetwork``."""
        return [block for block in self.blocks if not self._holds(block, layer)]

    def inputs_of_blocks(self, layer: str, inputs: NetworkInputs) -> list[int]:
        """See ``ReadableNetwork``."""
        last = next(number for number, block in enumerate(self.blocks) if self._holds(block, layer))
        cells = math.prod(inputs.size)
        return [block_width(block) * cells // 4**level for block, level in islice(self.blocks.items(), last + 1)]

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
class Blocks:
    """Blocks of a transformer, each with one attention to be read.

    Attributes:
        stage: what they are called in a layer's name, such as ``double``.
        path: of their list in the network; names of attributes with dots between.
        heads: path of the attribute in a block that has the number of its query heads.
        attention: of the module in a block in whose forward the call is; the block itself when empty.
    """

    stage: str
    path: str
    heads: str
    attention: str = ""


@dataclass(frozen=True)
class NetworkInputs:
    """What a forward of a network is given, as far as reading its attention asks.

    Attributes:
        size: (frames, H, W) of the latent.
        text: how many text tokens the attention sees; more than the conditioning's where the network pads.
        brought: see ``Spans``.
    """

    size: tuple[int, int, int]
    text: int
    brought: Callable[[], tuple[int, int]] | None = None


@dataclass(frozen=True)
class Family:
    """One row: how transformers of one kind see text and image.

    Attributes:
        name: what artists call them.
        networks: names of their classes; see the backend's table.
        blocks: in running order.
        patch: side of a token in cells of the latent, or the path of an attribute that holds it.
        order: of the parts of the sequence, or ``CROSS``.
        registers: how many tokens stand in the part of that name.
        multiple: number that text and image are each padded to a multiple of, or the path of an attribute that holds
            it.
        pads_left: text that is lengthened by the network gets its padding before it, not after it.
        changes_in_place: blocks add to their activations in place.
        text_in: path of the linear layer that the conditioning goes through first, whose width it must have.
        inputs: of the forward's arguments; the backend's own when not given.
    """

    name: str
    networks: tuple[str, ...]
    blocks: tuple[Blocks, ...]
    patch: str | int
    order: tuple[str, ...] = (TEXT, IMAGE)
    registers: int = 0
    multiple: str | int = 1
    pads_left: bool = False
    changes_in_place: bool = False
    text_in: str = ""
    inputs: Callable[[tuple[Any, ...], Mapping[str, Any]], NetworkInputs] | None = None

    def spans(self, network: nn.Module, inputs: NetworkInputs, conditioning: int) -> Spans:
        """What is what in the attention calls of a forward.

        Args:
            conditioning: how many tokens the conditioning has.
        """
        size = self.size_in_tokens(network, inputs)
        tokens = math.prod(size)
        if self.order == CROSS:
            return Spans(size, tokens, inputs.text, image=0, text=0, texts=inputs.text)
        multiple = self._number(network, self.multiple)
        lengths = {
            TEXT: math.ceil(inputs.text / multiple) * multiple,
            IMAGE: math.ceil(tokens / multiple) * multiple,
            REGISTERS: self.registers,
            REFERENCES: 0,
        }
        begins = dict(zip(self.order, accumulate((lengths[part] for part in self.order), initial=0)))
        whole = sum(lengths[part] for part in self.order)
        return Spans(
            size,
            queries=whole,
            keys=whole,
            image=begins[IMAGE],
            text=begins[TEXT],
            texts=lengths[TEXT],
            first=max(0, inputs.text - conditioning) if self.pads_left else 0,
            references=begins.get(REFERENCES),
            brought=inputs.brought,
        )

    def size_in_tokens(self, network: nn.Module, inputs: NetworkInputs) -> tuple[int, int, int]:
        """(frames, H, W) of the image in tokens."""
        frames, height, width = inputs.size
        patch = self.patch_of(network)
        return frames, math.ceil(height / patch), math.ceil(width / patch)

    def patch_of(self, network: nn.Module) -> int:
        """Side of a token in cells of the latent."""
        return self._number(network, self.patch)

    @staticmethod
    def _number(network: nn.Module, given: str | int) -> int:
        """The number itself, or the attribute of this path: the last one of several, 1 for none."""
        number = attrgetter(given)(network) if isinstance(given, str) else given
        return number[-1] if isinstance(number, (tuple, list)) else number or 1


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
        return [tokens * block_width(block) for block in islice(self.blocks.values(), last + 1)]

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


def row_of(kind: type, rows: Mapping[str, Row], name: Callable[[type], str]) -> Row | None:
    """The row of a class, or of the nearest one that it is derived from.

    Args:
        name: of a class, as the rows are named.
    """
    return next((rows[name(base)] for base in kind.__mro__ if name(base) in rows), None)


def family_of(network: nn.Module, families: Sequence[Family], name: Callable[[type], str]) -> Family | None:
    """The family of a network, if one of these describes it.

    Args:
        name: of a class, as the families name their networks.
    """
    return row_of(type(network), {kind: family for family in families for kind in family.networks}, name)


def uncompiled(network: nn.Module) -> nn.Module:
    """The module that ``torch.compile`` has wrapped, or the network itself."""
    return getattr(network, "_orig_mod", network)


def latent_size(latent: Tensor) -> tuple[int, int, int]:
    """(frames, H, W) of a latent (batch, channels, H, W) or (batch, channels, frames, H, W)."""
    return size_of_shape(latent.shape)


def size_of_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """``latent_size`` of a latent of this shape."""
    height, width = shape[-2:]
    return (shape[2] if len(shape) == 5 else 1), height, width


def block_width(block: nn.Module) -> int:
    """How many numbers a place of its input has: what most of its linear layers or convolutions take."""
    widths = [getattr(part, "in_features", None) or getattr(part, "in_channels", None) for part in block.modules()]
    return Counter(width for width in widths if width).most_common(1)[0][0]
