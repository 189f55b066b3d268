from __future__ import annotations

import shutil
from functools import partial

import diffusers
import pipelines
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from pipelines import WatchedLoss, attentions, make_steering, probe_unet, state
from safetensors.torch import load_file, save_file
from toys import PROMPT

from steering_core.attention import split_heads
from steering_core.backends.diffusers import (
    generate,
    ground_prompt,
    load_pipeline,
    steered,
)
from steering_core.backends.diffusers.families import unet_of
from steering_core.backends.diffusers.text import prompt_tokens
from steering_core.layers import default_layers
from steering_core.losses import CentroidLoss
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.networks import build_unet
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from steering_core.steering import Steering, SteeringError

STEPS = 6
SCHEDULERS = [
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "SASolverScheduler",
]


sample = partial(pipelines.sample, steps=STEPS)


@pytest.fixture
def rescheduled(pipeline):
    """Swaps the scheduler for the length of a test."""
    before = pipeline.scheduler

    def swap(name: str, **options):
        pipeline.scheduler = getattr(diffusers, name).from_config(before.config, **options)
        return pipeline

    yield swap
    pipeline.scheduler = before


def test_layers_have_the_shared_names_in_running_order(pipeline):
    layers = unet_of(pipeline.unet).layers
    assert [layer.name for layer in layers] == ["down.0", "down.1", "mid.0", "up.0", "up.1", "up.2", "up.3"]
    assert [layer.level for layer in layers] == [0, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"attention_head_dim": 4, "use_linear_projection": False},
        {"attention_head_dim": (1, 2, 4, 4), "use_linear_projection": True},
    ],
    ids=["sd1", "sd2"],
)
def test_layouts_of_stable_diffusion(options):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64, 128, 128), layers_per_block=2, cross_attention_dim=16, **options
    )
    layers = unet_of(unet).layers
    assert [layer.name for layer in layers if layer.stage == "up"] == [f"up.{number}" for number in range(9)]
    assert default_layers(layers) == tuple(f"up.{number}" for number in range(6))
    maps = probe_unet(unet, torch.randn(1, 4, 16, 24), torch.tensor(500), torch.randn(1, 7, 16), [(1,), (2, 3)])
    assert {tuple(layer.shape[-2:]) for layer in maps.layers.values()} == {(4, 6), (8, 12)}


def test_probe_reads_what_the_layers_attend_to(pipeline):
    """Against full attention maps, gathered by hooks in an ordinary forward."""
    unet = pipeline.unet
    latent, context = torch.randn(2, 4, 16, 16), torch.randn(2, 77, 128)
    tokens = [(5,), (7, 8)]
    expected, hooks = {}, []
    for name, module in attentions(unet).items():

        def hook(attention: Attention, args, kwargs, name=name):
            hidden = args[0] if args else kwargs["hidden_states"]
            q = split_heads(attention.to_q(hidden), attention.heads)
            k = split_heads(attention.to_k(kwargs["encoder_hidden_states"]), attention.heads)
            full = (q @ k.transpose(-1, -2) * attention.scale).softmax(dim=-1)
            columns = torch.stack([full[..., list(indices)].mean(dim=-1) for indices in tokens], dim=1)
            expected[name] = columns

        hooks.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    with torch.no_grad():
        unet(latent, 500, context)
        for handle in hooks:
            handle.remove()
        maps = probe_unet(unet, latent, torch.tensor(500), context, tokens, list(expected))
    assert maps.layers.keys() == attentions(unet).keys()
    for name, layer in maps.layers.items():
        torch.testing.assert_close(layer.flatten(-2), expected[name], rtol=1e-5, atol=1e-7)


def test_layers_behind_the_last_wanted_one_are_not_run(pipeline):
    ran = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in attentions(pipeline.unet).items()
    ]
    probe_unet(pipeline.unet, torch.randn(1, 4, 16, 16), torch.tensor(500), torch.randn(1, 77, 128), [(1,)], ["up.0"])
    for handle in hooks:
        handle.remove()
    assert ran == ["down.0", "down.1", "mid.0"]


def test_probe_passes_gradients_to_the_latent_and_none_to_the_weights(pipeline):
    latent = torch.randn(1, 4, 16, 16, requires_grad=True)
    maps = probe_unet(pipeline.unet, latent, torch.tensor(500), torch.randn(1, 77, 128), [(1,), (2,)])
    sum(layer.square().sum() for layer in maps.layers.values()).backward()
    assert latent.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in pipeline.unet.parameters())


