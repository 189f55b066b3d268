"""Steering with the conditionings that graphs make of a prompt."""

import torch
from setting import (
    PROMPT,
    BasicGuider,
    ConditioningSetDefaultAndCombine,
    ConditioningSetProperties,
    DualCFGGuider,
    FluxGuidance,
    PerpNegGuider,
    Scene,
    backend,
    common_ksampler,
    report,
    samplers,
    text,
)
from spatial_steering.steering_core.backends.comfyui.conditions import CARRIED, acting, tie
from spatial_steering.steering_core.editing import with_relation
from spatial_steering.steering_core.evaluation.visor import judge
from spatial_steering.steering_core.losses import CentroidLoss
from spatial_steering.steering_core.miniature.detector import GlyphDetector
from spatial_steering.steering_core.relations.place import Place
from spatial_steering.steering_core.relations.relation import Relation
from spatial_steering.steering_core.report.log import RunLog
from spatial_steering.steering_core.schedule import GUIDANCE, SteeringSchedule
from spatial_steering.steering_core.steering import Steering, SteeringError

from nodes import (
    ConditioningAverage,
    ConditioningCombine,
    ConditioningConcat,
    ConditioningSetArea,
    ConditioningSetAreaPercentage,
    ConditioningSetAreaStrength,
    ConditioningSetMask,
    ConditioningSetTimestepRange,
    ConditioningZeroOut,
)

STEPS = 12

