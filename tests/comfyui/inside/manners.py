"""What steering leaves behind, for one sampler and update rule: SAMPLER UPDATE."""

import torch
from setting import FailingLoss, Scene, arguments, backend, model_management, report
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.schedule import SteeringSchedule
from spatial_steering.steering_core.steering import Steering

sampler, update = arguments


def fail(loss):
    raise ArithmeticError("deliberate")


def cancel(loss):
    model_management.interrupt_current_processing()
    return loss


with torch.inference_mode():
    scene = Scene()
    plain = scene.sample(scene.model, sampler)
    weights = [(id(weight), weight.is_inference()) for weight in scene.model.model.diffusion_model.parameters()]

    def steer(loss=None, **schedule):
        """Sample steered; what is left of the model is then compared with before."""
        steering = Steering(scene.grounded, loss or CentroidLoss(), SteeringSchedule(update=update, **schedule))
        steered = scene.sample(backend.steer_model(scene.model, steering), sampler)
        return steered, steering.trace

    def untouched():
        """Whether the model samples as before, and holds the same tensors."""
        after = [(id(weight), weight.is_inference()) for weight in scene.model.model.diffusion_model.parameters()]
        return torch.equal(scene.sample(scene.model, sampler), plain) and after == weights

    result = {}
    steered, trace = steer()
    result["moved"] = not torch.equal(steered, plain)
    result["finite"] = bool(steered.isfinite().all())
    result["steps"] = sorted({entry.step for entry in trace})
    result["after success"] = untouched()
    result["step of zero"] = ((steer(step_size=0.0)[0] - plain).norm() / plain.norm()).item()
    failed, trace = steer(FailingLoss(fail, 1, 100))
    result["finite after error"] = bool(failed.isfinite().all())
    result["after error"] = untouched()
    try:
        steer(FailingLoss(cancel, 1, 2), refinements=3)
    except model_management.InterruptProcessingException:
        result["cancelled"] = True
    result["after cancel"] = untouched()
report(result)
