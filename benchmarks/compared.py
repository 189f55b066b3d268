"""The ways that ``benchmarks.accuracy_vs_cost`` compares: ours, published ones, and what a user would do instead."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import DiffusionPipeline, FluxPipeline

from benchmarks.areas import Area, area_conditioned
from benchmarks.best_of import best_of
from benchmarks.clock import clock_of
from benchmarks.excite import exciting
from benchmarks.measuring import Sampling
from benchmarks.named_losses import named_loss
from benchmarks.separation import SeparationLoss
from benchmarks.ways import published_schedule
from steering_core.backends.diffusers import ground_prompt
from steering_core.backends.diffusers.arms import drawn_with
from steering_core.backends.diffusers.families import readable_network
from steering_core.backends.diffusers.pipelines import kind_of
from steering_core.classifier import CLASSIFIERS_DIR
from steering_core.evaluation.arms import Arm, Drawn
from steering_core.evaluation.suites import ScenePrompt
from steering_core.files.whole import sha256_of
from steering_core.losses import CentroidLoss, CombinedLoss, SteeringLoss
from steering_core.miniature.score import sampled
from steering_core.regions import regions_of
from steering_core.relations.wording import with_article
from steering_core.schedule import BOUND, GUIDANCE, SteeringSchedule
from steering_core.steering import Steering
from steering_core.tokens import GroundedScene

#: Of a pipeline, a prompt, its sampling and its seeds the pictures.
Draw = Callable[[DiffusionPipeline, ScenePrompt, Sampling, Sequence[int]], Drawn]
#: What all others are held against, and ours as it comes.
UNSTEERED, DEFAULT = "unsteered", "default"
#: Of InfSplign's gradient, on Stable Diffusion 1.4 and at 500 steps; by the miniature's shape what served best of
#: others on other prompts, since 1,000 leaves no object in the first one's pictures.
_INFSPLIGN_WEIGHT = {"miniature": 100.0, "flux_miniature": 1000.0}
#: By how much of the predicted noise's scale separation bends.
_BEND = 0.5
#: Beside the centroid loss, which is to keep its say.
_SEPARATION = 0.5


@dataclass(frozen=True)
class ComparedWay:
    """A way to come by pictures of a prompt.

    Attributes:
        name: in tables and on the command line.
        meaning: in a few words.
        draw: a function of this module or its neighbours with its settings.
    """

    name: str
    meaning: str
    draw: partial[Drawn]

    def arm(self, sampling: Sampling) -> Arm:
        """See ``MeasuredWay``."""
        model, clock = sampling.pipeline, clock_of(sampling.device)

        def draw(prompt: ScenePrompt, seeds: Sequence[int]) -> Drawn:
            return self.draw(model, prompt, sampling, seeds)

        return Arm(self.name, {"draw": json.loads(json.dumps(self.draw, default=_plain))}, draw, clock)


def _plain(value: Any) -> Any:
    """What JSON does not know, by what decides of it; of a file a hash."""
    if isinstance(value, partial):
        return [value.func.__qualname__, value.args, value.keywords]
    if isinstance(value, Path):
        return sha256_of(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, asdict(value)]
    return value.__qualname__


def ways_of(model: DiffusionPipeline) -> dict[str, ComparedWay]:
    """All ways on one of the miniatures or a model of either shape, by their names."""
    shape = "flux_miniature" if isinstance(model, FluxPipeline) else "miniature"
    classifier = CLASSIFIERS_DIR / f"{shape}.safetensors"
    all_layers = tuple(layer.name for layer in readable_network(kind_of(model).network_of(model)).layers)
    gelu = partial(CentroidLoss, "gelu")
    ways: dict[str, tuple[str, partial[Drawn]]] = {
        UNSTEERED: ("the model by itself", partial(plain)),
        DEFAULT: ("ours: gelu by latent descent", by_loss(gelu, SteeringSchedule())),
        "noise guidance": ("ours, by the other update rule", by_loss(gelu, SteeringSchedule(GUIDANCE))),
        "larger steps": ("ours, step size 0.2", by_loss(gelu, SteeringSchedule(step_size=0.2))),
        "two moves a step": ("ours, up to two refinements", by_loss(gelu, SteeringSchedule(refinements=2))),
        "longer window": ("ours, in the first 50 % of the steps", by_loss(gelu, SteeringSchedule(end=0.5))),
        "best of 2": ("of two seeds, by the detector", partial(best_of, 2)),
        "best of 4": ("of four seeds, by the detector", partial(best_of, 4)),
        "areas": ("core's area conditioning", partial(in_areas)),
        "attend and excite": ("presence by its published settings", partial(steered_by, exciting)),
        "infsplign": (
            "noise guidance by its settings, its weight fitted to the model",
            by_loss(
                partial(CentroidLoss, "gelu", orthogonal="l2", standardised=False),
                published_schedule(update=GUIDANCE, step_size=_INFSPLIGN_WEIGHT[shape], spread=False),
            ),
        ),
        "learn to steer": (
            "the learned loss by its published settings",
            by_loss(
                partial(named_loss, "learned", classifier),
                published_schedule(end=0.5, step_size=5.0, refinements=15, target=7e-5),
            ),
        ),
        "bound regions": (
            "ours: objects bound to their regions, and nothing moved",
            by_loss(gelu, SteeringSchedule(strength=0.0, bound=BOUND)),
        ),
        **_binding_otherwise(gelu, shape),
        "separation": (
            "Jensen-Shannon separation alone",
            by_loss(
                partial(SeparationLoss, all_layers), SteeringSchedule(GUIDANCE, step_size=_BEND, end=1.0, bound=0.0)
            ),
        ),
        "gelu and separation": ("ours and separation", by_loss(partial(gelu_and_separation), SteeringSchedule())),
    }
    return {name: ComparedWay(name, meaning, draw) for name, (meaning, draw) in ways.items()}


def _binding_otherwise(gelu: partial[CentroidLoss], shape: str) -> dict[str, tuple[str, partial[Drawn]]]:
    """What the default leaves out of a network of this shape."""
    if shape == "miniature":
        return {"bound and moved": ("ours, objects bound as well", by_loss(gelu, SteeringSchedule(bound=BOUND)))}
    return {"not bound": ("ours, nothing bound", by_loss(gelu, SteeringSchedule(bound=0.0)))}


def by_loss(make_loss: partial[Any], schedule: SteeringSchedule) -> partial[Drawn]:
    """Steering with a loss and a schedule."""
    return partial(steered_by, partial(steering_of, make_loss, schedule))


def steering_of(make_loss: Callable[[], SteeringLoss], schedule: SteeringSchedule, scene: GroundedScene) -> Steering:
    """Of one prompt."""
    return Steering(scene, make_loss(), schedule)


def gelu_and_separation() -> CombinedLoss:
    """The centroid loss with the separation as one more term, on the layers that the centroid loss reads."""
    terms: list[tuple[SteeringLoss, float]] = [(CentroidLoss("gelu"), 1.0), (SeparationLoss(), _SEPARATION)]
    return CombinedLoss(tuple(terms))


def plain(model: DiffusionPipeline, prompt: ScenePrompt, sampling: Sampling, seeds: Sequence[int]) -> Drawn:
    """What the model draws by itself."""
    return Drawn(sampled(model, prompt.text, seeds, None, sampling.steps, sampling.guidance_scale))


def steered_by(
    make_steering: Callable[[GroundedScene], Steering],
    model: DiffusionPipeline,
    prompt: ScenePrompt,
    sampling: Sampling,
    seeds: Sequence[int],
) -> Drawn:
    """What steering makes of it."""
    steering = make_steering(ground_prompt(model, prompt.text))
    pictures = sampled(model, prompt.text, seeds, steering, sampling.steps, sampling.guidance_scale)
    return drawn_with(steering, pictures)


def in_areas(model: DiffusionPipeline, prompt: ScenePrompt, sampling: Sampling, seeds: Sequence[int]) -> Drawn:
    """The whole prompt, and each object alone in its half of the canvas."""
    scene = ground_prompt(model, prompt.text)
    alone = [
        (f"a photo of {with_article(phrase)}", Area.of(region))
        for phrase, region in zip(scene.phrases, regions_of(scene).of_objects)
        if region is not None
    ]
    with area_conditioned(model, alone):
        return plain(model, prompt, sampling, seeds)
