"""Which steps are steered where the noise of a flow is shifted, and what ComfyUI takes the noise to be: FAMILY…

And which are where a schedule's noise does not only fall.
"""

import torch
from family_models import ROWS, scene_of
from setting import ModelNoiseScale, Scene, arguments, report, samplers
from spatial_steering.steering_core.backends.comfyui.noise import noise_shares
from spatial_steering.steering_core.backends.comfyui.sampling import steer_model
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.plan import plan
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.report.notes import RunNotes
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

STEPS = 8
#: Schedules of other samplers' graphs: a restart, and noise that is put into a picture (Flip Sigmas).
TURNING = {
    "restart": [14.6, 8.0, 4.0, 8.0, 4.0, 2.0, 1.0, 0.0],
    "unsampling": [1e-4, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 14.6],
}


def told(model, scene, sample):
    """Of one model: sigmas and noise of each step, and by update rule the steered steps and what is said of them."""
    seen = {}
    for update in (DESCENT, GUIDANCE):
        # A margin that no picture meets, so that no step rests. Bound objects are moved in fewer steps.
        steering = Steering(scene, CentroidLoss(margin=0.99), SteeringSchedule(update, bound=0.0))
        plans = []
        steered = steer_model(
            model, steering, on_begin=lambda bound, steps, plans=plans: plans.append(plan(bound, steps))
        )

        def look(executor, guider, sigmas, *rest, **named):
            seen["sigmas"] = sigmas[:-1].tolist()
            seen["noise"] = noise_shares(guider.inner_model.model_sampling, sigmas)
            return executor(guider, sigmas, *rest, **named)

        steered.add_wrapper_with_key("sampler_sample", "look", look)
        sample(steered)
        assert not steering.unsteered
        seen[update] = {"steps": sorted({entry.step for entry in steering.trace}), "plan": plans[0]}
    return seen


def of_family(name):
    """A network of the table with random weights, or the miniature's UNet."""
    if name == "UNet":
        miniature = Scene()
        return told(miniature.model, miniature.grounded, lambda model: miniature.sample(model, steps=STEPS))
    row = ROWS[name]
    conditioning = row.conditioning()
    return told(row.model(), scene_of(conditioning[0][0]), lambda model: row.sample(model, conditioning, steps=STEPS))


def where_noise_rises(sampler):
    """By schedule, of a sampler: the steps at which each update rule looks, and those in which objects are bound."""
    scene, told, bound = Scene(batch=1), {}, []

    class Counting(RunNotes):
        """Counts the forwards in which objects are bound."""

        def took_bound(self, step, reason):
            bound.append(step)
            super().took_bound(step, reason)

    def run(sigmas, **schedule):
        log = RunLog()
        steering = Steering(
            scene.grounded, CentroidLoss(margin=0.99), SteeringSchedule(refinements=1, **schedule), Counting()
        )
        guider = samplers.CFGGuider(steer_model(scene.model, steering, log))
        guider.set_conds(scene.positive, scene.negative)
        guider.set_cfg(5.0)
        noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(4))
        return log.run_of(
            guider.sample(noise, torch.zeros_like(noise), samplers.ksampler(sampler), torch.tensor(sigmas), seed=4)
        )

    for name, sigmas in TURNING.items():
        runs = {update: run(sigmas, update=update, end=0.6) for update in (DESCENT, GUIDANCE)}
        told[name] = {update: sorted({entry.step for entry in of.entries}) for update, of in runs.items()}
        told[name]["bound"] = sorted(run(sigmas, strength=0.0, bound=0.6).binding.bound)
    bound.clear()
    run(TURNING["restart"], end=0.6, bound=0.3, restarts=1, restart_overlap=0.0)
    told["begun again"] = bound
    return told


def moves(noise_scale):
    """By update rule, how far the first move shifts the latent of a flow whose noise is scaled: root mean square."""
    row = ROWS["Z-Image"]
    (model,), conditioning = ModelNoiseScale().patch(row.model(), noise_scale), row.conditioning()
    sigmas = torch.tensor([1.0, 0.5, 0.0])

    def latents(model):
        guider, seen = samplers.CFGGuider(model), []
        guider.set_conds(conditioning, conditioning)
        guider.set_cfg(1.0)
        noise = torch.randn(row.latent().shape, generator=torch.Generator().manual_seed(4))

        def watch(step, denoised, x, steps):
            seen.append(x.clone())

        guider.sample(noise, torch.zeros_like(noise), samplers.ksampler("euler"), sigmas, callback=watch, seed=4)
        return seen

    scene, plain, told = scene_of(conditioning[0][0]), latents(model), {}
    for update, begun in ((DESCENT, 0), (GUIDANCE, 1)):
        schedule = SteeringSchedule(update, end=0.5, refinements=1, spread=False, bound=0.0)
        steered = latents(steer_model(model, Steering(scene, CentroidLoss(margin=0.99), schedule)))
        told[update] = (steered[begun] - plain[begun]).square().mean().sqrt().item()
    return told


if __name__ == "__main__":
    with torch.inference_mode():
        rising = {sampler: where_noise_rises(sampler) for sampler in ("euler", "heun")}
        scaled = {noise_scale: moves(noise_scale) for noise_scale in (1.0, 8.0)}
        report({"rising": rising, "scaled": scaled, **{name: of_family(name) for name in arguments}})
