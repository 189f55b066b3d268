"""Looks by a sampler's own forwards: none is run besides where one has no part but the relations' conditioning.

With classifier-free guidance a forward has two parts, and to read both for a gradient would cost what a probe does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from comfy.model_base import BaseModel
from comfy.model_management import sage_attention_enabled
from comfy.patcher_extension import WrappersMP
from torch import Size, Tensor

from ...gradient import Probe
from ...random_state import keeping_random_state
from ...schedule import SamplingStep
from .conditions import Condition, acting_alone
from .probe import EASYCACHE, OVERRIDE
from .view import NetworkView

#: The key by which a model's wrappers are known as those of steering.
WRAPPER_KEY = "spatial_steering"
#: Options of a run by which others stand between a sampler and its network, and those by which they do within it.
_BETWEEN = ("context_handler", "multigpu_clones", "model_function_wrapper", "sampler_calc_cond_batch_function")
_WITHIN = (OVERRIDE, EASYCACHE, "patches", "patches_replace")
_WRAPPED = (WrappersMP.CALC_COND_BATCH, WrappersMP.APPLY_MODEL, WrappersMP.DIFFUSION_MODEL)

#: Is given a latent as the network receives it, and the probe of such a latent.
Look = Callable[[Tensor, Probe], None]


class _Pending(NamedTuple):
    """A look that the next forward in which nothing is bound is to serve.

    Attributes:
        look: takes it.
        shape: of the sampler's latent.
        tied: see ``NetworkView.acting``.
    """

    look: Look
    shape: Size
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
        """Whether the sampler's forward is what a probe's is, as far as that is known before it, and nothing is bound.

        So it is where nothing of others has to do with it, who may give the network a part of the latent at a time,
        leave layers out, or draw random numbers, and where attention is no rougher than PyTorch's, as a probe's is.

        Args:
            step: the steered one.
            condition: that acts in the forward.
            model_options: of the run.
        """
        # With a gradient the same kernels can round otherwise: a step of length zero must not change a bit.
        if not self._view.steering.schedule.size_at(step) > 0:
            return False
        if condition.get("control") is not None or "area" in condition or sage_attention_enabled():
            return False
        transformer_options = model_options.get("transformer_options", {})
        wrappers = transformer_options.get("wrappers", {})
        return not (
            any(model_options.get(name) for name in _BETWEEN)
            or any(transformer_options.get(name) for name in _WITHIN)
            or any(
                of_kind for kind in _WRAPPED for key, of_kind in wrappers.get(kind, {}).items() if key != WRAPPER_KEY
            )
        )

    @contextmanager
    def looking(
        self, look: Look, shape: Size, tied: tuple[Condition, int], otherwise: Callable[[], None]
    ) -> Iterator[None]:
        """In this context the first forward in which nothing is bound is looked at.

        Args:
            look: takes the look.
            shape: of the latent as a sampler holds it.
            tied: what acts in that forward; see ``NetworkView.acting``.
            otherwise: what to do afterwards where there was no such forward.
        """
        self._pending = _Pending(look, shape, tied)
        try:
            yield
        finally:
            missed, self._pending = self._pending, None
        if missed:
            otherwise()

    def look_apart(
        self, look: Look, x: Tensor, sigma: float, tied: tuple[Condition, int], options: dict[str, Any]
    ) -> None:
        """Look by a forward that is run for that alone.

        Args:
            look: takes the look.
            x: the latent as a sampler holds it, (batch, channels, H, W).
            sigma: noise level of x.
            tied: see ``NetworkView.acting``.
            options: of the run's model.
        """
        with keeping_random_state(x.device):
            look(*self._view.of(x, sigma, options, tied))

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
        plain = partial(executor, model, conds)
        if self._pending is None or self._pending.shape != x.shape:
            return plain(x, timestep, model_options)
        sigma, forwards = float(timestep[0]), self._view.forwards
        if forwards is not None and forwards.is_binding(sigma):
            return plain(x, timestep, model_options)
        (look, _, tied), self._pending = self._pending, None
        condition = tied[0]
        predicted: list[Tensor] = []

        def own(latent: Tensor, options: dict[str, Any]) -> None:
            predicted[:] = [one.detach().to(x.dtype) for one in plain(latent, timestep, options)]

        if acting_alone(conds, sigma) is condition:
            look(*self._view.of(x, sigma, model_options, tied, own))
        else:
            self.look_apart(look, x, sigma, tied, model_options)
        return predicted or plain(x, timestep, model_options)
