"""Pictures that begin again: which, from what noise, and what that leaves alone."""

import logging
from types import SimpleNamespace

import torch
from setting import (
    APG,
    ConditioningSetProperties,
    ControlBase,
    CreateHookKeyframe,
    FailingLoss,
    ReferenceLatent,
    Scene,
    SetHookKeyframes,
    backend,
    hooks,
    model_management,
    report,
    sample,
)
from spatial_steering.steering_core.backends.comfyui.watch import StepWatch
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.miniature.folder import FLUX_MINIATURE_DIR
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import SteeringSchedule
from spatial_steering.steering_core.steering import Steering

STEPS, PICTURES = 12, 3
#: Samplers that add noise in each step.
NOISY = ("euler_ancestral", "dpmpp_sde")


class ForeignControl(ControlBase):
    """A control net of other nodes, which adds nothing and knows its hint by another name than ComfyUI's."""

    def __init__(self):
        super().__init__()
        del self.cond_hint_original

    def get_control(self, *arguments):
        return {}


def cancel(loss):
    model_management.interrupt_current_processing()
    return loss


def error(loss):
    raise ArithmeticError("deliberate")


logging.disable(logging.WARNING)
with torch.inference_mode():
    scene, result = Scene(batch=PICTURES), {}
    look = SteeringSchedule(restarts=1).look_before_restart(STEPS)
    noise = sample.prepare_noise(scene.latent["samples"], 7)

    def run_of(
        loss=None,
        sampler="euler",
        told=None,
        denoise=1.0,
        latent=None,
        mask=None,
        positive=None,
        model=scene.model,
        **schedule,
    ):
        """A steered run, told of by a callback."""
        log, given = RunLog(), scene.latent["samples"] if latent is None else latent
        steering = Steering(scene.grounded, loss or CentroidLoss(), SteeringSchedule(refinements=1, **schedule))
        latent = sample.sample(
            backend.steer_model(model, steering, log),
            noise,
            STEPS,
            5.0,
            sampler,
            "normal",
            positive or scene.positive,
            scene.negative,
            given,
            denoise=denoise,
            noise_mask=mask,
            callback=None if told is None else lambda step, denoised, x, steps: told.append((step, len(x), steps)),
            seed=7,
        )
        return log.run_of(latent)

    def overlaps(run):
        """Of each picture at the look."""
        return next(entry for entry in run.entries if entry.step == look).presence.worst_overlap

    def state():
        """What a run could leave behind."""
        network = scene.model.model.diffusion_model
        return (
            [(id(weight), weight.is_inference(), weight.requires_grad) for weight in network.parameters()],
            [name for part in network.modules() for name in vars(part)],
            repr(scene.model.model_options),
        )

    run_of()  # the first run of a model makes its weights ordinary
    result["samplers"] = {}
    for sampler in ("euler", "euler_ancestral", "dpmpp_sde", "uni_pc"):
        before, steps, steps_again = state(), [], []
        plain = run_of(sampler=sampler, told=steps)
        limit = overlaps(plain).max().item() - 1e-6
        crowded = int(overlaps(plain).argmax())
        again = {"restarts": 2, "restart_overlap": limit}
        run = run_of(sampler=sampler, told=steps_again, **again)
        once_more = run_of(sampler=sampler, **again) if sampler in NOISY else run
        (restarts,) = run.restarts
        result["samplers"][sampler] = {
            "crowded": crowded,
            "restarts": restarts.as_json(),
            "same": [torch.equal(a, b) for a, b in zip(run.latent, plain.latent)],
            "deterministic": torch.equal(run.latent, once_more.latent),
            "overlaps": [overlaps(plain).tolist(), overlaps(run).tolist()],
            "callbacks": steps == steps_again,
            "predictions": {
                step: [torch.equal(a, b) for a, b in zip(run.predictions[step], plain.predictions[step])]
                for step in plain.predictions
            },
            "probes": [[(entry.step, entry.refinement) for entry in one.entries] for one in (plain, run)],
            "unsteered": [str(step) for step in run.unsteered],
            "untouched": state() == before,
            "told": run.summary(),
        }

    plain = run_of()
    limit = overlaps(plain).max().item() - 1e-6
    again = {"restarts": 2, "restart_overlap": limit}

    def failing(act, first, last):
        """A run whose loss acts at these calls; those before the last three are the first attempt's."""
        return run_of(FailingLoss(act, first, last), **again)

    before = state()
    try:
        failing(cancel, look + 2, look + 3)
    except model_management.InterruptProcessingException:
        result["cancelled"] = {"untouched": state() == before, "as before": torch.equal(run_of().latent, plain.latent)}
    broken = failing(error, look + 2, 100)
    result["failed"] = {
        "told": [str(restarts) for restarts in broken.restarts],
        "untouched": state() == before,
        "steered": [entry.step for entry in broken.entries],
        "same until then": torch.equal(overlaps(broken), overlaps(plain)),
    }

    each = [[vectors.repeat(PICTURES, 1, 1), extra] for vectors, extra in scene.positive]
    result["with conditions of their own"] = (
        (run_of(positive=each, **again).latent - run_of(**again).latent).abs().max().item()
    )

    pair = Scene(FLUX_MINIATURE_DIR, batch=2)
    prompt = pair.positive
    references = torch.stack([torch.full((4, 16, 16), value) for value in (0.6, -0.6)])

    def with_references(rows, seed, limit):
        """The run of two pictures, each with a reference of its own."""
        pair.positive = ReferenceLatent.execute(prompt, {"samples": references[rows]}).result[0]
        model, log = pair.steered(pair.model, refinements=1, end=0.4, restarts=1, restart_overlap=limit)
        return log.run_of(pair.sample(model, cfg=1.0, seed=seed))

    for seed in range(10):
        ((one, other),) = [restarts.restarted for restarts in with_references([0, 1], seed, 0.0).restarts]
        if other.overlaps[0] > one.overlaps[0]:
            break  # the second one alone is crowded, by the limit between the two
    limit_between = (one.overlaps[0] + other.overlaps[0]) / 2
    runs = [with_references(rows, seed, limit_between) for rows in ([0, 1], [1, 1])]
    result["references of their own"] = {
        "restarted": [[restart.image for restart in run.restarts[0].restarted] for run in runs],
        "change": (runs[0].latent[1] - runs[1].latent[1]).abs().max().item(),
    }

    picture = torch.randn(PICTURES, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    half = torch.zeros(1, 1, 16, 16)
    half[..., 8:] = 1
    (first,) = CreateHookKeyframe().create_hook_keyframe(1.0, 0.0)
    (keyframes,) = CreateHookKeyframe().create_hook_keyframe(0.0, 0.08, first)
    (changing,) = SetHookKeyframes().set_hook_keyframes(hooks.create_hook_lora({}, 1.0, 0.0), keyframes)
    (by_keyframes,) = ConditioningSetProperties().set_properties(scene.positive, 1.0, "default", hooks=changing)
    result["kept"] = {}
    for name, given in {
        "mask": {"latent": picture, "mask": half},
        "denoise": {"latent": picture, "denoise": 0.7},
        "keyframes": {"positive": by_keyframes},
        "momentum": {"model": APG.execute(scene.model, 1.0, 15.0, 0.5).args[0]},
    }.items():
        run = run_of(restarts=2, restart_overlap=0.0, **given)
        result["kept"][name] = {
            "same": torch.equal(run.latent, run_of(**given).latent),
            "told": [str(restarts) for restarts in run.restarts],
        }
    foreign = [[vectors, {**extra, "control": ForeignControl()}] for vectors, extra in scene.positive]
    controlled = run_of(positive=foreign, restarts=1, restart_overlap=0.0)
    result["a foreign control net"] = [len(restarts.restarted) for restarts in controlled.restarts]

    seen, shown = {}, SimpleNamespace(trace=[SimpleNamespace(step=step) for step in range(2)], unsteered=[])
    watch = StepWatch(shown, scene.model.model, seen)
    watch.saw(torch.zeros(1, 4, 2, 2))
    watch.replace_image(0, {step: torch.full((4, 2, 2), float(step)) for step in range(2)})
    result["two steps seen at once"] = [seen[step].unique().tolist() for step in range(2)]

    whole = run_of(latent=picture, restarts=1, restart_overlap=0.0)
    mini, own = Scene(FLUX_MINIATURE_DIR, batch=1), RunLog()
    schedule = SteeringSchedule(refinements=1, bound=0.5, end=0.5, restarts=2, restart_overlap=0.0)
    steered = backend.steer_model(mini.model, Steering(mini.grounded, CentroidLoss(), schedule), own)
    run = own.run_of(mini.sample(steered))
    result["bound"] = [one.overlaps for restarts in run.restarts for one in restarts.restarted]
    result["all of a picture denoised"] = [len(restarts.restarted) for restarts in whole.restarts]
report(result)
