"""Memory over many steered runs in a row: RUNS."""

import gc
import logging

import psutil
import torch
from setting import Scene, arguments, backend, report, text
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

logging.disable(logging.WARNING)
resident, objects = [], []
with torch.inference_mode():
    scene = Scene(batch=1)
    scene.positive, relations = text.encode_prompt(scene.clip, "a photo of a giraffe above an airplane")
    for run in range(int(arguments[0])):
        schedule = SteeringSchedule((DESCENT, GUIDANCE)[run % 2])
        scene.sample(backend.steer_model(scene.model, Steering(relations, CentroidLoss(), schedule)), steps=4)
        gc.collect()
        resident.append(psutil.Process().memory_info().rss / 2**20)
        objects.append(len(gc.get_objects()))
report({"resident": resident, "objects": objects})
