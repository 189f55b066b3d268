"""Forwards of a network while it is steered, with looks by a sampler's own and with looks apart: FOLDER."""

import torch
from comfy.patcher_extension import WrappersMP
from setting import PROMPT, EasyCacheNode, Scene, arguments, backend, report, samplers, text
from spatial_steering.steering_core.backends.comfyui.conditions import CARRIED
from spatial_steering.steering_core.backends.comfyui.own_forwards import OwnForwards
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

from nodes import (
    ConditioningCombine,
    ConditioningSetAreaPercentage,
    ConditioningSetAreaStrength,
    ConditioningSetTimestepRange,
)

STEPS = 4
(folder,) = arguments


class Apart:
    """In this context, no forward of a sampler is looked at."""

    def __enter__(self):
        self.own, OwnForwards.can_serve = OwnForwards.can_serve, lambda *_: False

    def __exit__(self, *_):
        OwnForwards.can_serve = self.own


with torch.inference_mode():
    scene, log, result = Scene(folder), RunLog(), {}
    plain_positive, _ = text.encode_prompt(scene.clip, PROMPT)
    network = scene.model.model.diffusion_model
    other = scene.clip.encode_from_tokens_scheduled(scene.clip.tokenize("a photo of a car"))

    def sampled(model=scene.model, positive=plain_positive, sampler="euler", cfg=1.0, fails=0, **schedule):
        """The latent, how often the network was run, and what steering saw."""
        calls = []

        class Failing(CentroidLoss):
            def for_network(self, network, relations):
                return Failing(layers=super().for_network(network, relations).layers)

            def __call__(self, *args):
                calls.append(args)
                if len(calls) > fails:
                    raise ArithmeticError("deliberate")
                return super().__call__(*args)

        loss = Failing() if fails else CentroidLoss()
        model = backend.steer_model(model, Steering(CARRIED, loss, SteeringSchedule(**{"bound": 0.0, **schedule})), log)
        scene.positive, runs = positive, []
        with network.register_forward_pre_hook(lambda *_: runs.append(None)):
            latent = scene.sample(model, sampler, STEPS, cfg=cfg)
        run = log.run_of(latent)
        entries = [[entry.step, entry.refinement, float(entry.loss.mean())] for entry in run.entries]
        return latent, len(runs), entries, [str(step) for step in run.unsteered]

    def told(**options):
        """What a run is, and the same with its looks apart."""
        latent, runs, entries, unsteered = sampled(**options)
        with Apart():
            expected, runs_apart, entries_apart, unsteered_apart = sampled(**options)
        return {
            "runs": runs,
            "runs apart": runs_apart,
            "entries": entries,
            "entries apart": entries_apart,
            "unsteered": unsteered,
            "unsteered apart": unsteered_apart,
            "difference": float((latent - expected).abs().max() / expected.abs().max()),
        }

    (cached,) = EasyCacheNode.execute(scene.model, 0.2, 0.0, 1.0, False).result
    (combined,) = ConditioningCombine().combine(plain_positive, other)
    (faint,) = ConditioningSetAreaStrength().append(other, 0.0)
    (beside_faint,) = ConditioningCombine().combine(plain_positive, faint)
    (halved,) = ConditioningSetAreaPercentage().append(plain_positive, 1.0, 1.0, 0.0, 0.0, 1.0)
    replacing = scene.model.clone()
    replacing.model_options["transformer_options"]["optimized_attention_override"] = lambda kernel, *a, **k: kernel(
        *a, **k
    )

    def in_parts(executor, model, conds, x, timestep, options):
        """Another pack's wrapper, that samples each half of the picture by itself."""
        halves = [executor(model, conds, half, timestep, options) for half in x.chunk(2, dim=-1)]
        return [torch.cat(parts, dim=-1) for parts in zip(*halves)]

    def one_by_one(args):
        """Another pack's, that samples each picture by itself."""
        x, sigma, rest = args["input"], args["sigma"], args["model_options"]
        each = [
            samplers.calc_cond_batch(args["model"], args["conds"], x[i : i + 1], sigma[i : i + 1], rest)
            for i in range(len(x))
        ]
        return [torch.cat(pictures) for pictures in zip(*each)]

    tiled, single = scene.model.clone(), scene.model.clone()
    tiled.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "tiles", in_parts)
    single.set_model_sampler_calc_cond_batch_function(one_by_one)
    (early,) = ConditioningSetTimestepRange().set_range(plain_positive, 0.0, 0.25)
    (late,) = ConditioningSetTimestepRange().set_range(other, 0.25, 1.0)
    (meeting,) = ConditioningCombine().combine(early, late)
    for update in (DESCENT, GUIDANCE):
        ways = {"update": update, "end": 0.5, "target": -9.0}
        result[update] = {
            "alone": told(**ways),
            "heun": told(sampler="heun", **ways),
            "noisy": told(sampler="euler_ancestral", **ways),
            "guided": told(cfg=5.0, **ways),
            "combined": told(positive=combined, **ways),
            "beside one without weight": told(positive=beside_faint, **ways),
            "area": told(positive=halved, **ways),
            "cache": told(model=cached, **ways),
            "override": told(model=replacing, **ways),
            "tiled": told(model=tiled, **ways),
            "single": told(model=single, **ways),
            "meeting": told(positive=meeting, **ways),
            "fails": told(fails=1, **ways),
        }
    result["bound"] = {
        f"{sampler}, {share}": told(sampler=sampler, end=0.5, target=-9.0, bound=share)
        for sampler in ("euler", "heun", "dpmpp_2m")
        for share in (0.5, 0.75, 1.0)
    }
report(result)
