"""The learned loss and its combinations, through the pack's own nodes: CLASSIFIER OTHER_CLASSIFIER."""

from pathlib import Path

import torch
from setting import Scene, arguments, backend, folder_paths, report
from spatial_steering.nodes.learned import LearnedRelationLoss, LoadRelationClassifier
from spatial_steering.nodes.losses import CombineLosses, PresenceLossNode
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.steering import Steering

fitting, other = (Path(file) for file in arguments)
folder_paths.add_model_folder_path("relation_classifiers", str(fitting.parent))


def loss_of(file):
    classifier, summary = LoadRelationClassifier.execute(file.name).result
    result["summary"] = summary
    return LearnedRelationLoss.execute(classifier, 1.0).result[0]


with torch.inference_mode():
    scene, result = Scene(), {}
    plain = scene.sample(scene.model)
    learned = loss_of(fitting)
    (presence,) = PresenceLossNode.execute(0.5).result
    (combined,) = CombineLosses.execute({"loss0": CentroidLoss(), "loss1": presence, "loss2": learned}).result
    for name, loss in {"learned": learned, "presence": presence, "combined": combined}.items():
        steering = Steering(scene.grounded, loss)
        moved = scene.sample(backend.steer_model(scene.model, steering))
        result[name] = {
            "moved": bool(moved.isfinite().all()) and not torch.equal(moved, plain),
            "losses": [entry.loss[0, 0].item() for entry in steering.trace],
            "first": [steering.trace[0].step, steering.trace[0].gradient_norm[0].item()],
        }
    names = [None, fitting.name, fitting.name]
    fingerprints = [LoadRelationClassifier.fingerprint_inputs(name) for name in names]
    (fitting.parent / "new").write_bytes(fitting.read_bytes())
    (fitting.parent / "new").replace(fitting)
    fingerprints.append(LoadRelationClassifier.fingerprint_inputs(fitting.name))
    result["fingerprints"] = fingerprints
    result["untouched"] = torch.equal(scene.sample(scene.model), plain)
    try:
        backend.steer_model(scene.model, Steering(scene.grounded, loss_of(other)))
    except ValueError as error:
        result["refused"] = str(error)
report(result)
