"""Objects bound to their regions in the forwards of ComfyUI's samplers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import comfy.samplers
from torch import Tensor

from ...binding import Binding, BoundText
from ...networks import ReadableNetwork
from ...process_wide import uncompiled_forwards
from ...steering import Steering
from .brought import counting_tokens
from .conditions import tied_conditions
from .noise import FollowedSteps
from .probe import OVERRIDE, attending_by_pytorch, choosing_pytorch


class BoundForwards:
    """Stands between a guider that samples and its network; of one run.

    Only conditionings of the relations are bound, each part of a batch by itself, and of these not one for an area,
    where regions of the whole picture mean nothing.

    Args:
        followed: tells the sampling step of a forward.
        steps: in how many first steps objects are bound.
    """

    def __init__(
        self,
        steering: Steering,
        network: ReadableNetwork,
        guider: comfy.samplers.CFGGuider,
        followed: FollowedSteps,
        steps: int,
    ) -> None:
        self._steering, self._guider, self._followed, self._steps = steering, guider, followed, steps
        self._binding = Binding(network, steering.regions.of_objects)
        self._is_paused = False

    def go_on_from(self, step: int) -> None:
        """What comes next is sampled from this step on, counted from 0."""
        self._followed.go_on_from(step)

    def is_binding(self, sigma: float) -> bool:
        """Whether objects are bound in a forward of this noise level; of forwards in their order."""
        return self._followed.at(sigma) < self._steps

    @contextmanager
    def paused(self) -> Iterator[None]:
        """In this context nothing is bound."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    def apply_model(
        self,
        executor: Any,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Wrapper of ``BaseModel.apply_model``: one forward for a batch of conditionings."""
        options, step = transformer_options or {}, self._followed.at(float(t[0]))
        is_due = step < self._steps and not self._is_paused
        window = options.get("context_window")
        if is_due and window is not None and getattr(window, "dim", None) != 0:  # of a batch all pictures are whole
            is_due = False
            self._steering.notes.took_bound(step, "the picture is sampled in windows")
        parts = self._parts(options.get("uuids", ()), c_crossattn, step) if is_due else []
        if not any(parts):
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)
        network = self._guider.inner_model.diffusion_model
        bound_options = {**counting_tokens(options), OVERRIDE: choosing_pytorch(options.get(OVERRIDE))}
        with (
            self._binding.bound(parts),
            attending_by_pytorch(network),
            uncompiled_forwards(),
        ):
            predicted = executor(x, t, c_concat, c_crossattn, control, bound_options, **kwargs)
        self._steering.notes.took_bound(step, self._binding.reason)
        return predicted

    def _parts(self, uuids: Sequence[Any], context: Tensor | None, step: int) -> list[BoundText | None]:
        """Of each part of a batch the prompt that is bound, by the names of its conditionings.

        Args:
            context: what the network is given of their tokens, (batch, tokens, width).
        """
        bound = {}
        for condition, first in tied_conditions(self._guider.conds):
            if condition["uuid"] not in uuids:
                continue
            if "area" in condition:
                self._steering.notes.took_bound(step, "the conditioning of the relations is for an area of the picture")
            else:
                bound[condition["uuid"]] = self._text(condition["cross_attn"].shape[1], first, context)
        return [bound.get(uuid) for uuid in uuids]

    def _text(self, length: int, first: int, context: Tensor | None) -> BoundText:
        """Of a conditioning of so many tokens, the first of the relations' among them.

        ComfyUI gives it several times over where others in its batch are as many times longer.
        """
        given = length if context is None else context.shape[1]
        times = given // length if given % length == 0 else 1
        begins = [first + length * time for time in range(times)]
        tokens = [tuple(begin + i for begin in begins for i in indices) for indices in self._steering.scene.tokens]
        return BoundText(tuple(tokens), length * times)
