"""Blocks of a network that keep their inputs for the backward pass, and are run again there for all else.

What Chen et al. call checkpointing (arXiv 1604.06174). PyTorch's own (``torch.utils.checkpoint``) does not serve blocks
that add to their activations in place: what it has computed again it hands to backward as it is by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from .attributes import replaced
from .care import memory_is_short, ordinary_alias
from .networks import ReadableNetwork
from .probe import MapCollector

#: Makes the context in which a block is run again.
Around = Callable[[nn.Module], AbstractContextManager[Any]]


@contextmanager
def run_again(blocks: Iterable[nn.Module], around: Around, aside: MutableMapping[Any, Tensor]) -> Iterator[None]:
    """In this context, blocks through which a gradient is to pass keep no more than their inputs for it.

    Args:
        blocks: none within another. What else their forwards do than return something is done twice.
        around: within the context that it makes, their forward does the same as here.
        aside: where their forwards may put tensors through which a gradient is to pass as well.
    """
    with ExitStack() as running_again:
        for block in blocks:
            twice = partial(_forward, partial(around, block), aside, block.forward)
            running_again.enter_context(replaced(block, forward=twice))
        yield


@contextmanager
def reading_with_gradient(
    network: ReadableNetwork,
    collector: MapCollector,
    tokens: int,
    modules: Sequence[nn.Module],
    differentiable: Callable[[Sequence[nn.Module]], AbstractContextManager[None]],
) -> Iterator[None]:
    """In this context, a forward is read for a gradient; where memory is short its blocks are run again for that.

    Args:
        collector, tokens: see ``ReadableNetwork.reading``.
        modules: all of the network's.
        differentiable: the context in which such modules can be run for a gradient to the latent.
    """
    reading = network.reading(collector, tokens)
    # The block of the last layer ends in its middle, and keeps no more than it would when it is run again.
    run_twice = network.blocks_without(collector.request.layers[-1]) if memory_is_short() else []

    @contextmanager
    def again(block: nn.Module) -> Iterator[None]:
        with reading.again(block), differentiable(list(block.modules())):
            yield

    with reading, differentiable(modules), run_again(run_twice, again, collector.maps):
        yield


def _forward(
    around: Callable[[], AbstractContextManager[Any]],
    aside: MutableMapping[Any, Tensor],
    forward: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """A block's forward."""
    tensors, arguments = _taken_out((args, tuple(kwargs.values())))
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in tensors):
        return forward(*args, **kwargs)
    run = _Run(around, aside, forward, arguments, tuple(kwargs))
    outputs = _RunAgain.apply(run, *(ordinary_alias(one) if one.is_inference() else one for one in tensors))
    returned = len(outputs) - len(run.names_aside)
    aside.update(zip(run.names_aside, outputs[returned:]))
    return run.returned.holding(outputs[:returned])


@dataclass(frozen=True)
class _Parts:
    """What holds tensors, without them: autograd keeps those, and sees if one is changed in place.

    Attributes:
        leaves: parts of tuples and lists, none in the place of a tensor; a dictionary stays the one that it is.
        spec: how they are put together.
        places: of the tensors among the leaves.
    """

    leaves: Sequence[Any]
    spec: TreeSpec
    places: Sequence[int]

    def holding(self, tensors: Sequence[Tensor]) -> Any:
        """The same with these tensors in their places."""
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors):
            leaves[place] = tensor
        return tree_unflatten(leaves, self.spec)


def _taken_out(whole: Any) -> tuple[list[Tensor], _Parts]:
    """The tensors of something, and what is left of it."""
    leaves, spec = tree_flatten(whole, is_leaf=lambda part: isinstance(part, dict))
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    rest = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    return [leaves[place] for place in places], _Parts(rest, spec, places)


@dataclass
class _Run:
    """One call of a block.

    Attributes:
        around: makes the context in which it is run again.
        aside: see ``run_again``.
        arguments: without their tensors: those by position, and the values of those by name.
        names: of the latter.
        returned: what it returned, likewise.
        names_aside: of what it put aside.
    """

    around: Callable[[], AbstractContextManager[Any]]
    aside: MutableMapping[Any, Tensor]
    forward: Callable[..., Any]
    arguments: _Parts
    names: Sequence[str]
    returned: _Parts = field(init=False)
    names_aside: Sequence[Any] = field(init=False)

    def __call__(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Those that it returns, and then those that it puts aside, from copies, which it may change in place."""
        # Of an expanded one, which no operator changes in place, a copy can be far larger.
        copies = [tensor if 0 in tensor.stride() else tensor.clone() for tensor in tensors]
        args, values = self.arguments.holding(copies)
        before = dict(self.aside)
        outputs, self.returned = _taken_out(self.forward(*args, **dict(zip(self.names, values))))
        self.names_aside = [name for name, tensor in self.aside.items() if tensor is not before.get(name)]
        return outputs + [self.aside[name] for name in self.names_aside]


class _RunAgain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: _Run, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.run = run
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return tuple(ordinary_alias(output) for output in run(tensors))  # no views: the next block may change them

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[1:]
        inputs = [one.detach().requires_grad_(is_wanted) for one, is_wanted in zip(ctx.saved_tensors, wanted)]
        with ctx.run.around(), torch.enable_grad():
            outputs = ctx.run(inputs)
            followed = [(out, of) for out, of in zip(outputs, gradients) if of is not None and out.requires_grad]
            found = torch.autograd.grad(
                [output for output, _ in followed],
                [one for one, is_wanted in zip(inputs, wanted) if is_wanted],
                [gradient for _, gradient in followed],
                allow_unused=True,
            )
        products = iter(found)
        return None, *(next(products) if is_wanted else None for is_wanted in wanted)
