"""Families of transformers: how they see text and image, each a row of a backend's table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import Any, TypeVar

from torch import Tensor, nn

from .attention_calls import Spans

Row = TypeVar("Row")

#: Parts of the sequence that a joint attention sees.
TEXT, IMAGE, REGISTERS, REFERENCES = "text", "image", "registers", "references"
#: In place of an order: the image's queries attend to keys of the text alone.
CROSS = ()


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

    @property
    def is_joint(self) -> bool:
        """Whether text and image attend to one another in one sequence."""
        return self.order != CROSS

    def spans(self, network: nn.Module, inputs: NetworkInputs, conditioning: int) -> Spans:
        """What is what in the attention calls of a forward.

        Args:
            conditioning: how many tokens the conditioning has.
        """
        size = self.size_in_tokens(network, inputs)
        tokens = math.prod(size)
        if not self.is_joint:
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


def latent_size(latent: Tensor) -> tuple[int, int, int]:
    """(frames, H, W) of a latent (batch, channels, H, W) or (batch, channels, frames, H, W)."""
    return size_of_shape(latent.shape)


def size_of_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """``latent_size`` of a latent of this shape."""
    height, width = shape[-2:]
    return (shape[2] if len(shape) == 5 else 1), height, width
