"""What is recorded of samplers, by both rules: the steps probed, predicted and told of: NAMES, or none for all."""

import torch
from setting import Scene, arguments, backend, report, samplers
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

STEPS = 6

with torch.inference_mode():
    scene, result = Scene(batch=1), {}
    for sampler in arguments or samplers.SAMPLER_NAMES:
        for update in (DESCENT, GUIDANCE):
            told, log = [], RunLog()
            steering = Steering(scene.grounded, CentroidLoss(), SteeringSchedule(update, end=0.34, refinements=1))
            model = backend.steer_model(
                scene.model, steering, log, on_step=lambda _, step, steps, *rest, told=told: told.append([step, steps])
            )
            run = log.run_of(scene.sample(model, sampler, STEPS))
            result[f"{sampler} {update}"] = {
                "probed": sorted({entry.step for entry in run.entries}),
                "predicted": sorted(run.predictions),
                "told": told,
            }
report(result)
