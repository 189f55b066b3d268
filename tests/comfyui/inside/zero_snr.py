"""Noise guidance where a schedule ends in pure noise, and on every kind of prediction."""

import torch
from setting import ModelSamplingDiscrete, ModelSamplingSD3, Scene, backend, common_ksampler, report, samplers
from spatial_steering.steering_core.evaluation.visor import judge
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.miniature.detector import GlyphDetector
from spatial_steering.steering_core.relations.relation import Relation
from spatial_steering.steering_core.schedule import GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

STEP_SIZE = 0.5
TRIPLET = ("giraffe", Relation.ABOVE, "airplane")

with torch.inference_mode():
    scene, detector, result = Scene(batch=8), GlyphDetector(), {}

    def steered(model):
        """By noise guidance."""
        schedule = SteeringSchedule(GUIDANCE, step_size=STEP_SIZE)
        return backend.steer_model(model, Steering(scene.grounded, CentroidLoss(), schedule))

    def with_both_objects(model):
        """How many of eight pictures."""
        (latent,) = common_ksampler(model, 3, 25, 5.0, "euler", "normal", scene.positive, scene.negative, scene.latent)
        pictures = scene.vae.decode(latent["samples"]).movedim(-1, 1)
        return sum(judge([TRIPLET], found).present for found in detector.detect(pictures))

    def shifts(model):
        """By how much guidance moves the denoised latent at its first step, in step sizes; and at which noise level."""
        seen = []

        def before(args):
            seen.append([args["denoised"].clone(), float(args["sigma"].flatten()[0])])
            return args["denoised"]

        watched = model.clone()
        watched.set_model_sampler_post_cfg_function(before)
        guider = samplers.CFGGuider(steered(watched))
        guider.set_conds(scene.positive, scene.negative)
        guider.set_cfg(5.0)
        sigmas = samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 4)
        noise = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(4))
        after = []

        def watch(step, denoised, x, steps):
            after.append(denoised.clone())

        guider.sample(noise, torch.zeros_like(noise), samplers.ksampler("euler"), sigmas, callback=watch, seed=0)
        (first, sigma), moved = seen[0], after[0]
        return {"sigma": sigma, "shift": ((moved - first).pow(2).mean().sqrt() / STEP_SIZE).item()}

    (model,) = ModelSamplingDiscrete().patch(scene.model, "v_prediction", zsnr=True)
    result["with both objects"] = [with_both_objects(model), with_both_objects(steered(model))]
    for prediction in ("eps", "v_prediction", "x0"):
        for zsnr in (False, True):
            (model,) = ModelSamplingDiscrete().patch(scene.model, prediction, zsnr=zsnr)
            result[f"{prediction}, zsnr {zsnr}"] = shifts(model)
    (model,) = ModelSamplingSD3().patch(scene.model, 3.0)
    result["flow"] = shifts(model)
report(result)
