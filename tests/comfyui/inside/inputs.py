"""Inputs beyond the plain ones: no relations, masks, weights and long prompts, other models."""

import torch
from setting import (
    ControlNetApplyAdvanced,
    SamplerLCMUpscale,
    Scene,
    backend,
    random_control_net,
    report,
    samplers,
    text,
)
from spatial_steering.steering_core.editing import with_relation
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.plan import plan
from spatial_steering.steering_core.relations.relation import Relation
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering


class OwnSampler(samplers.Sampler):
    """What another pack might bring."""

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, *rest, **named):
        """As a sampler of ComfyUI."""
        return samplers.ksampler("euler").sample(model_wrap, sigmas, extra_args, callback, noise, *rest, **named)


def enlarging(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """A sampler function that another pack might bring, and that ends with a larger latent."""
    x = samplers.ksampler("euler").sampler_function(model, x, sigmas, extra_args, callback, disable)
    return torch.nn.functional.pad(x, (0, 4, 0, 4))


with torch.inference_mode():
    scene = Scene()
    result = {}

    calm = text.ground_prompt(scene.clip, "a dog and a cat")
    calmly = scene.sample(backend.steer_model(scene.model, Steering(calm, CentroidLoss())))
    result["no relation"] = torch.equal(calmly, scene.sample(scene.model))

    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 64:] = 1
    original = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    latent = {"samples": original, "noise_mask": mask}
    steered = backend.steer_model(scene.model, Steering(scene.grounded, CentroidLoss()))
    masked = scene.sample(steered, latent=latent)
    result["kept region"] = (masked - original)[..., :7].abs().max().item()
    result["open region moved"] = not torch.equal(masked, scene.sample(scene.model, latent=latent))

    small = torch.zeros(1, 1, 16, 16)
    small[..., 6:8, 6:8] = 1
    result["spread in a small mask"], result["in a closed mask"] = {}, {}
    for update in (DESCENT, GUIDANCE):
        log = RunLog()
        steered_so = backend.steer_model(
            scene.model, Steering(scene.grounded, CentroidLoss(), SteeringSchedule(update)), log
        )
        spread = [
            scene.sample(model, latent={"samples": original, "noise_mask": small})[..., 6:8, 6:8].std().item()
            for model in (scene.model, steered_so)
        ]
        result["spread in a small mask"][update] = spread
        closed = scene.sample(steered_so, latent={"samples": original, "noise_mask": 0 * small})
        result["in a closed mask"][update] = [str(step) for step in log.run_of(closed).unsteered]

    plain_positive, plain_negative = scene.positive, scene.negative
    picture = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(2))
    scene.positive, scene.negative = ControlNetApplyAdvanced().apply_controlnet(
        plain_positive, plain_negative, random_control_net(scene.model), picture, 1.0, 0.0, 1.0
    )
    for update in (DESCENT, GUIDANCE):
        controlled = backend.steer_model(
            scene.model, Steering(scene.grounded, CentroidLoss(), SteeringSchedule(update=update))
        )
        moved = scene.sample(controlled)
        result[f"control net and {update}"] = bool(moved.isfinite().all()) and not torch.equal(
            moved, scene.sample(scene.model)
        )
    scene.positive, scene.negative = plain_positive, plain_negative

    weighted = "a (giraffe:1.3) above an ((airplane)), " + "very highly detailed and sharp, " * 30 + "a dog below a cat"
    grounded = text.ground_prompt(scene.clip, weighted)
    tokens = text.prompt_tokens(scene.clip, weighted)
    inverted = text.ground_prompt(scene.clip, "embedding:cat, a cat above a dog")
    result["beside an embedding"] = list(inverted.names)
    alone = text.ground_prompt(scene.clip, "embedding:giraffe above an airplane")
    result["an embedding alone"] = [alone.summary(), alone.scene.as_written, plan(Steering(alone, CentroidLoss()), 8)]
    for key, prompt in {
        "a weight of 0": "a photo of a (giraffe:0) above an (airplane:0), a dog to the left of a cat",
        "unseen": "a gi\u200braffe above an air\u00adplane",
        "seen": "a giraffe above an airplane",
        "an embedding in a place": "a photo of embedding:giraffe above an airplane",
    }.items():
        tied = text.ground_prompt(scene.clip, prompt)
        said = ["".join(tied.sequence[index].text for index in indices) for indices in tied.tokens]
        result[key] = [tied.summary(), said, tied.scene.as_written == prompt]
    try:
        with_relation(inverted.scene, "giraffe", Relation.ABOVE, "cat")
    except ValueError as error:
        result["an embedding alone"].append(str(error))
    result["texts"] = ["".join(tokens[index].text for index in indices) for indices in grounded.tokens]
    result["chunks"] = [index // 77 for indices in grounded.tokens for index in indices]
    result["conditioning"] = scene.clip.encode_from_tokens(scene.clip.tokenize(weighted)).shape[1] == len(tokens)

    def sample_with(sampler, model):
        """As SamplerCustom does."""
        guider = samplers.CFGGuider(model)
        guider.set_conds(scene.positive, scene.negative)
        guider.set_cfg(5.0)
        sigmas = samplers.calculate_sigmas(scene.model.get_model_object("model_sampling"), "normal", 8)
        noise = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(4))
        return guider.sample(noise, torch.zeros_like(noise), sampler, sigmas, seed=4)

    unsteered = sample_with(OwnSampler(), scene.model)
    guided = backend.steer_model(
        scene.model, Steering(scene.grounded, CentroidLoss(), SteeringSchedule(update=GUIDANCE))
    )
    result["own sampler"] = not torch.equal(sample_with(OwnSampler(), guided), unsteered)
    try:
        sample_with(OwnSampler(), steered)
    except RuntimeError as error:
        result["own sampler and descent"] = str(error)

    result["enlarging"] = {}
    for name, sampler in {
        "SamplerLCMUpscale": SamplerLCMUpscale.execute(1.25, 1, "bilinear")[0],
        "of another pack": samplers.KSAMPLER(enlarging),
    }.items():
        try:
            sample_with(sampler, steered)
        except RuntimeError as error:
            result["enlarging"][name] = {"told": str(error)}
        sizes = [list(sample_with(sampler, model).shape[-2:]) for model in (scene.model, guided)]
        result["enlarging"][name]["sizes"] = sizes
    same_size = SamplerLCMUpscale.execute(1.0, -1, "bislerp")[0]
    result["not enlarging"] = list(sample_with(same_size, steered).shape[-2:])
    try:
        backend.steer_model(steered, Steering(scene.grounded, CentroidLoss()))
    except ValueError as error:
        result["steered twice"] = str(error)
    scene.positive = []
    try:
        scene.sample(steered)
    except RuntimeError as error:
        result["no positive"] = str(error)
    log = RunLog()
    scene.positive = [[plain_positive[0][0], {**plain_positive[0][1], "area": (8, 8, 0, 0), "strength": 1.0}]]
    run = log.run_of(scene.sample(backend.steer_model(scene.model, Steering(scene.grounded, CentroidLoss()), log)))
    result["size of maps for an area"] = list(run.entries[0].mean_map.shape[-2:])
    scene.positive = plain_positive

    try:
        backend.steer_model(scene.model, Steering(scene.grounded, CentroidLoss(layers=("up.9",))))
    except ValueError as error:
        result["layers"] = str(error)

report(result)
