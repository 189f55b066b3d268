"""Activations that are changed in place after they were saved for backward, which is given them as they were.

PyTorch's ``allow_mutation_on_saved_tensors`` does not serve: it tells tensors apart by their addresses, and once one
was changed and let go, takes the next that lies there for it; and it does not see a change by a view that begins
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@contextmanager
def changes_in_place_allowed() -> Iterator[None]:
    """In this context, saved tensors may be changed in place: each is copied before its first change.

    Both the forward and the backward are to run in it.
    """
    unchanged = _Unchanged()
    with saved_tensors_hooks(unchanged.saved, _as_saved), _BeforeChanges(unchanged.about_to_change):
        yield


class _Saved:
    """A tensor as it is kept for backward: itself, and from its first change on a copy."""

    def __init__(self, tensor: Tensor) -> None:
        # By itself an output would hold the graph that holds it, for good where no backward comes to free it.
        self.tensor = tensor.detach()


def _as_saved(saved: _Saved) -> Tensor:
    return saved.tensor


class _Unchanged:
    """The saved tensors that share their memory with what may still be changed.

    Each of them keeps its storage alive, so that no other can have that one's address.
    """

    def __init__(self) -> None:
        #: By storage, and there by where and how a tensor lies in it.
        self._saved: dict[int, MutableMapping[Any, _Saved]] = {}

    def saved(self, tensor: Tensor) -> _Saved:
        """A tensor that is saved."""
        where = (tensor.storage_offset(), tensor.size(), tensor.stride())
        layout = (*where, tensor.dtype, tensor.is_conj(), tensor.is_neg(), type(tensor))
        in_storage = self._saved.setdefault(_storage_of(tensor), WeakValueDictionary())
        return in_storage.setdefault(layout, _Saved(tensor))

    def about_to_change(self, tensor: Tensor) -> None:
        """What is saved of a tensor's memory is copied."""
        for saved in self._saved.pop(_storage_of(tensor), {}).values():
            saved.tensor = saved.tensor.clone()


def _storage_of(tensor: Tensor) -> int:
    """Address of the object that a tensor shares with its views, not of its memory, of which some have none."""
    return tensor.untyped_storage()._cdata


class _BeforeChanges(TorchDispatchMode):
    """Tells of each tensor that an operator is going to write into."""

    def __init__(self, tell: Callable[[Tensor], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for index, argument in enumerate(func._schema.arguments):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    written = args[index] if index < len(args) else kwargs.get(argument.name)
                    for tensor in tree_leaves(written):
                        if isinstance(tensor, Tensor):
                            self._tell(tensor)
        return func(*args, **kwargs)
