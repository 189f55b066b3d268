"""Objects bound to their regions in ComfyUI's samplers: conditionings of a graph, other patches, faults."""

from __future__ import annotations

import logging

import torch
from attention_calls import Calls
from setting import (
    PROMPT,
    Scene,
    backend,
    common_ksampler,
    model_management,
    report,
    set_torch_compile_wrapper,
    text,
)
from spatial_steering.steering_core import binding
from spatial_steering.steering_core.backends.comfyui.conditions import CARRIED
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering

from nodes import (
    ConditioningCombine,
    ConditioningConcat,
    ConditioningSetArea,
    ConditioningSetAreaStrength,
    ConditioningSetMask,
    ConditioningSetTimestepRange,
)

STEPS = 4


def failing(*_):
    raise MemoryError("deliberate")


logging.disable(logging.WARNING)
with torch.inference_mode():
    scene, log, result = Scene(batch=2), RunLog(), {}
    network = scene.model.model.diffusion_model
    parsed, relations = text.encode_prompt(scene.clip, PROMPT)
    style = scene.clip.encode_from_tokens_scheduled(scene.clip.tokenize("a photo of a car"))
    (giraffe,), (airplane,) = relations.tokens

    def bound(model=scene.model, share=0.5, wanted=relations, **schedule):
        """The model whose objects are bound."""
        chosen = SteeringSchedule(**{"strength": 0.0, "bound": share, **schedule})
        return backend.steer_model(model, Steering(wanted, CentroidLoss(), chosen), log)

    def sampled(model, positive=parsed, negative=scene.negative, sampler="euler", steps=STEPS):
        """The latent of two pictures."""
        return common_ksampler(model, 5, steps, 5.0, sampler, "normal", positive, negative, scene.latent)[0]["samples"]

    def state():
        """What a run could leave behind."""
        return (
            [(id(weight), weight.is_inference()) for weight in network.parameters()],
            [
                (name, len(value) if "hooks" in name else 0)
                for part in network.modules()
                for name, value in vars(part).items()
            ],
            repr(scene.model.model_options),
        )

    def seen(positive=parsed, negative=scene.negative, share=0.5, **options):
        """Of each part of a batch the keys that the calls of a run's cross-attention hide from the lowest cells."""
        with Calls() as calls:
            latent = sampled(bound(share=share, **options), positive, negative)
        told = []
        for query, key, mask in calls.seen:
            if key.shape[-2] % 77 or key.shape[-2] == query.shape[-2]:
                continue
            lowest = torch.zeros(len(query), key.shape[-2]) if mask is None else mask[:, 0, -1].expand(len(query), -1)
            told.append([(row < -1e3).nonzero().flatten().tolist() for row in lowest])
        run = log.run_of(latent)
        unbound = [str(step) for step in run.binding.unbound]
        return {"hidden": told, "bound": list(run.binding.bound), "unbound": unbound, "keys": [giraffe, airplane]}

    plain = sampled(scene.model)
    before = state()
    result["off"] = torch.equal(sampled(bound(share=0.0)), plain)
    result["alone"] = seen()
    left_mask = torch.zeros(1, 128, 128)
    left_mask[..., :64] = 1
    chunk = parsed[0][0].shape[1]
    long = ConditioningConcat().concat(scene.negative, scene.negative)[0]
    area = ConditioningSetArea().append(parsed, 64, 128, 0, 0, 1.0)[0]
    late = ConditioningSetTimestepRange().set_range(parsed, 0.6, 1.0)[0]
    faint = ConditioningCombine().combine(ConditioningSetAreaStrength().append(parsed, 0.0)[0], style)[0]
    result |= {
        "without weight": seen(faint),
        "combined": seen(ConditioningCombine().combine(parsed, style)[0]),
        "carried": seen(ConditioningCombine().combine(style, parsed)[0], wanted=CARRIED),
        "concatenated": {**seen(ConditioningConcat().concat(style, parsed)[0]), "chunk": chunk},
        "beside a longer one": {**seen(parsed, long), "chunk": chunk},
        "mask": seen(ConditioningSetMask().append(parsed, left_mask, "default", 1.0)[0]),
        "area": seen(area),
        "late": seen(late),
    }
    result["area is untouched"] = torch.equal(sampled(bound(), area), sampled(scene.model, area))
    result["faint is untouched"] = torch.equal(sampled(bound(), faint), sampled(scene.model, faint))
    result["late is untouched"] = torch.equal(sampled(bound(), late), sampled(scene.model, late))

    steered = {}
    for name, options in {"descent": {}, "guidance": {"update": GUIDANCE}}.items():
        latent = sampled(bound(strength=1.0, **options))
        run = log.run_of(latent)
        steered[name] = {
            "probed": sorted({entry.step for entry in run.entries}),
            "unsteered": [str(step) for step in run.unsteered],
            "bound": list(run.binding.bound),
            "other than each alone": not torch.equal(latent, sampled(bound()))
            and not torch.equal(latent, sampled(bound(share=0.0, strength=1.0, **options))),
        }
    result["steered"] = steered
    result["samplers"] = {
        sampler: [list(log.run_of(sampled(bound(), sampler=sampler)).binding.bound)]
        for sampler in ("dpmpp_2m", "heun", "uni_pc", "dpmpp_sde", "lcm")
    }

    # Another pack's override, which adds to what the kernel gives; and one that replaces a whole attention.
    asked = []

    def override(kernel, *args, **kwargs):
        asked.append(kernel.__name__)
        return kernel(*args, **kwargs)

    patched = scene.model.clone()
    patched.model_options["transformer_options"]["optimized_attention_override"] = override
    result["override"] = {
        "as without it": (sampled(bound(patched)) - sampled(bound())).abs().max().item(),
        "asked": len(asked) > 0,
    }
    compiled = scene.model.clone()
    set_torch_compile_wrapper(model=compiled, backend="eager")
    run = log.run_of(sampled(bound(compiled)))
    result["compiled"] = {
        "bound": list(run.binding.bound),
        "as uncompiled": (run.latent - sampled(bound()).cpu()).abs().max().item(),
    }
    replaced = scene.model.clone()
    replaced.set_model_attn2_replace(lambda q, k, v, extra_options: torch.zeros_like(q), "output", 3, 0)
    run = log.run_of(sampled(bound(replaced)))
    result["replaced"] = {"bound": list(run.binding.bound), "unbound": [str(step) for step in run.binding.unbound]}

    whole = binding.region_bias
    binding.region_bias = failing
    run = log.run_of(sampled(bound(share=1.0)))
    binding.region_bias = whole
    result["failure"] = {
        "picture": torch.allclose(run.latent, plain.cpu(), atol=1e-4),  # another kernel of attention rounds otherwise
        "unbound": [str(step) for step in run.binding.unbound],
    }

    def cancel(q, k, v, extra_options):
        model_management.interrupt_current_processing()
        model_management.throw_exception_if_processing_interrupted()

    def error(q, k, v, extra_options):
        raise ArithmeticError("deliberate")

    result["ended"] = {}
    for name, act in {"cancel": cancel, "error": error}.items():
        failed = scene.model.clone()
        failed.set_model_attn2_patch(act)
        try:
            sampled(bound(failed, share=1.0))
        except (model_management.InterruptProcessingException, ArithmeticError) as ending:
            result["ended"][name] = type(ending).__name__
    result["as it was"] = state() == before and torch.equal(sampled(scene.model), plain)
report(result)
