"""Losses that score how well a relation holds."""

from __future__ import annotations

from comfy_api.latest import io

from ..steering_core.losses import CentroidLoss, CombinedLoss, PresenceLoss, SteeringLoss
from ..steering_core.losses.centroid import FUNCTIONS, ORTHOGONAL_NORMS, PAPER_SETTINGS
from .ranges import in_ranges
from .types import CATEGORY, Loss, advanced, loss_output

#: Keys that the softmax of a map runs over.
TEXT, ALL = "text", "all"


class CentroidLossNode(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and output."""
        return io.Schema(
            node_id="SpatialSteeringCentroidLoss",
            display_name="Centroid Loss",
            category=CATEGORY,
            search_aliases=["InfSplign", "steering loss", "centroid"],
            description=(
                "Asks that the centres of two objects, as the model's attention sees them, lie as the relation "
                "says. After InfSplign. The defaults of each function are what its thesis found best on Stable "
                "Diffusion 1.4, there with orthogonal l2."
            ),
            inputs=[
                io.DynamicCombo.Input(
                    "function",
                    options=[_function_option(name) for name in ("gelu", *_others("gelu"))],
                    tooltip=(
                        "How a wrong placement is punished. ReLU, leaky ReLU and GELU push until the relation holds by "
                        "the margin (the last two beyond it, with a negative target), sigmoid pushes most where the "
                        "objects are level, and never stops."
                    ),
                ),
                advanced(_orthogonal_input()),
                advanced(
                    _weight(
                        "presence_weight",
                        "Pulls each object's attention together. Meant against missing objects; on the first miniature "
                        "no difference was found. 0 to 10; 0: off.",
                    )
                ),
                advanced(
                    _weight(
                        "balance_weight",
                        "Asks that both objects' attention is spread alike. Meant against one crowding out the other; "
                        "on the first miniature no difference was found. 0 to 10; 0: off.",
                    )
                ),
                _softmax_input(),
            ],
            outputs=[loss_output()],
        )

    @classmethod
    def validate_inputs(cls, function: dict | None = None, orthogonal: dict | None = None) -> bool | str:
        """Refuse an unknown choice before anything runs."""
        if function is None:
            return f"function must be one of {', '.join(FUNCTIONS)}."
        if orthogonal is None:
            return f"orthogonal must be one of {', '.join(ORTHOGONAL_NORMS)}."
        return True

    @classmethod
    @in_ranges
    def execute(
        cls, function: dict, orthogonal: dict, presence_weight: float, balance_weight: float, softmax_over: str = TEXT
    ) -> io.NodeOutput:
        """Build the loss; ``function`` and ``orthogonal`` carry their own inputs."""
        loss = CentroidLoss(
            **function,
            **orthogonal,
            presence_weight=presence_weight,
            balance_weight=balance_weight,
            over_all_keys=softmax_over == ALL,
        )
        return io.NodeOutput(loss)


def _orthogonal_input() -> io.DynamicCombo.Input:
    return io.DynamicCombo.Input(
        "orthogonal",
        options=[_orthogonal_option(norm) for norm in ORTHOGONAL_NORMS],
        tooltip=(
            "Keeps the objects level across the relation's axis, so that left of is not also far above. "
            "none: leave that to the model; l1: firm; l2: gentle near level."
        ),
    )


def _weight(name: str, tooltip: str) -> io.Float.Input:
    """Of a term that is off by default."""
    return io.Float.Input(name, default=0.0, min=0.0, max=10.0, step=0.05, tooltip=tooltip)


def _softmax_input() -> io.Input:
    """Which keys of a joint attention share its weight; workflows made before it have none."""
    keys = io.Combo.Input(
        "softmax_over",
        options=[TEXT, ALL],
        default=TEXT,
        optional=True,
        tooltip=(
            "For models whose text and image share an attention, such as FLUX, Qwen-Image and Z-Image: text weighs the "
            "prompt's words against each other, as Learn-to-Steer does; all weighs them against the image as well. "
            "Without effect on Stable Diffusion 1, 2 and SDXL. Losses that are combined need the same choice."
        ),
    )
    return advanced(keys)


def _others(name: str) -> list[str]:
    return [other for other in FUNCTIONS if other != name]


def _function_option(name: str) -> io.DynamicCombo.Option:
    """One choice of f, with the inputs that it reads."""
    alpha = io.Float.Input(
        "alpha",
        default=PAPER_SETTINGS[name]["alpha"],
        min=0.01,
        max=100.0,
        step=0.05,
        tooltip="How steeply the loss grows with the distance that is missing; more than 0.",
    )
    inputs: list[io.Input] = [
        advanced(alpha),
        io.Float.Input(
            "margin",
            default=PAPER_SETTINGS[name]["margin"],
            min=0.0,
            max=0.95,
            step=0.05,
            tooltip="The distance that the two centres should keep, as a share of the picture's side, 0 to 0.95.",
        ),
    ]
    if name == "leaky_relu":
        slope = io.Float.Input(
            "leaky_slope",
            default=CentroidLoss.leaky_slope,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="How much it counts that the relation holds by more than the margin, 0 (not) to 1 (as before).",
        )
        inputs.append(advanced(slope))
    return io.DynamicCombo.Option(name, inputs)


def _orthogonal_option(norm: str) -> io.DynamicCombo.Option:
    """One choice of the orthogonal term, with its weight if there is a term."""
    weight = io.Float.Input(
        "orthogonal_weight",
        default=CentroidLoss.orthogonal_weight,
        min=0.0,
        max=10.0,
        step=0.05,
        tooltip="Weight of the orthogonal term, 0 to 10; the thesis uses 1.",
    )
    return io.DynamicCombo.Option(norm, [weight] if norm != "none" else [])


class PresenceLossNode(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's input and output."""
        return io.Schema(
            node_id="SpatialSteeringPresenceLoss",
            display_name="Presence Loss",
            category=CATEGORY,
            search_aliases=["Attend-and-Excite", "missing object", "steering loss"],
            description=(
                "Asks that the model attends to each object more than to the prompt's other words somewhere, as "
                "Attend-and-Excite does. Meant against missing objects; on the first miniature no gain was found. It "
                "does not mind where an object is: combine it with a loss that does."
            ),
            inputs=[weight_input(), _softmax_input()],
            outputs=[loss_output()],
        )

    @classmethod
    @in_ranges
    def execute(cls, weight: float, softmax_over: str = TEXT) -> io.NodeOutput:
        """Build the loss."""
        return io.NodeOutput(weighted(PresenceLoss(over_all_keys=softmax_over == ALL), weight))


class CombineLosses(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and output."""
        template = io.Autogrow.TemplatePrefix(
            Loss.Input("loss", tooltip="A loss; its weight is set on its own node."), prefix="loss", min=2, max=10
        )
        return io.Schema(
            node_id="SpatialSteeringCombineLosses",
            display_name="Combine Losses",
            category=CATEGORY,
            search_aliases=["add losses", "sum", "steering loss"],
            description="Adds losses up, so that steering serves them all. A new input appears as one is connected.",
            inputs=[io.Autogrow.Input("losses", template=template, tooltip="The losses to add, two to ten.")],
            outputs=[loss_output()],
        )

    @classmethod
    def execute(cls, losses: io.Autogrow.Type) -> io.NodeOutput:
        """Build the sum."""
        return io.NodeOutput(CombinedLoss(tuple((loss, 1.0) for loss in losses.values())))


def weight_input() -> io.Float.Input:
    """How much a loss counts beside others."""
    return io.Float.Input(
        "weight",
        default=1.0,
        min=0.01,
        max=100.0,
        step=0.05,
        tooltip="How much this loss counts where Combine Losses adds several, 0.01 to 100. Alone it changes "
        "nothing at a target of 0: strength or step size say how far the latent moves.",
    )


def weighted(loss: SteeringLoss, weight: float) -> SteeringLoss:
    """The loss as Combine Losses should add it."""
    return CombinedLoss(((loss, weight),))
