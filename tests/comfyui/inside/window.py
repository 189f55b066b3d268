"""Which steps are steered where the noise of a flow is shifted, and what ComfyUI takes the noise to be: FAMILY…"""

import torch
from family_models import ROWS, scene_of
from setting import Scene, arguments, report
from spatial_steering.steering_core.backends.comfyui.noise import noise_shares
from spatial_steering.steering_core.backends.comfyui.sampling import steer_model
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.plan import plan
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

STEPS = 8


def told(model, scene, sample):
    """Of one model: sigmas and noise of each step, and by update rule the steered steps and what is said of them."""
    seen = {}
    for update in (DESCENT, GUIDANCE):
        # A margin that no picture meets, so that no step rests.
        steering = Steering(scene, CentroidLoss(margin=0.99), SteeringSchedule(update))
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


if __name__ == "__main__":
    with torch.inference_mode():
        report({name: of_family(name) for name in arguments})
