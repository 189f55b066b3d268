"""What nodes that look at finished pictures make of inputs that lack something."""

import math

import torch
from setting import Scene, report
from spatial_steering.nodes.report import SteeringReport, TokenMapPreview
from spatial_steering.nodes.score import DetectMiniatureObjects, KeepBest, SpatialScore


def refusal(work, *given):
    """What a node says, or none if it runs."""
    try:
        work(*given)
    except ValueError as error:
        return str(error)


with torch.inference_mode():
    scene, result = Scene(batch=3), {}
    model, log = scene.steered(scene.model)
    samples = scene.sample(model, steps=4)
    pictures = scene.vae.decode(samples)
    boxes = DetectMiniatureObjects.execute(pictures).args[0]
    scored = SpatialScore.execute(pictures, scene.grounded, boxes).args[1]
    result["places"] = {}
    for name, places in {"all": [5, 6, 7], "one": [5], "none": []}.items():
        kept = KeepBest.execute(pictures, scored, 3, {"samples": samples, "batch_index": places}).args
        result["places"][name] = [kept[1]["batch_index"], [int(number) - 1 for number in kept[2].split(", ")]]
    result["no vae"] = refusal(TokenMapPreview.execute, {"samples": samples}, log, None)
    boxes[1].append({"x": math.nan, "y": 2.0, "width": 3.0, "height": 4.0, "label": "giraffe"})
    result["no box, scored"] = refusal(SpatialScore.execute, pictures, scene.grounded, boxes)
    result["no box, reported"] = SteeringReport.execute({"samples": samples}, log, pictures, boxes).args[1]
report(result)
