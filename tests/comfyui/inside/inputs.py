"""Inputs beyond the plain ones: no relations, masks, weights and long prompts, other models."""

import torch
from setting import PROMPT, ControlNetApplyAdvanced, Scene, backend, random_control_net, report
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

with torch.inference_mode():
    scene = Scene()
    result = {}

    calm = backend.ground_prompt(scene.clip, "a dog and a cat")
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
    grounded = backend.ground_prompt(scene.clip, weighted)
    tokens = backend.prompt_tokens(scene.clip, weighted)
    result["texts"] = ["".join(tokens[index].text for index in indices) for indices in grounded.tokens]
    result["chunks"] = [index // 77 for indices in grounded.tokens for index in indices]
    result["conditioning"] = scene.clip.encode_from_tokens(scene.clip.tokenize(weighted)).shape[1] == len(tokens)

    try:
        backend.steer_model(scene.model, Steering(scene.grounded, CentroidLoss(layers=("up.9",))))
    except ValueError as error:
        result["layers"] = str(error)

    short = scene.clip.encode_from_tokens_scheduled(scene.clip.tokenize(PROMPT))
    scene.positive = [[short[0][0][:, :4], short[0][1]]]
    try:
        scene.sample(steered)
    except IndexError as error:
        result["other prompt"] = str(error)
report(result)
