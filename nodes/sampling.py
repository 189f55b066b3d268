"""Sampling with steering: any sampler node by a steered model, or one node for all."""

from __future__ import annotations

import comfy.samplers
from comfy_api.latest import io

from nodes import common_ksampler

from ..steering_core.backends.comfyui.conditions import CARRIED
from ..steering_core.backends.comfyui.miniature import is_miniature
from ..steering_core.backends.comfyui.sampling import steer_model
from ..steering_core.losses import CentroidLoss, SteeringLoss
from ..steering_core.miniature.look import look_at
from ..steering_core.report.log import RunLog
from ..steering_core.schedule import SteeringSchedule
from ..steering_core.steering import Steering
from ..steering_core.tokens import GroundedScene
from .live import LiveView
from .ranges import in_ranges
from .schedule import UPDATES, check_window, order_input, read_update, update_input, window_inputs
from .types import CATEGORY, Loss, Relations, Schedule, Trace, complaint


class ApplySpatialSteering(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringApplySpatialSteering",
            display_name="Apply Spatial Steering",
            category=CATEGORY,
            search_aliases=["steer model", "patch model", "spatial", "placement", "composition", "sampler custom"],
            description=(
                "Gives a model with which every sampler node makes the relations come true: KSampler, KSampler "
                "(Advanced), SamplerCustom, SamplerCustomAdvanced, and those of other packs."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model that is to draw. It is not changed."),
                _relations_input(),
                _loss_input(),
                Schedule.Input(
                    "steering_schedule",
                    optional=True,
                    tooltip="When and how strongly to steer: from Steering Schedule. Without it: balanced.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="For the model input of a sampler or guider."),
                Trace.Output(
                    display_name="steering_trace", tooltip="For Token Map Preview and Steering Report, after sampling."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        relations: GroundedScene | None = None,
        steering_loss: SteeringLoss | None = None,
        steering_schedule: SteeringSchedule | None = None,
    ) -> io.NodeOutput:
        """Steer a clone of the model."""
        return io.NodeOutput(*steered(model, relations, steering_loss, steering_schedule or SteeringSchedule()))


class SteeredKSampler(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and output."""
        return io.Schema(
            node_id="SpatialSteeringSteeredKSampler",
            display_name="Steered KSampler",
            category=CATEGORY,
            search_aliases=["ksampler", "spatial", "placement", "composition", "layout"],
            description=(
                "KSampler that makes the prompt's spatial relations come true: in the first part of the sampling it "
                "moves the latent so that the objects settle where the relations say."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model used for denoising. It is not changed."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="The random seed of the noise. With KSampler it gives the picture without steering.",
                ),
                io.Int.Input(
                    "steps",
                    default=25,
                    min=1,
                    max=10000,
                    tooltip="The number of denoising steps. 20 to 50 suit most models; with fewer, fewer are steered.",
                ),
                io.Float.Input(
                    "cfg",
                    default=5.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="Classifier-free guidance: how closely to follow the prompt. 4 to 8 suit most models.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=comfy.samplers.SAMPLER_NAMES,
                    tooltip="The sampling algorithm. All can be steered; lcm only by automatic_guidance or "
                    "noise_guidance.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=comfy.samplers.SCHEDULER_NAMES,
                    tooltip="How the noise is taken away over the steps.",
                ),
                io.Conditioning.Input("positive", tooltip="The conditioning from Spatial Relation Parser."),
                io.Conditioning.Input("negative", tooltip="What the picture should not show."),
                io.Latent.Input("latent_image", tooltip="The latent to denoise, as in KSampler."),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of the latent is denoised, 0 to 1. Below about 0.6 the places of objects are "
                    "mostly settled, and steering moves little.",
                ),
                _relations_input(),
                _loss_input(),
                update_input(),
                *window_inputs(),
                order_input(),
            ],
            outputs=[
                io.Latent.Output(tooltip="The denoised latent."),
                Trace.Output(display_name="steering_trace", tooltip="For Token Map Preview and Steering Report."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls,
        start_percent: float | None = SteeringSchedule.start,
        end_percent: float | None = SteeringSchedule.end,
        update: dict | None = None,
    ) -> bool | str:
        """Refuse a choice or a window that makes no sense before anything runs."""
        if update is None:
            return f"update must be one of {', '.join(UPDATES)}."
        if start_percent is None or end_percent is None:  # linked: known only when it runs
            return True
        return complaint(lambda: check_window(float(start_percent), float(end_percent)))

    @classmethod
    @in_ranges
    def execute(
        cls,
        model,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive,
        negative,
        latent_image,
        denoise: float,
        update: dict,
        start_percent: float,
        end_percent: float,
        order: str,
        relations: GroundedScene | None = None,
        steering_loss: SteeringLoss | None = None,
    ) -> io.NodeOutput:
        """Sample with a steered clone of the model."""
        check_window(start_percent, end_percent)
        schedule = SteeringSchedule(start=start_percent, end=end_percent, order=order, **read_update(update))
        steered_model, log = steered(model, relations, steering_loss, schedule)
        (samples,) = common_ksampler(
            steered_model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=denoise
        )
        return io.NodeOutput(samples, log)


def _relations_input() -> io.Input:
    return Relations.Input(
        "relations",
        optional=True,
        tooltip="What is to come true, of the prompt of the sampler's positive input. Without it: the relations that "
        "the conditioning of Spatial Relation Parser brings along.",
    )


def _loss_input() -> io.Input:
    return Loss.Input(
        "steering_loss",
        optional=True,
        tooltip="How a relation is scored: from Centroid Loss, for instance. Without it: as by Centroid Loss at its "
        "defaults.",
    )


def steered(model, relations: GroundedScene | None, loss: SteeringLoss | None, schedule: SteeringSchedule):
    """The steered clone of a model, and the log that its samplers fill.

    Args:
        relations: none for those that the sampler's positive conditioning carries.
        loss: none for the centroid loss at its defaults.
    """
    log, live = RunLog(look_at if is_miniature(model) else None), LiveView()
    scene = CARRIED if relations is None else relations
    steering = Steering(scene, CentroidLoss() if loss is None else loss, schedule)
    return steer_model(model, steering, log, on_begin=live.begins, on_step=live, on_end=live.ended), log
