"""What steering sees of a sampler: its latents as the network receives them, and their token maps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.samplers
from torch import Tensor

from ...networks import ReadableNetwork
from ...steering import Steering
from ...token_maps import TokenMaps
from .binding import BoundForwards
from .conditions import Condition, acting
from .noise import input_scale
from .probe import Forward, probe_model


@dataclass(frozen=True)
class NetworkView:
    """The view of one run.

    Attributes:
        steering: tied to the network.
        network: of the guider's model.
        guider: while it samples.
        forwards: binds objects to their regions in the run's forwards, a probe's excepted; none where nothing is bound.
    """

    steering: Steering
    network: ReadableNetwork
    guider: comfy.samplers.CFGGuider
    forwards: BoundForwards | None

    def acting(self, sigma: float, step: int) -> tuple[Condition, int] | None:
        """The conditioning to probe with, and where the relations' tokens begin in it; none leaves the step out."""
        tied = acting(self.guider.conds, sigma)
        if tied is None:
            self.steering.notes.leave_out(step, "the conditioning of the relations does not act at this step")
        return tied

    def of(
        self,
        x: Tensor,
        sigma: float,
        model_options: dict[str, Any],
        tied: tuple[Condition, int],
        own: Forward | None = None,
    ) -> tuple[Tensor, Callable[[Tensor], TokenMaps]]:
        """The latent as the network receives it, and the probe of such a latent.

        Args:
            x: latent as a sampler holds it, (batch, channels, H, W).
            sigma: noise level of x.
            tied: what ``acting`` gives.
            own: see ``probe_model``.
        """
        scale = input_scale(self.guider, sigma)
        condition, first = tied
        request = self.steering.request.from_token(first)

        def probe(latent: Tensor) -> TokenMaps:
            comfy.model_management.throw_exception_if_processing_interrupted()
            with self.forwards.paused() if self.forwards else nullcontext():
                return probe_model(
                    self.guider, condition, latent / scale, sigma, model_options, self.network, request, own
                )

        return x * scale, probe
