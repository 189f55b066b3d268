"""Where a network attends, and what watches it there: which call, which part of it is text and which is image.

A network of cross-attention (a UNet) is watched where its layers project queries and keys, whatever attends to them
afterwards. A transformer norms and rotates them after that, so it is watched at the call of PyTorch's attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Projections:
    """Where one cross-attention layer makes its queries and keys.

    Attributes:
        image: the module around it that is given the features as an image, (batch, channels, H, W).
        attention: the layer; its forward may be passed by.
        q, k: whose outputs are the queries and the keys, (batch, length, heads·head_dim) or with the heads apart.
            Values may follow on the keys.
        bias: of the inputs of the layer's forward what it adds to its logits, if anything.
        heads: how many.
    """

    image: nn.Module
    attention: nn.Module
    q: nn.Module
    k: nn.Module
    heads: int
    bias: Callable[[Mapping[str, Any]], Tensor | None] = lambda inputs: None


class Reading:
    """A context in which a forward of a network shows its attention; in ``again`` a block of it is run by itself.

    What reads remembers what the forward was given. The context is entered again only after it was left.

    Args:
        hook: hangs on the network what reads, for as long as a stack is open.
        begin: is told of a block that is run by itself.
    """

    def __init__(
        self, hook: Callable[[ExitStack], None], begin: Callable[[nn.Module], None] = lambda block: None
    ) -> None:
        self._hook, self._begin = hook, begin
        self._hooks = ExitStack()

    def __enter__(self) -> None:
        with ExitStack() as hooks:
            self._hook(hooks)
            self._hooks = hooks.pop_all()

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    @contextmanager
    def again(self, block: nn.Module) -> Iterator[None]:
        """The context for the forward of one block, by itself."""
        with self:
            self._begin(block)
            yield


class SeenSize:
    """Hooks of a layer of cross-attention, which see how large the image is there.

    Attributes:
        size: (H, W), of the last image.
    """

    size: Sequence[int] = ()

    def see_image(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Before the forward of ``Projections.image``."""
        self.size = args[0].shape[-2:]


@dataclass(frozen=True)
class Spans:
    """What is what in the attention calls of one forward of a transformer.

    Attributes:
        size: (frames, H, W) of the image in tokens.
        queries, keys: how many a call to be read has, tokens of reference pictures left out.
        image: number of the image's first query.
        text: number of the text's first key.
        texts: how many keys the text has.
        first: where the conditioning begins in the text.
        references: where tokens of reference pictures stand, if there are any; none where there can be none.
        brought: tells, when a call is read, how many tokens others have put before the text, and how many after it.
    """

    size: tuple[int, int, int]
    queries: int
    keys: int
    image: int
    text: int
    texts: int
    first: int = 0
    references: int | None = None
    brought: Callable[[], tuple[int, int]] | None = None

    @property
    def is_joint(self) -> bool:
        """Whether text and registers attend too, not the image alone."""
        return self.queries > prod(self.size)

    def in_call(self, q: Tensor, k: Tensor) -> Spans | None:
        """The spans with all that stands in one call of (batch, heads, length, head_dim).

        Returns:
            None where it is no call to be read, but a refiner's or a second attention of the image alone.

        Raises:
            RuntimeError: it cannot be told where the text is.
        """
        if self.brought is not None:
            return self._beside(*self.brought()).in_call(q, k)
        queries, keys = q.shape[-2], k.shape[-2]
        if (queries, keys) == (self.queries, self.keys):
            return self
        more = queries - self.queries
        if self.references is None or more < 0 or keys - self.keys != more:
            return None
        image, text = (begin + more if begin >= self.references else begin for begin in (self.image, self.text))
        return replace(self, queries=queries, keys=keys, image=image, text=text)

    def _beside(self, before: int, after: int) -> Spans:
        """The spans with so many tokens more before and after the text."""
        more = before + after
        image = self.image + (more if self.image > self.text else 0)
        references = self.references
        if references is not None and references > self.text:
            references += more
        return replace(
            self,
            queries=self.queries + (more if self.is_joint else 0),
            keys=self.keys + more,
            image=image,
            text=self.text + before,
            references=references,
            brought=None,
        )


class CallWatch(TorchFunctionMode):
    """Sees the calls of PyTorch's attention that are a layer's own; in ``attend`` it may do them in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self._spans: Spans | None = None
        self._layer: str | None = None

    def begin(self, spans: Callable[[], Spans | None]) -> None:
        """The calls that follow are of such spans: those of a forward, or of a layer."""
        self._spans = spans()

    def enter(self, layer: str | None) -> None:
        """The next call that fits is this layer's, or no wanted one's."""
        self._layer = layer

    def attend(self, *args: Any, **kwargs: Any) -> Tensor:
        """What comes of a call of PyTorch's attention within a layer, which may be the layer's own."""
        raise NotImplementedError

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention and self._layer is not None:
            return self.attend(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _own(self, query: Tensor, key: Tensor) -> tuple[str, Spans] | None:
        """The layer and its spans, if this call is its own; the next one is not."""
        spans, layer = self._spans and self._spans.in_call(query, key), self._layer
        if spans is None or layer is None:
            return None
        self._layer = None
        return layer, spans


def watching_calls(
    network: nn.Module,
    layers: Mapping[str, nn.Module],
    spans: Callable[[tuple[Any, ...], dict[str, Any]], Spans],
    watch: CallWatch,
) -> Reading:
    """Within this context, a watch sees the attention of a transformer's layers.

    Args:
        network: whose forward is watched.
        layers: the module by each wanted layer's name, in whose forward the call is.
        spans: of the inputs of the network's forward.
    """

    def hook(hooks: ExitStack) -> None:
        hooks.enter_context(
            network.register_forward_pre_hook(
                lambda module, args, kwargs: watch.begin(partial(spans, args, kwargs)), with_kwargs=True
            )
        )
        for name, module in layers.items():
            hooks.enter_context(module.register_forward_pre_hook(lambda *_, name=name: watch.enter(name)))
            hooks.enter_context(module.register_forward_hook(lambda *_: watch.enter(None)))
        hooks.enter_context(watch)

    names = {module: name for name, module in layers.items()}
    return Reading(hook, lambda block: watch.enter(names.get(block)))


@contextmanager
def watching_projected(layers: Mapping[str, Projections], watch: CallWatch) -> Iterator[None]:
    """Within this context, a watch sees the cross-attention of a UNet's layers."""
    with ExitStack() as hooks:
        for name, layer in layers.items():
            announcer = _CallAnnouncer(name, watch)
            hooks.enter_context(layer.image.register_forward_pre_hook(announcer.see_image))
            hooks.enter_context(layer.k.register_forward_hook(announcer.see_keys))
        hooks.enter_context(watch)
        yield


class _CallAnnouncer(SeenSize):
    """Hooks of one layer of cross-attention, which say that its call follows."""

    def __init__(self, name: str, watch: CallWatch) -> None:
        self._name, self._watch = name, watch

    def see_keys(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        height, width = self.size
        keys = output.shape[-2]
        spans = Spans((1, height, width), queries=height * width, keys=keys, image=0, text=0, texts=keys)
        self._watch.begin(lambda: spans)
        self._watch.enter(self._name)


def as_bias(mask: Tensor) -> Tensor:
    """What a mask adds to the logits."""
    if mask.dtype != torch.bool:
        return mask
    return mask.new_zeros(mask.shape, dtype=torch.float32).masked_fill(~mask, float("-inf"))
