"""How many of four pictures samplers of this ComfyUI get right, unsteered and steered: MODEL, NAMES or none for all."""

import torch
from setting import Scene, arguments, backend, common_ksampler, report, samplers
from spatial_steering.steering_core.evaluation.visor import judge
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.miniature.detector import GlyphDetector
from spatial_steering.steering_core.miniature.folder import SHIPPED
from spatial_steering.steering_core.relations.relation import Relation
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

TRIPLET = ("giraffe", Relation.ABOVE, "airplane")
SEED = 2


def settings(sampler):
    """(schedule, steps, guidance scale): the defaults, where the help page of Apply Spatial Steering has no others."""
    if sampler == "lcm":
        return SteeringSchedule(GUIDANCE), 20, SCALE
    if "cfg_pp" in sampler:
        return SteeringSchedule(DESCENT, step_size=0.1), 8, 1.5
    # A third-order solver with noise draws nothing in few steps.
    return SteeringSchedule(DESCENT, step_size=STEP_SIZE), 20 if "3m" in sampler else 8, SCALE


model, *names = arguments
SCALE, SCHEDULER, STEP_SIZE = (5.0, "normal", None) if model == "miniature" else (3.5, "simple", 0.1)

with torch.inference_mode():
    scene, detector, result = Scene(SHIPPED[model], batch=4), GlyphDetector(), {}

    def right(model, sampler, steps, scale):
        """Pictures in which both objects are present and the relation holds."""
        (latent,) = common_ksampler(
            model, SEED, steps, scale, sampler, SCHEDULER, scene.positive, scene.negative, scene.latent
        )
        pictures = scene.vae.decode(latent["samples"]).movedim(-1, 1)
        return sum(judge([TRIPLET], found).correct for found in detector.detect(pictures))

    for sampler in names or samplers.SAMPLER_NAMES:
        schedule, *rest = settings(sampler)
        steered = backend.steer_model(scene.model, Steering(scene.grounded, CentroidLoss(), schedule))
        result[sampler] = [right(model, sampler, *rest) for model in (scene.model, steered)]
report(result)