@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
def test_steering_moves_the_latents_and_restores_the_pipeline(pipeline, update):
    plain, before = sample(pipeline), state(pipeline)
    steering = make_steering(pipeline, update=update)
    moved = sample(pipeline, steering)
    assert moved.isfinite().all() and not torch.equal(moved, plain)
    assert [entry.step for entry in steering.trace] == [0, 1]
    assert state(pipeline) == before
    assert torch.equal(sample(pipeline), plain)


@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
def test_step_of_zero_is_unsteered_to_the_bit(pipeline, update):
    assert torch.equal(sample(pipeline, make_steering(pipeline, update=update, step_size=0.0)), sample(pipeline))


@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
@pytest.mark.parametrize("scale", [5.0, 1.0])
def test_what_a_network_draws_by_itself_is_as_without_steering(pipeline, update, scale):
    """With guidance a look is a forward of its own, without it can be the call's as well."""
    steering = make_steering(pipeline, update=update, target=10.0, rest=0)
    hook = pipeline.unet.mid_block.register_forward_hook(lambda _, args, output: output + torch.rand(1))
    try:
        torch.manual_seed(1)
        unsteered = sample(pipeline, guidance_scale=scale)
        torch.manual_seed(1)
        assert torch.equal(sample(pipeline, steering, guidance_scale=scale), unsteered)
    finally:
        hook.remove()
    assert steering.trace


def test_without_relations_nothing_is_touched(pipeline):
    steering = Steering(ground_prompt(pipeline, "a dog and a cat"), CentroidLoss())
    assert torch.equal(sample(pipeline, steering), sample(pipeline))
    assert steering.trace == []


@pytest.mark.parametrize("options", [{"guidance_scale": 1.0}, {"negative_prompt": "a dog"}, {"images": 1}])
def test_guidance_scales_negative_prompts_and_batches(pipeline, options):
    moved = sample(pipeline, make_steering(pipeline), **options)
    assert moved.isfinite().all() and not torch.equal(moved, sample(pipeline, **options))


def test_images_of_a_batch_are_steered_as_if_alone(pipeline):
    together = generate(pipeline, PROMPT, [0, 1], make_steering(pipeline), STEPS, 5.0)
    alone = [generate(pipeline, PROMPT, [seed], make_steering(pipeline), STEPS, 5.0) for seed in (0, 1)]
    torch.testing.assert_close(together, torch.cat(alone), atol=2e-4, rtol=0)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
def test_every_scheduler_can_be_steered(rescheduled, scheduler, update):
    pipeline = rescheduled(scheduler)
    plain = sample(pipeline)
    steering = make_steering(pipeline, update=update)
    moved = sample(pipeline, steering)
    assert moved.isfinite().all()
    assert ((moved - plain).norm() / plain.norm()) > 1e-3
    assert {entry.step for entry in steering.trace} >= {0}
    # Solvers with a corrector forget their history at a steered step; all others lose nothing.
    if scheduler not in ("UniPCMultistepScheduler", "SASolverScheduler"):
        assert torch.equal(sample(pipeline, make_steering(pipeline, update=update, step_size=0.0)), plain)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_moves_reach_the_end_of_the_sampling(rescheduled, scheduler):
    """With a network that predicts zero noise, a latent alpha·x0 that is moved by 1 arrives as x0 + 1/alpha."""
    pipeline = rescheduled(scheduler, prediction_type="epsilon")
    forward = pipeline.unet.forward
    arriving = []

    def no_noise(sample, *args, **kwargs):
        (output,) = forward(sample, *args, **{**kwargs, "return_dict": False})
        return (torch.zeros_like(output),)

    class Push(Steering):
        def descend(self, latent, probe, noise_level, step):
            arriving.append((1 - noise_level**2) ** -0.5)
            return latent + 1

    pipeline.unet.forward = no_noise
    try:
        plain = sample(pipeline, guidance_scale=1.0)
        schedule = SteeringSchedule(end=0.5)
        pushed = sample(pipeline, Push(ground_prompt(pipeline, PROMPT), CentroidLoss(), schedule), guidance_scale=1.0)
    finally:
        pipeline.unet.__dict__.pop("forward", None)
    assert len(arriving) >= 2
    difference = pushed - plain
    assert difference.min() > 1
    torch.testing.assert_close(difference, difference.mean().expand_as(difference), rtol=1e-3, atol=1e-3)
    # The predictions that these solvers remember know nothing of a move, which they take for curvature.
    remembers = scheduler in ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "SASolverScheduler")
    expected = torch.full_like(difference, sum(arriving))
    torch.testing.assert_close(difference, expected, rtol=0.25 if remembers else 0.02, atol=0)


