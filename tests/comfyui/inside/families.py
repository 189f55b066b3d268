"""A network of a family at reduced size: its maps, their gradient, and steering: FAMILY…"""

from __future__ import annotations

import math
from functools import partial

import torch
from attention_calls import Calls, fits
from family_models import OBJECTS, ROWS, scene_of
from setting import arguments, report
from spatial_steering.steering_core.backends.comfyui.families import readable_network
from spatial_steering.steering_core.backends.comfyui.inference_weights import ordinary_weights
from spatial_steering.steering_core.backends.comfyui.probe import probe_model
from spatial_steering.steering_core.backends.comfyui.sampling import steer_model
from spatial_steering.steering_core.care import mutable
from spatial_steering.steering_core.layers import default_layers
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.probe import MapRequest
from spatial_steering.steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering


def plain_columns(row, q, k, mask, over_all_keys):
    """Columns of the whole map's softmax, over all keys or those of the text."""
    logits = q.double() @ k.double().transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        logits = logits + mask
    tokens = row.size[0] * row.size[1]
    first_text, first_image = row.before_text or 0, row.before_image or 0
    logits = logits[..., first_image : first_image + tokens, :]
    first = first_text + row.first
    if not over_all_keys:
        logits, first = logits[..., first_text : first_text + row.texts], row.first
    probabilities = logits.softmax(dim=-1)
    columns = [probabilities[..., [first + index for index in indices]].mean(dim=-1) for indices in OBJECTS]
    return torch.stack(columns, dim=1).unflatten(-1, row.size).float()


def family(name):
    """What the test holds against what is expected."""
    row = ROWS[name]
    model, conditioning = row.model(), row.conditioning()
    vectors = conditioning[0][0]
    readable = readable_network(model)
    wanted = default_layers(readable.layers)

    sample = partial(row.sample, conditioning=conditioning)
    told = {"layers": [layer.name for layer in readable.layers], "heads": readable.layers[0].heads}

    def look(executor, guider, sigmas, extra_args, callback, noise, *rest, **named):
        """Stand where steering stands, and probe."""
        sigma, options = sigmas[0].item() * 0.7, extra_args["model_options"]
        (condition,) = guider.conds["positive"]
        x = noise * sigma

        def probe(x, tokens, layers, over_all_keys=False):
            request = MapRequest(tokens, layers, over_all_keys)
            return probe_model(guider, condition, x, sigma, options, readable, request)

        with ordinary_weights(guider), torch.inference_mode(False):
            names = [layer.name for layer in readable.layers]
            x = x.clone()
            with torch.no_grad():
                for over_all_keys in (False, True):
                    with Calls() as calls:
                        maps = probe(x, OBJECTS, names, over_all_keys).layers
                    read = [call for call in calls.seen if fits(row, *call)]
                    if row.before_text is None:  # the columns are an attention of the same lengths, and come before
                        read = read[1::2]
                    differences = [
                        (maps[layer] - plain_columns(row, *call, over_all_keys)).abs().max().item()
                        for layer, call in zip(names, read)
                    ]
                    told["over all keys" if over_all_keys else "over the text"] = max(differences)
                    told["calls"] = len(differences)
                told["shape"] = list(maps[names[0]].shape)
                every = [(index - row.first,) for index in range(row.texts)]
                total = torch.cat(
                    [probe(x, every[n : n + 8], names).layers[names[-1]] for n in range(0, row.texts, 8)], 1
                )
                told["sum"] = (total.sum(dim=1) - 1).abs().max().item()
            generator = torch.Generator().manual_seed(5)
            weights = {layer: torch.randn(maps[layer].shape, generator=generator).to(x) for layer in wanted}

            def value(x):
                maps = probe(x, OBJECTS, wanted).layers
                return sum((maps[layer] * weights[layer]).sum() for layer in wanted)

            with torch.enable_grad(), mutable():
                leaf = x.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(value(leaf.clone()), leaf)
            direction = gradient / gradient.norm()
            step = 0.02 * x.norm().item() ** 0.5 / max(1.0, gradient.norm().item())
            with torch.no_grad():
                both = [value(x + sign * step * direction).item() for sign in (1, -1)]
            told["gradient"] = gradient.norm().item()
            told["finite difference"] = (both[0] - both[1]) / (2 * step)
        return executor(guider, sigmas, extra_args, callback, noise, *rest, **named)

    watched = model.clone()
    watched.add_wrapper_with_key("sampler_sample", "look", look)
    sample(watched)

    plain = sample(model)
    told["finite"] = bool(plain.isfinite().all())
    for update in (DESCENT, GUIDANCE):
        still = Steering(scene_of(vectors), CentroidLoss(), SteeringSchedule(update, step_size=0.0))
        told[f"untouched, {update}"] = torch.equal(sample(steer_model(model, still)), plain)
        moving = Steering(scene_of(vectors), CentroidLoss(), SteeringSchedule(update, step_size=0.05))
        told[f"moved, {update}"] = not torch.equal(sample(steer_model(model, moving)), plain)
        told[f"unsteered, {update}"] = [str(step) for step in moving.unsteered]
    schedule = SteeringSchedule(step_size=0.02, refinements=5, target=-9.0)
    descending = Steering(scene_of(vectors), CentroidLoss(), schedule)
    sample(steer_model(model, descending))
    told["losses"] = [entry.loss.mean().item() for entry in descending.trace if entry.step == 0]
    told["as it was"] = torch.equal(sample(model), plain)
    return told


with torch.inference_mode():
    report({name: family(name) for name in arguments or ROWS})
