"""When and how strongly to steer."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io

from ..steering_core.schedule import BOUND, DESCENT, GUIDANCE, IN_TURN, MOST_BOUND, MOVE, TOGETHER, SteeringSchedule
from .ranges import in_ranges, out_of_range, with_values
from .types import CATEGORY, Schedule, advanced, complaint

#: The update rules by the names that nodes give them.
UPDATES = {
    "automatic": DESCENT,
    "automatic_guidance": GUIDANCE,
    "latent_descent": DESCENT,
    "noise_guidance": GUIDANCE,
}
#: A share of the steps that is left to the network.
_AS_SUITS = -1.0
#: Where they are one's own; of noise guidance, what served the first miniature.
_STEP_SIZES = {DESCENT: MOVE, GUIDANCE: 0.5}


@dataclass(frozen=True)
class _Preset:
    """What a preset sets: the size of a step beside the default, and the rest as in ``SteeringSchedule``."""

    strength: float
    end: float
    decay: float


_PRESETS = {
    "balanced": _Preset(1.0, SteeringSchedule.end, SteeringSchedule.decay),
    "gentle": _Preset(0.5, 0.2, 0.5),
    # More refinements a step than by themselves lose more objects: on the miniature, no gain.
    "strong": _Preset(1.5, 0.4, 0.0),
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
                    tooltip="balanced serves both miniatures, in few steps too: where only one or two are steered, it "
                    "moves the objects several times in each, and of a transformer that is not bound it steers up to "
                    "half. gentle moves less and stops earlier, closer to the unsteered picture. strong moves more and "
                    "longer: slower, and harder on details. Choosing one sets all inputs but order, bound_percent and "
                    "those of restarts.",
                ),
                order_input(),
                *_optional_inputs(),
            ],
            outputs=[Schedule.Output(display_name="steering_schedule", tooltip="For Apply Spatial Steering.")],
        )

    @classmethod
    def validate_inputs(cls, **inputs) -> bool | str:
        """Refuse values that make no sense before anything runs.

        All inputs are asked for, because ComfyUI hands those behind a choice to no parameter of their own; it then
        leaves the ranges to this.
        """
        preset, order, optional = inputs.get("preset"), inputs.get("order"), _optional(inputs)
        if preset is None:
            return f"preset must be one of {', '.join(_PRESETS)}."
        update = preset.get("update")
        if update is None:
            return f"update must be one of {', '.join(UPDATES)}."
        all_inputs, values = [*_inputs(_PRESETS[preset["preset"]]), *_optional_inputs()], {**preset, **optional}
        if told := out_of_range(all_inputs, values):
            return told
        if order is None or any(value is None for _, value in with_values(all_inputs, values)):
            return True  # linked, so known only when it runs; or missing, which ComfyUI says itself
        return complaint(lambda: _schedule(preset, order, optional))

    @classmethod
    @in_ranges
    def execute(cls, preset: dict, order: str, **optional) -> io.NodeOutput:
        """Build the schedule."""
        return io.NodeOutput(_schedule(preset, order, _optional(optional)))


def _optional(inputs: dict) -> dict:
    """The optional inputs by name; workflows made before them have none."""
    return {one.id: inputs.get(one.id, one.default) for one in _optional_inputs()}


def _schedule(preset: dict, order: str, optional: dict) -> SteeringSchedule:
    """From the choice of a preset with its inputs, which are read whatever its name is."""
    check_window(preset["start_percent"], preset["end_percent"])
    return SteeringSchedule(
        start=preset["start_percent"],
        end=preset["end_percent"],
        decay=preset["decay"],
        order=order,
        bound=None if optional["bound_percent"] < 0 else optional["bound_percent"],
        restarts=optional["restarts"],
        restart_overlap=optional["restart_overlap"],
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
        update_input(preset.strength, targets=True),
        *window_inputs(preset.end),
        advanced(decay),
    ]


def check_window(start_percent: float, end_percent: float) -> None:
    """Refuse a window that holds nothing.

    Raises:
        ValueError: names both inputs.
    """
    if not start_percent < end_percent:
        raise ValueError(
            f"end_percent must be greater than start_percent, {start_percent}, not {end_percent}: steering ends after "
            f"it begins."
        )


def window_inputs(end: float = SteeringSchedule.end) -> list[io.Input]:
    """The part of the steps that is steered."""
    start = io.Float.Input(
        "start_percent",
        default=SteeringSchedule.start,
        min=0.0,
        max=0.99,
        step=0.01,
        tooltip="Where in the steps steering begins, as a share from 0 to 1. Places are decided early.",
    )
    return [
        advanced(start),
        io.Float.Input(
            "end_percent",
            default=end,
            min=0.01,
            max=1.0,
            step=0.01,
            tooltip="Where in the steps steering ends, as a share from 0 to 1. In fewer than 16 steps of a transformer "
            "(FLUX, Qwen-Image, Z-Image …) whose objects are not bound to regions, it ends later, up to half of them. "
            "Later ends cost more time and can spoil details.",
        ),
    ]


def order_input() -> io.Input:
    """Several relations together, or in turn."""
    order = io.Combo.Input(
        "order",
        options=[TOGETHER, IN_TURN],
        default=TOGETHER,
        tooltip="With several relations: all in each step, or one after the other, step by step.",
    )
    return advanced(order)


def _optional_inputs() -> list[io.Input]:
    """Binding, and how often a picture may begin again, and when it does."""
    bound = io.Float.Input(
        "bound_percent",
        optional=True,
        default=_AS_SUITS,
        min=_AS_SUITS,
        max=1.0,
        step=0.05,
        tooltip="Up to where in the steps, as a share from 0 to 1, objects are bound to the part of the picture that "
        "their relations ask for: left and right of each other, to a half each. The rest of the picture cannot see "
        f"their words. -1: as suits the model, {BOUND} with those in which text and picture attend to each other "
        f"(FLUX, Qwen-Image, Z-Image …), with up to {MOST_BOUND} objects and if the whole picture is sampled, and else "
        "0. 0: not at all.",
    )
    restarts = io.Int.Input(
        "restarts",
        default=SteeringSchedule.restarts,
        min=0,
        max=20,
        optional=True,
        tooltip="How often a picture may begin again from new noise, decided by its seed, where two of its objects "
        "share too much of the model's attention in the last steered step: one of them may go missing then. The best "
        "attempt is kept. On the miniatures no gain was found with two objects, and some with three. 0: never. Not by "
        "noise guidance, and not where a part of an input picture is kept.",
    )
    overlap = io.Float.Input(
        "restart_overlap",
        default=SteeringSchedule.restart_overlap,
        min=0.0,
        max=0.99,
        step=0.01,
        optional=True,
        tooltip="A picture begins again where two of its objects share more of their attention than this, from 0 to 1. "
        "Steering Report tells it. Less: more pictures begin again, which takes longer.",
    )
    return [bound, advanced(restarts), advanced(overlap)]


def update_input(strength: float = 1.0, *, targets: bool = False):
    """The rule that moves the latent, with its own settings.

    Args:
        strength: of the step size, beside its default.
        targets: whether noise guidance has a target too. (Steered KSampler's has none: a widget more would shift
            the values that workflows of version 0.1.0 hold by position.)
    """
    refinements = io.Int.Input(
        "refinements",
        default=0,
        min=0,
        max=50,
        tooltip="At most so many moves before each step of the window. 0: one, or where it holds only one step, four, "
        "and of two steps, two before the first; of one relation, by Centroid Loss alone, with a UNet (Stable "
        "Diffusion 1.x, SDXL) or bound objects, one before every other step. More lowers the loss further, takes "
        "longer (each about as long as a step), and can cost an object.",
    )
    guided = [_target()] if targets else []
    descended = [advanced(refinements), _target()]
    strength_of_moves = strength_input(
        "How far the latent moves at once: 1 is a tenth of the noise in it, or 0.03 of it where a transformer's "
        "objects are bound, and served best on the miniatures; 0 is not at all.",
        strength,
    )
    bent = "How strongly the predicted noise is bent, in units of its own scale"
    moved = "How far the latent moves at once, in units of the noise that is in it"
    return io.DynamicCombo.Input(
        "update",
        options=[
            io.DynamicCombo.Option("automatic", [strength_of_moves, *descended]),
            io.DynamicCombo.Option("automatic_guidance", [strength_of_moves, *guided]),
            io.DynamicCombo.Option("latent_descent", [_step_size(DESCENT, strength, moved), *descended]),
            io.DynamicCombo.Option("noise_guidance", [_step_size(GUIDANCE, strength, bent), *guided]),
        ],
        tooltip=(
            "automatic moves the latent before a step, and can repeat that until the relation holds; "
            "automatic_guidance moves it as far by bending the noise that the model predicts, which the sampler lcm "
            "needs. latent_descent and noise_guidance are the same two by a step size of your own."
        ),
    )


def read_update(update: dict) -> dict:
    """The choice of the rule and its settings, as ``SteeringSchedule`` takes them."""
    return {**update, "update": UPDATES[update["update"]], "refinements": update.get("refinements") or None}


def strength_input(effect: str, strength: float = 1.0) -> io.Input:
    """How firmly to steer.

    Args:
        effect: what the numbers mean.
        strength: the default.
    """
    return io.Float.Input(
        "strength",
        default=strength,
        min=0.0,
        max=10.0,
        step=0.05,
        tooltip=f"{effect} Objects still in the wrong place: more. Smeared or odd details: less.",
    )


def _step_size(update: str, strength: float, effect: str) -> io.Input:
    return io.Float.Input(
        "step_size",
        default=round(_STEP_SIZES[update] * strength, 3),
        min=0.0,
        max=10.0,
        step=0.01,
        tooltip=f"{effect}. 0 steers nothing; too much spoils the picture.",
    )


def _target() -> io.Input:
    target = io.Float.Input(
        "target",
        default=SteeringSchedule.target,
        min=-10.0,
        max=10.0,
        step=0.01,
        tooltip="A relation is left alone when its loss is at most this. 0: when it holds by the margin, a diagonal by "
        "both axes together; less: GELU and leaky ReLU go on beyond that.",
    )
    return advanced(target)