def test_an_attribute_of_the_network_itself_is_put_back(pipeline):
    """Such as the hook that offloading hangs on a network's forward."""
    hook = pipeline.unet.forward
    pipeline.unet.forward = hook
    try:
        with steered(pipeline, make_steering(pipeline)):
            assert pipeline.unet.forward is not hook
        assert vars(pipeline.unet)["forward"] is hook
    finally:
        del pipeline.unet.forward


def test_every_call_is_steered_where_parts_of_the_pipeline_are_moved_when_they_are_needed(tokenizer):
    """At the end of each call such a pipeline makes its network's forward anew."""
    pipeline = pipelines.random_pipeline(build_unet(), tokenizer)
    steering = make_steering(pipeline)
    alone, plain = sample(pipeline, steering), sample(pipeline)
    pipeline.enable_model_cpu_offload(device="cpu")
    with steered(pipeline, steering):
        assert all(torch.equal(sample(pipeline), alone) for _ in range(2))
    assert torch.equal(sample(pipeline), plain)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_guidance_shifts_the_noise_by_what_the_steering_says(rescheduled, prediction_type):
    """The scheduler's own idea of the noise, from the shifted and from the plain prediction."""
    pipeline = rescheduled("DDIMScheduler", prediction_type=prediction_type)
    outputs = {}

    class Shift(Steering):
        def noise_shift(self, latent, probe, step):
            return torch.full_like(latent, 0.3) if step.number == 0 else None

    def run(name, steering=None):
        seen = []
        step = pipeline.scheduler.step

        def spy(model_output, timestep, latent, *args, **kwargs):
            seen.append((model_output, int(timestep), latent))
            return step(model_output, timestep, latent, *args, **kwargs)

        pipeline.scheduler.step = spy
        try:
            sample(pipeline, steering)
        finally:
            pipeline.scheduler.__dict__.pop("step", None)
        outputs[name] = seen[0]

    run("plain")
    run("shifted", Shift(ground_prompt(pipeline, PROMPT), CentroidLoss(), SteeringSchedule(update=GUIDANCE)))
    (plain, time, latent), (shifted, _, _) = outputs["plain"], outputs["shifted"]
    product = pipeline.scheduler.alphas_cumprod[time]
    alpha, sigma = product**0.5, (1 - product) ** 0.5
    noise = {
        "epsilon": lambda output: output,
        "v_prediction": lambda output: alpha * output + sigma * latent,
        "sample": lambda output: (latent - alpha * output) / sigma,
    }[prediction_type]
    torch.testing.assert_close(noise(shifted) - noise(plain), torch.full_like(latent, 0.3), atol=2e-3, rtol=0)


def test_schedulers_without_noise_levels_are_refused(rescheduled, pipeline):
    pipeline.scheduler, before = diffusers.KarrasVeScheduler(), pipeline.scheduler
    try:
        with pytest.raises(ValueError, match="KarrasVeScheduler"):
            sample(pipeline, make_steering(pipeline))
    finally:
        pipeline.scheduler = before


def test_times_that_are_none_of_the_training_are_refused(rescheduled):
    options = {"timestep_type": "continuous", "prediction_type": "v_prediction"}
    pipeline = rescheduled("EulerDiscreteScheduler", **options)
    with pytest.raises(ValueError, match="timestep type continuous"):
        sample(pipeline, make_steering(pipeline))


def test_predictions_of_another_kind_are_refused(rescheduled):
    pipeline = rescheduled("LCMScheduler", prediction_type="flow_velocity")
    with pytest.raises(ValueError, match="flow_velocity"), steered(pipeline, make_steering(pipeline)):
        pytest.fail("sampling began")


def test_an_unknown_layer_is_refused_before_sampling(pipeline):
    with (
        pytest.raises(ValueError, match=r"up\.9"),
        steered(pipeline, make_steering(pipeline, CentroidLoss(layers=("up.9",)))),
    ):
        pytest.fail("sampling began")


def test_tokens_are_where_the_text_encoder_finds_them(pipeline):
    tokens = prompt_tokens(pipeline, PROMPT)
    ids = pipeline.tokenizer(PROMPT)["input_ids"]
    assert [token.index for token in tokens] == list(range(len(ids)))
    assert tokens[0].text == tokens[-1].text == ""
    assert "".join(token.text for token in tokens) == PROMPT.replace(" ", "")


@pytest.mark.parametrize("prompt", ["xylophone above a wolf", "a wolf above a xylophone"])
def test_a_blank_before_a_word_in_pieces_is_no_part_of_the_object(prompt):
    pipeline = load_pipeline(SHIPPED["flux_miniature"], "cpu")
    pieces = pipeline.tokenizer_2.tokenize(prompt)
    of_objects = [[pieces[index] for index in indices] for indices in ground_prompt(pipeline, prompt).tokens]
    assert sorted(of_objects) == [list("wolf"), list("xylophone")]
    assert pieces.count("▁") == 2