with torch.inference_mode():
    scene, many, detector, result = Scene(batch=1), Scene(batch=4), GlyphDetector(), {}
    parsed, relations = text.encode_prompt(scene.clip, PROMPT)
    _, others = text.encode_prompt(scene.clip, "a photo of a dog to the left of a cat")
    calm, _ = text.encode_prompt(scene.clip, "a photo")
    other, style = (
        scene.clip.encode_from_tokens_scheduled(scene.clip.tokenize(words)) for words in ("a photo of a car", "a photo")
    )
    log = RunLog()

    def run(positive, wanted=relations, negative=scene.negative, scene=scene):
        """The steered run of a positive conditioning, or the error that it ends with."""
        model = backend.steer_model(scene.model, Steering(wanted, CentroidLoss(), SteeringSchedule(step_size=0.2)), log)
        try:
            return log.run_of(sampled(model, positive, negative, scene))
        except SteeringError as error:
            return str(error)

    def sampled(model, positive, negative=scene.negative, scene=scene):
        """The latent of a scene's pictures."""
        return common_ksampler(model, 5, STEPS, 5.0, "euler", "normal", positive, negative, scene.latent)[0]["samples"]

    def right(latent):
        """How many of the pictures show the relation."""
        pictures = scene.vae.decode(latent).movedim(-1, 1)
        triplet = ("giraffe", Relation.ABOVE, "airplane")
        return sum(judge([triplet], found).correct for found in detector.detect(pictures))

    def combined(first, second):
        """Conditioning (Combine)."""
        return ConditioningCombine().combine(first, second)[0]

    def ranged(conditioning, start, end):
        """ConditioningSetTimestepRange."""
        return ConditioningSetTimestepRange().set_range(conditioning, start, end)[0]

    def concatenated(to, added):
        """Conditioning (Concat)."""
        return ConditioningConcat().concat(to, added)[0]

    plain = run(parsed)
    left_mask = torch.zeros(1, 128, 128)
    left_mask[..., :64] = 1
    alike = {
        "plain text encode": scene.clip.encode_from_tokens_scheduled(scene.clip.tokenize(PROMPT)),
        "combined, first": combined(parsed, style),
        "combined, second": combined(style, parsed),
        "area": ConditioningSetArea().append(parsed, 64, 128, 0, 0, 1.0)[0],
        "mask": ConditioningSetMask().append(parsed, left_mask, "default", 1.0)[0],
        "two ranges": combined(ranged(parsed, 0.0, 0.1), ranged(parsed, 0.1, 1.0)),
    }
    runs = {name: run(conditioning) for name, conditioning in alike.items()}
    # Before the first move every run looks at the same latent.
    result["same first look"] = {
        name: torch.allclose(seen.entries[0].mean_map, plain.entries[0].mean_map, atol=1e-5)
        for name, seen in runs.items()
    }
    result["steps"] = {name: [entry.step for entry in seen.entries] for name, seen in runs.items()}

    shifted = concatenated(other, parsed)
    chunk = parsed[0][0].shape[1]
    marked = {"positive": [{"cross_attn": vectors, **extra} for vectors, extra in shifted]}
    tie(marked, relations)
    result["first token"] = [acting(marked, 1.0)[1], chunk]
    average = ConditioningAverage().addWeighted(parsed, other, 0.9)[0]
    result["average"] = [entry.step for entry in run(average).entries]
    result["right"] = {
        name: [right(sampled(many.model, conditioning, scene=many)), right(run(conditioning, scene=many).latent)]
        for name, conditioning in {"combined": combined(style, parsed), "concatenated": shifted}.items()
    }

    late = ranged(parsed, 0.5, 1.0)
    lately = run(late)
    result["late"] = torch.equal(lately.latent, sampled(scene.model, late).cpu())
    result["late steps"] = [str(step) for step in lately.unsteered]
    by_default = ConditioningSetDefaultAndCombine().set_default_and_combine(style, parsed)[0]
    run_by_default = run(by_default)
    result["default"] = [
        torch.equal(run_by_default.latent, sampled(scene.model, style).cpu()),
        [str(step) for step in run_by_default.unsteered],
    ]
    black = torch.zeros(1, 128, 128)
    weightless = {
        "strength": ConditioningSetAreaStrength().append(parsed, 0.0)[0],
        "strength of a mask": ConditioningSetMask().append(parsed, left_mask, "default", 0.0)[0],
        "black mask": ConditioningSetMask().append(parsed, black, "default", 1.0)[0],
        "black mask, bounds": ConditioningSetMask().append(parsed, black, "mask bounds", 1.0)[0],
    }
    result["weightless"] = {}
    for name, conditioning in weightless.items():
        positive = combined(conditioning, style)
        seen = run(positive)
        as_plain = torch.equal(seen.latent, sampled(scene.model, positive).cpu())
        result["weightless"][name] = [as_plain, [str(step) for step in seen.unsteered]]
    first_without = combined(weightless["strength"], combined(style, parsed))
    result["weightless before another"] = [entry.step for entry in run(first_without).entries]
    half = ConditioningSetDefaultAndCombine().set_default_and_combine(
        ConditioningSetArea().append(style, 64, 128, 0, 0, 1.0)[0], parsed
    )[0]
    result["default of a half"] = [entry.step for entry in run(half).entries]

    result["another prompt"] = run(other)
    result["relations of another prompt"] = run(parsed, others)
    result["swapped"] = run(scene.negative, negative=parsed)
    result["another encoder"] = run([[torch.zeros(1, 77, 20), {}]])

    result["carried"] = torch.equal(run(parsed, CARRIED).latent, plain.latent)
    result["carried, combined"] = torch.equal(
        run(combined(style, parsed), CARRIED).latent, runs["combined, second"].latent
    )

    def by_perp_neg(positive, empty, wanted):
        """What a run with Perp-Neg Guider ends with: its steered steps, or the error."""
        model = backend.steer_model(scene.model, Steering(wanted, CentroidLoss(), SteeringSchedule(step_size=0.2)), log)
        guider = PerpNegGuider.execute(model, positive, scene.negative, empty, 5.0, 1.0)[0]
        sigmas = samplers.calculate_sigmas(scene.model.get_model_object("model_sampling"), "normal", STEPS)
        noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(4))
        try:
            latent = guider.sample(noise, torch.zeros_like(noise), samplers.ksampler("euler"), sigmas, seed=4)
        except SteeringError as error:
            return str(error)
        return sorted({entry.step for entry in log.run_of(latent).entries})

    result["Perp-Neg"] = {
        "positive": [by_perp_neg(parsed, calm, wanted) for wanted in (relations, CARRIED)],
        "empty": [by_perp_neg(other, parsed, wanted) for wanted in (relations, CARRIED)],
    }

    class Past(samplers.CFGGuider):
        """A guider whose predictions no wrapper sees."""

        def outer_predict_noise(self, *args, **kwargs):
            return self.predict_noise(*args, **kwargs)

    def bent(make):
        """How far a guider's first prediction is bent, as a share of its noise; and what is told of it."""
        seen = []
        steering = Steering(relations, CentroidLoss(), SteeringSchedule(GUIDANCE, end=1 / STEPS))
        for model in (scene.model, backend.steer_model(scene.model, steering, log)):
            sigmas = samplers.calculate_sigmas(scene.model.get_model_object("model_sampling"), "normal", STEPS)
            noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(4))
            told = (lambda step, denoised, x, steps: seen.append(denoised)) if len(seen) < 2 else None
            latent = make(model).sample(
                noise, torch.zeros_like(noise), samplers.ksampler("euler"), sigmas[:2], callback=told, seed=4
            )
        moved = ((seen[1] - seen[0]).square().mean().sqrt() / sigmas[0]).item()
        return moved, [str(left_out) for left_out in log.run_of(latent).unsteered]

    def with_cfg(kind):
        """A maker of guiders of positive and negative conditioning."""

        def make(model):
            guider = kind(model)
            guider.set_conds(parsed, scene.negative)
            guider.set_cfg(5.0)
            return guider

        return make

    result["guiders"] = {
        "CFG": bent(with_cfg(samplers.CFGGuider)),
        "basic": bent(lambda model: BasicGuider.execute(model, parsed)[0]),
        **{
            f"dual, {style}": bent(
                lambda model, style=style: DualCFGGuider.execute(model, parsed, calm, scene.negative, 5.0, 8.0, style)[
                    0
                ]
            )
            for style in ("regular", "nested")
        },
        "past": bent(with_cfg(Past)),
    }

    handed_on = {
        "FluxGuidance": FluxGuidance.execute(parsed, 3.5)[0],
        "ConditioningSetAreaPercentage": ConditioningSetAreaPercentage().append(parsed, 0.5, 1.0, 0.0, 0.0, 1.0)[0],
        "ConditioningAverage, to": ConditioningAverage().addWeighted(parsed, other, 0.9)[0],
        "ConditioningConcat, to": concatenated(parsed, other),
        "ConditioningSetProperties": ConditioningSetProperties().set_properties(parsed, 1.0, "default")[0],
    }
    result["handed on"] = {
        name: [entry.step for entry in run(conditioning, CARRIED).entries] for name, conditioning in handed_on.items()
    }
    result["dropped"] = run(shifted, CARRIED)
    result["carries none"] = run(style, CARRIED)
    both = combined(parsed, text.encode_prompt(scene.clip, "a photo of a dog to the left of a cat")[0])
    result["carries those of two"] = run(both, CARRIED)
    dragged = with_relation(text.read_prompt(PROMPT), "giraffe", Place.AT_LEFT)
    both = combined(parsed, text.encode_prompt(scene.clip, PROMPT, dragged)[0])
    result["carries two layouts of one"] = run(both, CARRIED)
    idle = SteeringSchedule(strength=0.0)
    result["idle"] = [
        torch.equal(
            sampled(backend.steer_model(scene.model, Steering(wanted, CentroidLoss(), idle)), positive),
            sampled(scene.model, positive),
        )
        for positive, wanted in ((other, relations), (other, CARRIED), (both, CARRIED))
    ]
    zeroed = ConditioningZeroOut().zero_out(parsed)[0]
    result["zeroed"] = [run(zeroed), run(zeroed, CARRIED), run(concatenated(zeroed, other), CARRIED)]
    after_zeros = concatenated(ConditioningZeroOut().zero_out(other)[0], parsed)
    result["after zeros"] = [entry.step for entry in run(after_zeros).entries]
    result["carries a prompt without"] = torch.equal(run(calm, CARRIED).latent, sampled(scene.model, calm))
report(result)
