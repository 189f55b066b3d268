"""The ways that ``benchmarks.proof`` holds against one another, on a miniature."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from benchmarks.best_of import best_picture
from benchmarks.in_comfyui import ComfyUI
from benchmarks.measuring import SEED_STRIDE
from benchmarks.named_losses import named_loss
from benchmarks.ways import LEARNED_LOSSES, learned_schedule
from steering_core.backends.diffusers import ground_prompt
from steering_core.backends.diffusers.arms import steered_arm, unsteered_arm
from steering_core.classifier import CLASSIFIERS_DIR
from steering_core.evaluation.arms import Arm, Drawn
from steering_core.evaluation.folder import EvaluationFolder
from steering_core.evaluation.suites import ScenePrompt
from steering_core.losses import CentroidLoss
from steering_core.miniature.world import IMAGE_SIZE, Layout, render, sample_layout
from steering_core.pictures import from_image
from steering_core.relations.statement import ends
from steering_core.schedule import SteeringSchedule

UNSTEERED, OTHER_SEEDS, BEST_OF_2 = "unsteered", "other_seeds", "best_of_2"
CENTROID, LEARNED, COMBINED = "centroid", "learned", "combined"
COMFYUI_AREAS = "comfyui_areas"
#: What the renderer of the miniatures' world makes of the prompt.
RENDERED = "rendered"
#: All, as tables have them: those that are held against others stand first.
WAYS = (UNSTEERED, OTHER_SEEDS, BEST_OF_2, CENTROID, LEARNED, COMBINED, COMFYUI_AREAS, RENDERED)
#: What each miniature's learned loss goes by, with several relations where there is another for these.
_SEVERAL_OBJECTS = {"miniature": "miniature_several_objects"}


def ways_of(
    model: str,
    pipeline: DiffusionPipeline,
    settings: Mapping[str, Any],
    folder: EvaluationFolder,
    comfyui: ComfyUI | None,
) -> list[Arm]:
    """The arms of a folder, in the order in which they are drawn.

    Args:
        model: the miniature's name.
        settings: see ``sampling_of``.
        comfyui: draws in core's areas, where prompts have one relation; left out when there is none.
    """
    is_one = all(len(prompt.relations) == 1 for prompt in folder.suite.prompts)
    classifier = CLASSIFIERS_DIR / f"{model if is_one else _SEVERAL_OBJECTS.get(model, model)}.safetensors"
    schedule = SteeringSchedule()
    unsteered = unsteered_arm(UNSTEERED, pipeline, settings)
    arms = [
        unsteered,
        Arm(OTHER_SEEDS, {"stride": SEED_STRIDE}, partial(_with_other_seeds, unsteered)),
        Arm(BEST_OF_2, {"of": [UNSTEERED, OTHER_SEEDS]}, partial(_best_of_2, pipeline, folder)),
        steered_arm(CENTROID, pipeline, settings, CentroidLoss("gelu"), schedule),
        *(
            steered_arm(name, pipeline, settings, named_loss(loss, classifier), learned_schedule(schedule))
            for name, loss in LEARNED_LOSSES.items()
        ),
        Arm(RENDERED, {}, lambda prompt, seeds: Drawn(rendered(prompt, seeds))),
    ]
    # What runs beside them counts for nothing.
    arms = [replace(arm, clock=time.process_time) for arm in arms]
    if comfyui is not None and is_one:
        draw = partial(_in_comfyui, comfyui, model, settings)
        arms.append(Arm(COMFYUI_AREAS, {"in_areas": True}, draw))
    return arms


def rendered(prompt: ScenePrompt, seeds: Sequence[int]) -> Tensor:
    """Scenes in which the objects stand as a prompt says: (seeds, 3, 128, 128) in [0, 1]."""
    return torch.stack([from_image(Image.fromarray(render(_layout(prompt, seed)))) for seed in seeds])


def _layout(prompt: ScenePrompt, seed: int) -> Layout:
    """The first of those that a seed leads to in which all relations hold."""
    rng = np.random.default_rng((seed, *prompt.text.encode()))
    while True:
        layout = sample_layout(rng, list(prompt.objects))
        centres = {one.name: (one.x / IMAGE_SIZE, one.y / IMAGE_SIZE) for one in layout.placements}
        if all(
            relation.holds(*(centres[name] for name in ends(subject, object)))
            for subject, relation, object in prompt.relations
        ):
            return layout


def _with_other_seeds(unsteered: Arm, prompt: ScenePrompt, seeds: Sequence[int]) -> Drawn:
    """Of each seed the picture that is tried beside its own."""
    return unsteered.draw(prompt, [seed + SEED_STRIDE for seed in seeds])


def _best_of_2(
    pipeline: DiffusionPipeline, folder: EvaluationFolder, prompt: ScenePrompt, seeds: Sequence[int]
) -> Drawn:
    """Of each seed the better of the two unsteered pictures, which are drawn already."""
    number, scene = folder.suite.prompts.index(prompt), ground_prompt(pipeline, prompt.text, prompt.scene)

    def best(seed: int) -> Tensor:
        pictures = [from_image(folder.read_picture(arm, number, seed)) for arm in (UNSTEERED, OTHER_SEEDS)]
        return best_picture(scene, torch.stack(pictures))

    return Drawn(torch.stack([best(seed) for seed in seeds]))


def _in_comfyui(
    comfyui: ComfyUI, model: str, settings: Mapping[str, Any], prompt: ScenePrompt, seeds: Sequence[int]
) -> Drawn:
    """What a running ComfyUI draws in core's areas."""
    return Drawn(comfyui.draw(model, settings["steps"], settings["guidance_scale"], prompt, seeds))