@pytest.mark.parametrize("scale", [5.0, 1.0])
def test_a_call_with_several_prompts_is_refused(pipeline, scale):
    with pytest.raises(SteeringError, match="several prompts"):
        sample(pipeline, make_steering(pipeline), prompt=[PROMPT, "a dog and a cat"], guidance_scale=scale)
    alike = make_steering(pipeline)
    sample(pipeline, alike, prompt=[PROMPT, PROMPT], guidance_scale=scale)
    assert alike.trace


@pytest.mark.parametrize("when", ["before a call", "after a call"])
@pytest.mark.parametrize("part", ["scheduler", "unet"])
def test_another_part_in_a_pipeline_that_is_steered_is_refused(pipeline, part, when):
    before = getattr(pipeline, part)
    other = type(before).from_config(before.config)
    with steered(pipeline, make_steering(pipeline)):
        if when == "after a call":
            sample(pipeline)
        setattr(pipeline, part, other)
        try:
            with pytest.raises(SteeringError, match=f"{type(other).__name__} has come into the pipeline"):
                sample(pipeline)
        finally:
            setattr(pipeline, part, before)


@pytest.mark.parametrize(
    ("asked", "told"), [({"steps": 0}, "steps: 1 or more"), ({"steps": -1}, "not -1"), ({"seeds": []}, "seeds: one")]
)
def test_nothing_to_draw_is_refused(pipeline, asked, told):
    options = {"seeds": [0], "steps": 3, **asked}
    with pytest.raises(ValueError, match=told):
        generate(pipeline, PROMPT, steering=None, guidance_scale=5.0, **options)


def test_relations_of_another_prompt_are_refused(pipeline):
    with pytest.raises(SteeringError, match="'a dog and a cat' is to be drawn, and the steering is of 'a photo of"):
        generate(pipeline, "a dog and a cat", [0], make_steering(pipeline), steps=2, guidance_scale=5.0)


@pytest.mark.parametrize("prompt", ["a dog and a cat", ["a dog and a cat"] * 2, "", [""]])
def test_another_prompt_in_a_call_is_refused(pipeline, prompt):
    with steered(pipeline, make_steering(pipeline)):
        with pytest.raises(SteeringError, match="is to be drawn, and the steering is of 'a photo of"):
            sample(pipeline, prompt=prompt)
        with pytest.raises(ValueError, match="timesteps"):
            sample(pipeline, timesteps=[500, 100], sigmas=[1.0, 0.5])
        with pytest.raises(SteeringError, match="is to be drawn"):
            sample(pipeline, prompt=prompt)
        sample(pipeline, negative_prompt="a dog and a cat")
    assert "encode_prompt" not in vars(pipeline)


def test_a_latent_that_is_no_number_costs_the_steering_alone(pipeline):
    steering = make_steering(pipeline)
    latents = torch.full((2, 4, 8, 8), float("nan"))
    assert sample(pipeline, steering, latents=latents).isnan().all()
    assert "not finite" in str(steering.unsteered[0])
    assert {entry.loss.shape[1] for entry in steering.trace} == {2}


@pytest.mark.parametrize("seed", [1.0, True])
def test_a_seed_is_a_whole_number_of_any_kind(pipeline, seed):
    drawn = [generate(pipeline, PROMPT, [one], None, steps=1, guidance_scale=1.0) for one in (1, seed)]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("seed", [1.5, "1", torch.tensor(3), 2**64, None])
def test_another_seed_is_refused(pipeline, seed):
    with pytest.raises(ValueError, match="seeds: whole numbers of 64 bits were expected, not"):
        generate(pipeline, PROMPT, [seed], None, steps=1, guidance_scale=1.0)


def test_a_steering_that_was_made_with_another_pipeline_is_refused(pipeline):
    other = load_pipeline(SHIPPED["flux_miniature"], "cpu")
    steering = make_steering(other)
    with pytest.raises(SteeringError, match="the tokens of another pipeline than this StableDiffusionPipeline"):
        generate(pipeline, steering.scene.scene.prompt, [0], steering, steps=2, guidance_scale=5.0)
    with pytest.raises(SteeringError, match="the tokens of another pipeline"), steered(pipeline, steering):
        pytest.fail("sampling began")


