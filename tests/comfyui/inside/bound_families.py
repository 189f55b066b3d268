"""A network of a family at reduced size, whose objects are bound to their regions: FAMILY…"""

from __future__ import annotations

from functools import partial

import torch
from attention_calls import Calls, fits
from family_models import OBJECTS, ROWS, scene_of
from setting import arguments, report
from spatial_steering.steering_core.backends.comfyui.sampling import steer_model
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import SteeringSchedule
from spatial_steering.steering_core.steering import Steering


def hidden_pairs(row, queries, keys):
    """Who must not see whom by the row's own count, (queries, keys): the first object is above, the second below."""
    height, width = row.size
    below = ((torch.arange(height) + 0.5) / height >= 0.5).repeat_interleave(width)
    hidden = torch.zeros(queries, keys, dtype=torch.bool)
    first = (row.before_text or 0) + row.first
    image = slice(row.before_image or 0, (row.before_image or 0) + height * width)
    for tokens, outside in zip(OBJECTS, (below, ~below)):
        for token in tokens:
            hidden[image, first + token] = outside
            if row.before_text is not None:
                hidden[first + token, image] = outside
    return hidden


def seen_pairs(mask, like):
    """Who sees whom by a mask, as the shape of another; everybody without one."""
    if mask is None:
        return torch.ones_like(like)
    seen = mask if mask.dtype == torch.bool else mask > -1e3
    return seen.broadcast_to(like.shape)


def family(name):
    """What the test holds against what is expected."""
    row = ROWS[name]
    model, conditioning = row.model(), row.conditioning()
    sample = partial(row.sample, conditioning=conditioning)
    scene, log = scene_of(conditioning[0][0]), RunLog()

    def bound(share, strength=0.0):
        """The model whose objects are bound."""
        steering = Steering(scene, CentroidLoss(), SteeringSchedule(strength=strength, bound=share))
        return steer_model(model, steering, log)

    with Calls() as calls:
        plain = sample(model)
    with Calls() as bound_calls:
        moved = sample(bound(1 / 3))
    told = {"moved": not torch.equal(moved, plain), "finite": bool(moved.isfinite().all())}
    pairs = [(a, b) for a, b in zip(calls.seen, bound_calls.seen) if fits(row, *a)]
    wrong, bindings = 0, 0
    for (q, k, without), (_, _, mask) in pairs:
        like = torch.zeros(len(q), q.shape[1], q.shape[-2], k.shape[-2], dtype=torch.bool)
        before, after = seen_pairs(without, like), seen_pairs(mask, like)
        if not torch.equal(before, after):
            bindings += 1
            wrong += int((after != before & ~hidden_pairs(row, *like.shape[-2:])).sum())
    told |= {"calls": len(pairs), "bound": bindings, "wrong": wrong}
    run = log.run_of(moved)
    told["unbound"] = [str(step) for step in run.binding.unbound]
    steered = log.run_of(sample(bound(1 / 3, strength=1.0)))
    told["steered too"] = [len(steered.entries) > 0, len(steered.unsteered), len(steered.binding.unbound)]
    told["off"] = torch.equal(sample(bound(0.0)), plain)
    told["as it was"] = torch.equal(sample(model), plain)
    return told


with torch.inference_mode():
    report({name: family(name) for name in arguments or ROWS})
