"""What a scheduler of the diffusers library tells of a step: how noisy it is, and where a shift has to go.

A network's input is z = alpha·x0 + sigma·epsilon: with alpha² + sigma² = 1 on a diffusion schedule, with
alpha + sigma = 1 on a flow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DPMSolverSinglestepScheduler, PNDMScheduler, SchedulerMixin
from torch import Tensor

from ...bends import LEAST_ALPHA, bounded_shift
from ...schedule import is_integral

#: How a prediction follows a shift of d = (x - x0)/sigma, x = z/alpha on a diffusion schedule and z on a flow, at a
#: fixed z (Salimans and Ho 2022, section 4). Each moves the clean image by the same, and is bounded where alpha
#: vanishes.
_PREDICTION_PER_NOISE = {
    "epsilon": lambda alpha, sigma: bounded_shift(alpha),
    "v_prediction": lambda alpha, sigma: 1 / max(alpha, LEAST_ALPHA),
    "sample": lambda alpha, sigma: -sigma / max(alpha, LEAST_ALPHA),
    "flow_prediction": lambda alpha, sigma: 1.0,
}

#: Some schedulers hold their times in single precision, and some come to one twice.
_SAME_TIME = 1e-3


@dataclass(frozen=True)
class StepLevel:
    """Of the network's input at one step.

    Attributes:
        alpha, sigma: see above; both in [0, 1].
        progress: share of the diffusion time that is done.
    """

    alpha: float
    sigma: float
    progress: float


def check_scheduler(scheduler: SchedulerMixin) -> None:
    """Refuse a scheduler whose noise levels are unknown.

    Raises:
        ValueError: names the scheduler and what was expected.
    """
    name = type(scheduler).__name__
    if not is_flow(scheduler) and not hasattr(scheduler, "alphas_cumprod"):
        raise ValueError(
            f"{name} has no alphas_cumprod and is none of a flow, so the noise level of a step is unknown. Use a "
            f"scheduler for noise-prediction models, such as DDIM, Euler or DPM-Solver++, or for flows, such as "
            f"FlowMatchEulerDiscreteScheduler, whichever the network was trained for."
        )
    if (predicted := predicted_by(scheduler)) not in _PREDICTION_PER_NOISE:
        raise ValueError(
            f"{name} is set to the prediction type {predicted}. Set it to one of {', '.join(_PREDICTION_PER_NOISE)}, "
            f"whichever the network was trained for."
        )
    if scheduler.config.get("invert_sigmas", False):
        raise ValueError(f"{name} is set to invert_sigmas, so that noise grows from step to step. Set it to False.")
    if scheduler.config.get("timestep_type", "discrete") != "discrete":
        raise ValueError(
            f"{name} is set to the timestep type {scheduler.config.timestep_type}, whose times tell no place in "
            f"alphas_cumprod. Set it to discrete, if the network was trained for that."
        )


def check_steps(scheduler: SchedulerMixin, steps: int) -> None:
    """Refuse no steps, parts of one, and so many that a diffusion schedule would begin beyond the noise that it has.

    Raises:
        ValueError: names the number and the scheduler.
    """
    if steps < 1 or not is_integral(steps):
        raise ValueError(f"steps: 1 or more, in whole numbers, were expected, not {steps}.")
    if is_flow(scheduler):
        return
    trial = type(scheduler).from_config(scheduler.config)
    trial.set_timesteps(steps)
    last = len(scheduler.alphas_cumprod) - 1
    if trial.timesteps.max() > last:
        raise ValueError(
            f"steps: {steps} are too many for {type(scheduler).__name__}, which would begin at the time "
            f"{trial.timesteps.max():g} of a schedule that ends at {last}. Take fewer."
        )


def is_flow(scheduler: SchedulerMixin) -> bool:
    """Whether its steps go along a flow."""
    is_one = type(scheduler).__name__.startswith("FlowMatch")
    return is_one or bool(getattr(scheduler.config, "use_flow_sigmas", False))


def predicted_by(scheduler: SchedulerMixin) -> str:
    """What the network predicts, as the scheduler takes it."""
    return "flow_prediction" if is_flow(scheduler) else scheduler.config.prediction_type


def noise_level(scheduler: SchedulerMixin, timestep: Tensor | float) -> StepLevel:
    """Of the step that the scheduler takes next.

    Args:
        timestep: that the network is given, also between trained ones; a flow's scheduler tells its noise by itself.
    """
    if is_flow(scheduler):
        index = scheduler.step_index or scheduler.begin_index or 0
        sigma = float(scheduler.sigmas[index])
        # Pipelines divide the time evenly; where a schedule is shifted, sigma is no measure of it.
        return StepLevel(1 - sigma, sigma, index / (len(scheduler.sigmas) - 1))
    power = _signal_power(scheduler, float(timestep))
    progress = 1 - float(timestep) / (scheduler.config.num_train_timesteps - 1)
    return StepLevel(power**0.5, (1 - power) ** 0.5, progress)


def noise_shares(scheduler: SchedulerMixin, steps: int) -> list[float]:
    """Share of noise in the network's input before each step of a run: sigma/(alpha + sigma), in [0, 1].

    Args:
        scheduler: before its first step.
        steps: of the run, the last ones of the scheduler.
    """
    if is_flow(scheduler):
        return scheduler.sigmas[:-1].tolist()[-steps:]
    levels = (noise_level(scheduler, time) for time in scheduler.timesteps.tolist()[-steps:])
    return [level.sigma / (level.alpha + level.sigma) for level in levels]


def removed_share(scheduler: SchedulerMixin, timestep: Tensor | float) -> float:
    """Of its noise, what the step takes away that the scheduler takes next: in (0, 1].

    In units of the image: of sigma/alpha on a diffusion schedule, of sigma on a flow.

    Args:
        timestep: see ``noise_level``.
    """
    if is_flow(scheduler):
        now, *later = scheduler.sigmas[scheduler.step_index or scheduler.begin_index or 0 :].tolist()
        return 1 - max((sigma for sigma in later if sigma < now), default=0.0) / now
    time = float(timestep)
    now = _noise_per_signal(_signal_power(scheduler, time))
    later = [one for one in scheduler.timesteps.tolist() if one < time - _SAME_TIME]
    left = _noise_per_signal(_signal_power(scheduler, max(later))) if later else 0.0
    return 1.0 if math.isinf(now) else 1 - left / now


def _signal_power(scheduler: SchedulerMixin, time: float) -> float:
    """alpha² at a time, which may lie between trained ones."""
    products = scheduler.alphas_cumprod.double().cpu()
    within = min(max(time, 0.0), len(products) - 1.0)
    low = int(within)
    high = min(low + 1, len(products) - 1)
    return torch.lerp(products[low], products[high], within - low).item()


def _noise_per_signal(power: float) -> float:
    """sigma/alpha of alpha²."""
    return ((1 - power) / power) ** 0.5 if power > 0 else math.inf


def prediction_per_noise(scheduler: SchedulerMixin, level: StepLevel) -> float:
    """What a shift of the noise is multiplied with to become one of the prediction."""
    return _PREDICTION_PER_NOISE[predicted_by(scheduler)](level.alpha, level.sigma)


def keeps_moved_latent(scheduler: SchedulerMixin) -> bool:
    """Whether the scheduler goes on from the latent it is given, not from one it kept.

    The later evaluations of Heun, KDPM2, the SDE and the singlestep solver, and of PNDM's Runge-Kutta and first
    steps, are corrections on a latent of the scheduler's own.
    """
    if isinstance(scheduler, PNDMScheduler):
        runge_kutta = not scheduler.config.skip_prk_steps and scheduler.counter < len(scheduler.prk_timesteps)
        return scheduler.counter % 4 == 0 if runge_kutta else scheduler.counter != 1
    if isinstance(scheduler, DPMSolverSinglestepScheduler):
        return scheduler.order_list[scheduler.step_index or 0] == 1
    return getattr(scheduler, "state_in_first_order", True)


def keeps_every_moved_latent(scheduler: SchedulerMixin) -> bool:
    """Whether that is so in all of its evaluations: see ``keeps_moved_latent``."""
    corrects = isinstance(scheduler, (PNDMScheduler, DPMSolverSinglestepScheduler))
    return not corrects and getattr(scheduler, "order", 1) == 1


def moved_sample(scheduler: SchedulerMixin, sample: Tensor, timestep: Tensor, shift: Tensor) -> Tensor:
    """The scheduler's own latent, for a step from where the network's input was moved to.

    Args:
        shift: of the network's input.
    """
    if hasattr(scheduler, "last_sample"):
        # A corrector (UniPC, SA-Solver) would start again from the latent before the move.
        scheduler.last_sample = None
    return sample + shift / _input_scale(scheduler, sample, timestep)


def _input_scale(scheduler: Any, sample: Tensor, timestep: Tensor) -> Tensor | float:
    """What the network is given of a latent of 1; flows have no such scale."""
    if not hasattr(scheduler, "scale_model_input"):
        return 1.0
    one = torch.ones_like(sample.flatten()[:1]).view([1] * sample.dim())
    return scheduler.scale_model_input(one, timestep)
