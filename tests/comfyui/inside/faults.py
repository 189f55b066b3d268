"""Whatever fails in a probe, at every steered step and by both rules: what is left of model and picture."""

import itertools
import logging

import torch
from setting import FailingLoss, Scene, backend, model_management, report
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

STEPS = 8


def out_of_memory(loss):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def error(loss):
    raise ArithmeticError("deliberate")


def not_a_number(loss):
    """Of the first picture alone."""
    return loss * loss.new_tensor([torch.nan, *[1.0] * (len(loss) - 1)])


def cancel(loss):
    model_management.interrupt_current_processing()
    return loss


logging.disable(logging.WARNING)
with torch.inference_mode():
    scene, log, result = Scene(batch=2), RunLog(), {}
    plain = scene.sample(scene.model)
    network = scene.model.model.diffusion_model
    options = repr(scene.model.model_options)

    def state():
        """What a run could leave behind."""
        return (
            [(id(weight), weight.is_inference(), weight.requires_grad) for weight in network.parameters()],
            [name for part in network.modules() for name in vars(part)],
            repr(scene.model.model_options),
        )

    before = state()
    window = SteeringSchedule().steered_steps(STEPS)
    kinds = {
        "out of memory once": (out_of_memory, 1),
        "out of memory": (out_of_memory, 100),
        "error": (error, 100),
        "not a number": (not_a_number, 1),
        "cancel": (cancel, 1),
    }
    for update, (kind, (act, length)), step in itertools.product((DESCENT, GUIDANCE), kinds.items(), window):
        cancelled = {"refinements": 2, "target": -1.0}
        schedule = SteeringSchedule(update, **(cancelled if kind == "cancel" else {"refinements": 1}))
        steering = Steering(scene.grounded, FailingLoss(act, step, step + length), schedule)
        told = {}
        try:
            run = log.run_of(scene.sample(backend.steer_model(scene.model, steering, log)))
            told["finite"] = bool(run.latent.isfinite().all())
            told["probed"] = [entry.step for entry in run.entries]
            told["unsteered"] = [str(left_out) for left_out in run.unsteered]
            told["each moved"] = (run.latent - plain.cpu()).flatten(1).norm(dim=1).tolist()
        except model_management.InterruptProcessingException:
            told["cancelled"] = True
        told["untouched"] = state() == before and torch.equal(scene.sample(scene.model), plain)
        result.setdefault(f"{kind}, {update}", {})[step] = told
report(result)
