"""Looks by a sampler's own forwards: none is run besides where one has no part but the relations' conditioning.

With classifier-free guidance a forward has two parts, and to read both for a gradient would cost what a probe does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from comfy.model_base import BaseModel
from torch import Tensor

from ...gradient import Probe
from ...random_state import keeping_random_state
from ...schedule import SamplingStep
from ...token_maps import TokenMaps
from .conditions import Condition, acting_alone
from .noise import input_scale
from .probe import EASYCACHE, OVERRIDE, probe_own
from .view import NetworkView

#: Is given a latent as the network receives it, and the probe of such a latent.
Look = Callable[[Tensor, Probe], None]


class _Pending(NamedTuple):
    """A look that the next forward is to serve.

    Attributes:
        look: takes it.
        sigma: noise level of the latent, as the sampler counts it.
        tied: see ``NetworkView.acting``.
    """

    look: Look
    sigma: float
    tied: tuple[Condition, int]


class OwnForwards:
    """Stands between a guider that samples and its network; of one run.

    Args:
        view: of the run.
    """

    def __init__(self, view: NetworkView) -> None:
        self._view = view
        self._pending: _Pending | None = None

    def can_serve(self, step: SamplingStep, condition: Condition, model_options: Mapping[str, Any]) -> bool:
        """Whether the sampler's forward is what a probe's is, as far as that is known before it.

        A probe does without some of what a run can have, and attends by PyTorch's kernel.
        """
        # With a gradient the same kernels can round otherwise: a step of length zero must not change a bit.
        if self._view.forwards or not self._view.steering.schedule.size_at(step) > 0:
            return False
        transformer_options = model_options.get("transformer_options", {})
        patches = [patch for listed in transformer_options.get("patches", {}).values() for patch in listed]
        return not (
            {"area", "control"} & {name for name, value in condition.items() if value is not None}
            or {"context_handler", "multigpu_clones"} & model_options.keys()
            or {OVERRIDE, EASYCACHE} & transformer_options.keys()
            or any(isinstance(getattr(patch, "cache", None), dict) for patch in patches)
        )

    @contextmanager
    def looking(self, look: Look, sigma: float, tied: tuple[Condition, int]) -> Iterator[None]:
        """In this context the first forward is looked at, if there is one.

        Args:
            look: takes the look.
            sigma: noise level of the sampler's latent.
            tied: see ``NetworkView.acting``.
        """
        self._pending = _Pending(look, sigma, tied)
        try:
            yield
        finally:
            self._pending = None

    def calc_cond_batch(
        self,
        executor: Any,
        model: BaseModel,
        conds: Sequence[Sequence[Condition] | None],
        x: Tensor,
        timestep: Tensor,
        model_options: dict[str, Any],
    ) -> list[Tensor]:
        """Wrapper of ``calc_cond_batch``: what the model predicts under each list of conditionings."""
        pending, self._pending = self._pending, None
        if pending is None:
            return executor(model, conds, x, timestep, model_options)
        look, sigma, tied = pending
        condition, first = tied
        if acting_alone(conds, sigma) is not condition:
            with keeping_random_state(x.device):
                look(*self._view.of(x, sigma, model_options, tied))
            return executor(model, conds, x, timestep, model_options)
        predicted: list[list[Tensor]] = []
        guider, network = self._view.guider, self._view.network
        scale, request = input_scale(guider, sigma), self._view.steering.request.from_token(first)

        def forward(x: Tensor, options: dict[str, Any]) -> None:
            predicted.append(executor(model, conds, x, timestep, options))

        def probe(latent: Tensor) -> TokenMaps:
            return probe_own(forward, guider, condition, latent / scale, model_options, network, request)

        look(x * scale, probe)
        return predicted[-1] if predicted else executor(model, conds, x, timestep, model_options)
