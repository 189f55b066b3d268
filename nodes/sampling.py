"""Sampling with steering."""

from __future__ import annotations

import comfy.samplers
from comfy_api.latest import io

from nodes import common_ksampler

from ..steering_core.backends.comfyui import steer_model
from ..steering_core.losses import SteeringLoss
from ..steering_core.schedule import DEFAULT_STEP_SIZE, DESCENT, GUIDANCE, IN_TURN, TOGETHER, SteeringSchedule
from ..steering_core.steering import Steering
from ..steering_core.tokens import GroundedScene
from .types import CATEGORY, Loss, Relations


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
                    tooltip="The sampling algorithm. All can be steered; lcm only by noise guidance.",
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
                Relations.Input("relations", tooltip="From Spatial Relation Parser, of the same prompt as positive."),
                Loss.Input("steering_loss", tooltip="How a relation is scored: from Centroid Loss."),
                io.DynamicCombo.Input(
                    "update",
                    options=[_descent_option(), _guidance_option()],
                    tooltip=(
                        "latent_descent moves the latent before a step, and can repeat that until the relation holds. "
                        "noise_guidance bends the noise that the model predicts, each time the sampler asks it."
                    ),
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=0.99,
                    step=0.01,
                    tooltip="Where in the steps steering begins, as a share from 0 to 1. Places are decided early.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=SteeringSchedule.end,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Where in the steps steering ends, as a share from 0 to 1. Later ends cost more time and "
                    "can spoil details.",
                ),
                io.Combo.Input(
                    "order",
                    options=[TOGETHER, IN_TURN],
                    default=TOGETHER,
                    tooltip="With several relations: all in each step, or one after the other, step by step.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="The denoised latent.")],
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
            return f"update must be one of {', '.join(_UPDATES)}."
        if start_percent is None or end_percent is None:  # linked: known only when it runs
            return True
        try:
            SteeringSchedule(start=start_percent, end=end_percent)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
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
        relations: GroundedScene,
        steering_loss: SteeringLoss,
        update: dict,
        start_percent: float,
        end_percent: float,
        order: str,
    ) -> io.NodeOutput:
        """Sample with a steered clone of the model."""
        settings = dict(update)
        schedule = SteeringSchedule(
            update=_UPDATES[settings.pop("update")], start=start_percent, end=end_percent, order=order, **settings
        )
        steered = steer_model(model, Steering(relations, steering_loss, schedule))
        return io.NodeOutput(
            *common_ksampler(
                steered, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=denoise
            )
        )


_UPDATES = {"latent_descent": DESCENT, "noise_guidance": GUIDANCE}


def _descent_option() -> io.DynamicCombo.Option:
    return io.DynamicCombo.Option(
        "latent_descent",
        [
            _step_size(DESCENT, "How far the latent moves at once, in units of the noise that is in it"),
            io.Int.Input(
                "refinements",
                default=SteeringSchedule.refinements,
                min=1,
                max=50,
                tooltip="At most so many moves before each steered step. More is surer and slower: each costs about "
                "as much as a step.",
            ),
            io.Float.Input(
                "target",
                default=SteeringSchedule.target,
                min=-10.0,
                max=10.0,
                step=0.01,
                tooltip="A relation is left alone when its loss is at most this. 0: when it holds by the margin; less: "
                "GELU and leaky ReLU go on beyond that.",
            ),
        ],
    )


def _guidance_option() -> io.DynamicCombo.Option:
    return io.DynamicCombo.Option(
        "noise_guidance", [_step_size(GUIDANCE, "How strongly the predicted noise is bent, in units of its own scale")]
    )


def _step_size(update: str, effect: str) -> io.Float.Input:
    return io.Float.Input(
        "step_size",
        default=DEFAULT_STEP_SIZE[update],
        min=0.0,
        max=10.0,
        step=0.01,
        tooltip=f"{effect}. 0 steers nothing; too much spoils the picture.",
    )
