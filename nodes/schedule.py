"""When and how strongly to steer."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io

from ..steering_core.schedule import DEFAULT_STEP_SIZE, DESCENT, GUIDANCE, IN_TURN, TOGETHER, SteeringSchedule
from .types import CATEGORY, Schedule

#: The update rules by the names that nodes give them.
UPDATES = {"latent_descent": DESCENT, "noise_guidance": GUIDANCE}


@dataclass(frozen=True)
class _Preset:
    """What a preset sets: the size of a step beside the default, and the rest as in ``SteeringSchedule``."""

    strength: float
    end: float
    decay: float
    refinements: int


_PRESETS = {
    "balanced": _Preset(1.0, SteeringSchedule.end, SteeringSchedule.decay, SteeringSchedule.refinements),
    "gentle": _Preset(0.5, 0.2, 0.5, 1),
    "strong": _Preset(1.5, 0.4, 0.0, 3),
}


class SteeringScheduleNode(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and output."""
        return io.Schema(
            node_id="SpatialSteeringSteeringSchedule",
            display_name="Steering Schedule",
            category=CATEGORY,
            search_aliases=["strength", "window", "refinements", "start percent", "end percent", "preset"],
            description=(
                "Says in which part of the steps the objects are moved, and how firmly. Choose a preset, then change "
                "what you like."
            ),
            inputs=[
                io.DynamicCombo.Input(
                    "preset",
                    options=[io.DynamicCombo.Option(name, _inputs(preset)) for name, preset in _PRESETS.items()],
                    tooltip="balanced suits most scenes. gentle stays closer to the unsteered picture. strong is for "
                    "stubborn scenes: surer, slower, and harder on details. Choosing one sets all inputs but order.",
                ),
                order_input(),
            ],
            outputs=[Schedule.Output(display_name="steering_schedule", tooltip="For Apply Spatial Steering.")],
        )

    @classmethod
    def validate_inputs(cls, **inputs) -> bool | str:
        """Refuse values that make no sense before anything runs.

        All inputs are asked for, because ComfyUI hands those behind a choice to no parameter of their own; it then
        leaves the ranges to this.
        """
        preset = inputs.get("preset")
        if preset is None:
            return f"preset must be one of {', '.join(_PRESETS)}."
        update = preset.get("update")
        if update is None:
            return f"update must be one of {', '.join(UPDATES)}."
        if None in preset.values() or None in update.values():  # linked: known only when it runs
            return True
        try:
            _schedule(preset, inputs.get("order") or TOGETHER)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, preset: dict, order: str) -> io.NodeOutput:
        """Build the schedule."""
        return io.NodeOutput(_schedule(preset, order))


def _schedule(preset: dict, order: str) -> SteeringSchedule:
    """From the choice of a preset with its inputs, which are read whatever its name is."""
    return SteeringSchedule(
        start=preset["start_percent"],
        end=preset["end_percent"],
        decay=preset["decay"],
        order=order,
        **read_update(preset["update"]),
    )


def _inputs(preset: _Preset) -> list[io.Input]:
    decay = io.Float.Input(
        "decay",
        default=preset.decay,
        min=0.0,
        max=1.0,
        step=0.05,
        tooltip="How much weaker steering grows towards the end of its window, as a share from 0 to 1. 0: as strong "
        "to the last; 1: it fades out, which leaves late details to the model.",
    )
    return [
        update_input(preset.strength, preset.refinements, targets=True),
        *window_inputs(preset.end),
        decay,
    ]


def window_inputs(end: float = SteeringSchedule.end) -> list[io.Input]:
    """The part of the steps that is steered."""
    return [
        io.Float.Input(
            "start_percent",
            default=SteeringSchedule.start,
            min=0.0,
            max=0.99,
            step=0.01,
            tooltip="Where in the steps steering begins, as a share from 0 to 1. Places are decided early.",
        ),
        io.Float.Input(
            "end_percent",
            default=end,
            min=0.01,
            max=1.0,
            step=0.01,
            tooltip="Where in the steps steering ends, as a share from 0 to 1. Later ends cost more time and "
            "can spoil details.",
        ),
    ]


def window_complaint(start: float | None, end: float | None) -> bool | str:
    """What is wrong with a window; nothing is known yet of one that comes by a link."""
    if start is None or end is None:
        return True
    try:
        SteeringSchedule(start=start, end=end)
    except ValueError as error:
        return str(error)
    return True


def order_input() -> io.Input:
    """Several relations together, or in turn."""
    return io.Combo.Input(
        "order",
        options=[TOGETHER, IN_TURN],
        default=TOGETHER,
        tooltip="With several relations: all in each step, or one after the other, step by step.",
    )


def update_input(strength: float = 1.0, refinements: int = SteeringSchedule.refinements, *, targets: bool = False):
    """The rule that moves the latent, with its own settings.

    Args:
        strength: of the step size, beside its default.
        targets: whether noise guidance has a target too. (Steered KSampler's has none: a widget more would shift
            the values that workflows of version 0.1.0 hold by position.)
    """
    guidance = [
        _step_size(GUIDANCE, strength, "How strongly the predicted noise is bent, in units of its own scale"),
        *([_target()] if targets else []),
    ]
    descent = [
        _step_size(DESCENT, strength, "How far the latent moves at once, in units of the noise that is in it"),
        io.Int.Input(
            "refinements",
            default=refinements,
            min=1,
            max=50,
            tooltip="At most so many moves before each steered step. More is surer and slower: each costs about "
            "as much as a step.",
        ),
        _target(),
    ]
    return io.DynamicCombo.Input(
        "update",
        options=[
            io.DynamicCombo.Option("latent_descent", descent),
            io.DynamicCombo.Option("noise_guidance", guidance),
        ],
        tooltip=(
            "latent_descent moves the latent before a step, and can repeat that until the relation holds. "
            "noise_guidance bends the noise that the model predicts, each time the sampler asks it."
        ),
    )


def read_update(update: dict) -> dict:
    """The choice of the rule and its settings, as ``SteeringSchedule`` takes them."""
    return {**update, "update": UPDATES[update["update"]]}


def _step_size(update: str, strength: float, effect: str) -> io.Input:
    return io.Float.Input(
        "step_size",
        default=round(DEFAULT_STEP_SIZE[update] * strength, 3),
        min=0.0,
        max=10.0,
        step=0.01,
        tooltip=f"{effect}. 0 steers nothing; too much spoils the picture.",
    )


def _target() -> io.Input:
    return io.Float.Input(
        "target",
        default=SteeringSchedule.target,
        min=-10.0,
        max=10.0,
        step=0.01,
        tooltip="A relation is left alone when its loss is at most this. 0: when it holds by the margin; less: "
        "GELU and leaky ReLU go on beyond that.",
    )
