"""Ways to run a probe whose plain run fails: they cost more, and bear more.

Each is a context for the probe's forward and its backward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from .changed_in_place import changes_in_place_allowed
from .out_of_memory import is_out_of_memory

T = TypeVar("T")

#: A probe's forward and backward run within what it returns.
Care = Callable[[], AbstractContextManager[Any]]

plain: Care = nullcontext


#: Activations may be changed in place after they were saved for backward.
mutable: Care = changes_in_place_allowed


class Watchful:
    """Nothing that a patch calls switches gradients off, and whether something tried is noticed.

    It costs up to a quarter of a small network's probe, so that the first probe of a run watches for the others.

    Attributes:
        usual: with what to go on if nothing tries.
        noticed: whether something tried so far.
    """

    def __init__(self, usual: Care = plain) -> None:
        self.usual = usual
        self.noticed = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """The context of one probe."""
        with self.usual(), _Watch(self):
            yield


@contextmanager
def tolerant() -> Iterator[None]:
    """Patches may change activations in place, bring tensors made in inference mode, and switch gradients off."""
    with changes_in_place_allowed(), _Differentiable():
        yield


def end_gradients() -> None:
    """Switch gradients off, also where something watches that nobody does."""
    with torch._C.DisableTorchFunction():
        torch._C._set_grad_enabled(False)


#: Whether memory has run out in this run of a sampler: what can be made again is not to be kept.
_is_short = ContextVar("is_short", default=False)


def memory_is_short() -> bool:
    """Whether a network's blocks are to be run again in the backward pass (``run_again``)."""
    return _is_short.get()


@contextmanager
def frugal() -> Iterator[None]:
    """As ``tolerant``, with blocks that are run again in the backward pass in place of keeping their activations."""
    before = _is_short.set(True)
    try:
        with tolerant():
            yield
    finally:
        _is_short.reset(before)


@contextmanager
def sparing() -> Iterator[None]:
    """As ``tolerant``, with what backward needs kept in main memory and not on the device.

    Copies of weights that were made for one layer, where any are kept, leave the device with the activations.
    """
    with saved_tensors_hooks(_to_main_memory, _to_its_device), _Differentiable():
        yield


def care_after_success(care: Care) -> Care:
    """With what to go on after a probe that went well."""
    return care.usual if isinstance(care, Watchful) and not care.noticed else care


def more_careful(care: Care, error: Exception) -> Care | None:
    """What to try after a probe has failed; none where nothing is left that could help."""
    if care is sparing:
        return None
    if care is frugal:  # what failed may also be a block that cannot be run twice
        return sparing
    if is_out_of_memory(error):
        return frugal
    return None if care is tolerant else tolerant


class Caution:
    """With what care the probes of one run are made: with more from the first failure on that more could help.

    Attributes:
        stops: exceptions by which the user ends a run, and against which no care helps.
        care: of the next probe.

    Args:
        usual: what suffices where nothing that a patch calls asks for more.
    """

    def __init__(self, usual: Care = plain, stops: Sequence[type[Exception]] = ()) -> None:
        self.stops = tuple(stops)
        self._usual = usual
        self.begin()

    def begin(self) -> None:
        """A new run: its first probe watches whether the usual care will do."""
        self.care: Care = Watchful(self._usual)

    def spare_memory(self) -> None:
        """For the rest of this run, blocks are run again in place of keeping what they computed."""
        self.care = frugal

    def tried(self, probe: Callable[[Care], T]) -> T:
        """What a probe gives, made again with more care where it fails; the rest of the run keeps that care.

        Raises:
            Exception: what the probe raised, if it is a stop or no care is left that could help.
        """
        while True:
            try:
                seen = probe(self.care)
                self.care = care_after_success(self.care)
                return seen
            except self.stops:
                raise
            except Exception as error:
                care = more_careful(self.care, error)
                if care is None:
                    raise
            # Not while the error is handled: it would hold on to the memory that its frames have taken.
            self.care = care


def ordinary_alias(tensor: Tensor) -> Tensor:
    """The same storage as a tensor that autograd takes; what is made in inference mode it does not."""
    with torch.inference_mode(False):
        alias = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        return alias.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.size(), tensor.stride())


class _GradientsStayOn(TorchFunctionMode):
    """No torch function is run without gradients."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch._C._set_grad_enabled and args == (False,):
            self.prevented()
            return None
        if torch.is_inference_mode_enabled():
            self.prevented()
            with torch.inference_mode(False), torch.enable_grad():
                return func(*args, **kwargs)
        return func(*args, **kwargs)

    def prevented(self) -> None:
        """Something tried to switch them off."""


class _Watch(_GradientsStayOn):
    """Tells a ``Watchful``."""

    def __init__(self, watchful: Watchful) -> None:
        super().__init__()
        self._watchful = watchful

    def prevented(self) -> None:
        self._watchful.noticed = True


class _Differentiable(_GradientsStayOn):
    """Every torch function gets ordinary tensors besides."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(Tensor, _made_ordinary, (args, kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)


def _made_ordinary(tensor: Tensor) -> Tensor:
    return ordinary_alias(tensor) if type(tensor) in (Tensor, nn.Parameter) and tensor.is_inference() else tensor


#: A device, the stretch of storage that a tensor spans, and its size and strides in there: kernels choose their ways
#: by the layout, which a compact copy would lose, and with it the same result to the bit.
_Kept = tuple[torch.device, Tensor, Sequence[int], Sequence[int]]


def _to_main_memory(tensor: Tensor) -> _Kept:
    size, strides = tensor.size(), tensor.stride()
    span = 1 + sum((length - 1) * stride for length, stride in zip(size, strides)) if tensor.numel() else 0
    # A copy even on the CPU: what is saved may be changed in place later on.
    return tensor.device, tensor.as_strided((span,), (1,)).to("cpu", copy=True), size, strides


def _to_its_device(kept: _Kept) -> Tensor:
    device, stretch, size, strides = kept
    return stretch.to(device).as_strided(size, strides)