def test_of_a_pipeline_that_is_given_encoded_texts_no_tokens_are_asked(pipeline):
    steering, encoded = make_steering(pipeline), pipeline.encode_prompt(PROMPT, "cpu", 1, False)[0]
    bare = type(pipeline)(**{**pipeline.components, "tokenizer": None, "text_encoder": None})
    bare.set_progress_bar_config(disable=True)
    with steered(bare, steering):
        bare(prompt_embeds=encoded, num_inference_steps=2, guidance_scale=1.0, height=32, width=32)
    assert steering.trace and steering.unsteered == []


def test_the_miniature_of_fluxs_shape_draws_pictures_of_its_own_size():
    pipeline = load_pipeline(SHIPPED["flux_miniature"], "cpu")
    assert generate(pipeline, PROMPT, [0], None, steps=1, guidance_scale=1.0).shape == (1, 3, 128, 128)


def test_a_prompt_that_is_cut_off_is_refused(pipeline):
    with pytest.raises(ValueError, match="too long for the model"):
        ground_prompt(pipeline, "a photo, " * 60 + "of a giraffe above an airplane")


def test_a_folder_is_loaded_as_it_was_saved(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "folder")
    loaded = load_pipeline(tmp_path / "folder", "cpu")
    torch.testing.assert_close(sample(loaded), sample(pipeline))


@pytest.mark.parametrize(
    ("part", "lacks"),
    [
        ("text_encoder", "text_model.encoder.layers.0.mlp.fc1.weight"),
        ("unet", "conv_in.weight"),
        ("vae", "decoder.conv_out.weight"),
    ],
)
def test_a_network_that_lacks_weights_is_refused(pipeline, tmp_path, part, lacks):
    """They would be random numbers."""
    pipeline.save_pretrained(tmp_path)
    (file,) = (tmp_path / part).glob("*.safetensors")
    weights = load_file(file)
    del weights[next(name for name in weights if lacks.endswith(name))]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"{part} lacks 1 of its network's weights, .*{lacks.split('.')[-2]}"):
        load_pipeline(tmp_path, "cpu")


@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae"])
def test_a_network_that_is_missing_is_named(pipeline, tmp_path, part):
    pipeline.save_pretrained(tmp_path)
    (weights,) = (tmp_path / part).glob("*.safetensors")
    weights.unlink()
    with pytest.raises(ValueError, match=rf"{part} has no \*.safetensors"):
        load_pipeline(tmp_path, "cpu")
    shutil.rmtree(tmp_path / part)
    with pytest.raises(ValueError, match=rf"{part} has no config.json"):
        load_pipeline(tmp_path, "cpu")


@pytest.mark.parametrize("folder", ["empty", "none"])
def test_a_tokenizer_without_words_is_refused(pipeline, tmp_path, folder):
    pipeline.save_pretrained(tmp_path)
    shutil.rmtree(tmp_path / "tokenizer")
    if folder == "empty":
        (tmp_path / "tokenizer").mkdir()
    with pytest.raises(ValueError, match=r"tokenizer has no vocabulary: .*tokenizer\.json was expected"):
        load_pipeline(tmp_path, "cpu")


@pytest.mark.parametrize("kind", ["nothing", "file", "other pipeline"])
def test_what_is_no_pipeline_of_ours_is_refused(tmp_path, kind):
    source = tmp_path / "model"
    if kind == "file":
        source.write_bytes(b"weights")
    if kind == "other pipeline":
        source.mkdir()
        (source / "model_index.json").write_text('{"_class_name": "StableDiffusionPAGPipeline"}')
    expected = {
        "nothing": "hf download",
        "file": "its components were expected",
        "other pipeline": "StableDiffusionPAGPipeline",
    }[kind]
    with pytest.raises(ValueError, match=expected):
        load_pipeline(source, "cpu")


@pytest.mark.parametrize("options", [{}, {"use_karras_sigmas": True}])
def test_a_loss_is_told_the_diffusion_time_whatever_the_spacing_of_the_steps(rescheduled, options):
    pipeline = rescheduled("EulerDiscreteScheduler", **options)
    WatchedLoss.seen.clear()
    sample(pipeline, make_steering(pipeline, WatchedLoss(), end=0.5))
    expected = [1 - float(timestep) / 999 for timestep in pipeline.scheduler.timesteps[:3]]
    assert [progress for _, progress in WatchedLoss.seen] == pytest.approx(expected)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_in_many_steps_a_relation_moves_the_latent_four_times_at_least(rescheduled, scheduler):
    pipeline = rescheduled(scheduler)
    steering = make_steering(pipeline, refinements=None, target=-1.0, end=0.5)
    sample(pipeline, steering, steps=16)
    assert len({entry.step for entry in steering.trace}) >= 4
