"""What else can hang on a diffusers pipeline: the probe sees the network as the guided half of a batch does."""

from __future__ import annotations

import itertools
import logging
from functools import partial

import diffusers
import pytest
import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, T2IAdapter
from diffusers.models.attention_processor import (
    AttnProcessor,
    AttnProcessor2_0,
    CustomDiffusionAttnProcessor2_0,
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
    SlicedAttnProcessor,
)
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
from PIL import Image
from pipelines import (
    attentions,
    make_steering,
    probe_unet,
    random_pipeline,
    sample,
    small_tokenizer,
    state,
    tiny_unet,
)
from toys import PROMPT

from steering_core.backends.diffusers import sampling as backend
from steering_core.backends.diffusers import steered
from steering_core.backends.diffusers.batches import part_of
from steering_core.backends.diffusers.families import unet_of
from steering_core.backends.diffusers.probe import probe_network
from steering_core.backends.diffusers.schedulers import is_flow, noise_level, prediction_per_noise, removed_share
from steering_core.bends import LEAST_ALPHA
from steering_core.losses import CentroidLoss
from steering_core.schedule import DESCENT, GUIDANCE
from steering_core.steering import Steering, SteeringError

UPDATES = pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
LAYERS = ("down.0", "down.1", "mid.0", "up.0", "up.1")
TOKENS = [(5,), (7, 8)]


@pytest.fixture(scope="module")
def tiny_tokenizer():
    return small_tokenizer()


@pytest.fixture
def tiny(tiny_tokenizer):
    """A pipeline of one's own: a test may hang things on it."""
    torch.manual_seed(0)
    return random_pipeline(tiny_unet(), tiny_tokenizer)


def inputs(batch: int = 2) -> dict:
    generator = torch.Generator().manual_seed(0)
    return {
        "latent": torch.randn(batch, 4, 8, 8, generator=generator),
        "timestep": torch.tensor(900),
        "context": torch.randn(batch, 77, 128, generator=generator),
        "tokens": TOKENS,
        "layers": LAYERS,
    }


def assert_same_maps(maps, expected, **tolerance) -> None:
    assert maps.layers.keys() == expected.layers.keys() != set()
    for name in expected.layers:
        torch.testing.assert_close(maps.layers[name], expected.layers[name], **tolerance)


def seen_by_attention(unet, run) -> dict[str, torch.Tensor]:
    """By layer, the columns of the first attention that each layer really computes, by the fused kernel."""
    found, kernel, now = {}, F.scaled_dot_product_attention, []

    def spy(q, k, v, attn_mask=None, **options):
        if now and now[-1] not in found:
            logits = q.float() @ k.float().transpose(-1, -2) * q.shape[-1] ** -0.5
            full = (logits if attn_mask is None else logits + attn_mask).softmax(dim=-1)
            found[now[-1]] = torch.stack([full[..., list(indices)].mean(dim=-1) for indices in TOKENS], dim=1)
        return kernel(q, k, v, attn_mask=attn_mask, **options)

    handles = []
    for name, attention in attentions(unet).items():
        handles.append(attention.register_forward_pre_hook(lambda *_, name=name: now.append(name)))
        handles.append(attention.register_forward_hook(lambda *_: now.pop() and None))
    F.scaled_dot_product_attention = spy
    try:
        with torch.no_grad():
            run()
    finally:
        F.scaled_dot_product_attention = kernel
        for handle in handles:
            handle.remove()
    return found


def assert_reads_what_is_attended(unet, **network_inputs) -> None:
    given = inputs()
    found = seen_by_attention(
        unet, lambda: unet(given["latent"], given["timestep"], given["context"], **network_inputs)
    )
    maps = probe_unet(unet, **given, **network_inputs)
    for name in LAYERS:
        torch.testing.assert_close(maps.layers[name].flatten(-2), found[name], rtol=1e-4, atol=1e-6)


# Attention processors.


def with_ip_adapter(pipeline, kind=IPAdapterAttnProcessor2_0, scale=1.0):
    """As ``load_ip_adapter`` leaves a network, with random weights."""
    unet = pipeline.unet
    processors = {}
    for name, processor in unet.attn_processors.items():
        if name.endswith("attn2.processor"):
            processors[name] = kind(hidden_size=32, cross_attention_dim=128, num_tokens=(4,), scale=scale)
        else:
            processors[name] = processor
    unet.set_attn_processor(processors)
    unet.encoder_hid_proj = MultiIPAdapterImageProjection(
        [ImageProjection(cross_attention_dim=128, image_embed_dim=16, num_image_text_embeds=4)]
    )
    unet.config.encoder_hid_dim_type = "ip_image_proj"
    return pipeline


@pytest.mark.parametrize("kind", [IPAdapterAttnProcessor2_0, IPAdapterAttnProcessor])
def test_the_text_is_read_beside_an_ip_adapter(tiny, kind):
    unet = with_ip_adapter(tiny, kind).unet
    embeds = [torch.randn(2, 1, 16, generator=torch.Generator().manual_seed(1))]
    before = state(tiny)
    maps = probe_unet(unet, **inputs(), added_cond_kwargs={"image_embeds": embeds})
    assert state(tiny) == before
    assert isinstance(attentions(unet)["up.0"].processor, kind)
    if kind is IPAdapterAttnProcessor2_0:
        assert_reads_what_is_attended(unet, added_cond_kwargs={"image_embeds": embeds})
    # The adapter's own attention is applied: layers behind the first see another picture.
    other = probe_unet(unet, **inputs(), added_cond_kwargs={"image_embeds": [embeds[0] + 1]})
    assert torch.equal(maps.layers["down.0"], other.layers["down.0"])
    assert not torch.allclose(maps.layers["up.0"], other.layers["up.0"])


@UPDATES
def test_a_pipeline_with_an_ip_adapter_is_steered(tiny, update):
    with_ip_adapter(tiny)
    embeds = [torch.cat([torch.zeros(1, 1, 16), torch.ones(1, 1, 16)])]
    masks = [torch.ones(1, 1, 64, 64)]
    for options in ({}, {"cross_attention_kwargs": {"ip_adapter_masks": masks}}):
        before = state(tiny)
        steering = make_steering(tiny, update=update)
        moved = sample(tiny, steering, ip_adapter_image_embeds=embeds, **options)
        assert steering.unsteered == [] and state(tiny) == before
        assert not torch.equal(moved, sample(tiny, ip_adapter_image_embeds=embeds, **options))


def custom_diffusion():
    return CustomDiffusionAttnProcessor2_0(True, True, hidden_size=32, cross_attention_dim=128)


@pytest.mark.parametrize("make", [AttnProcessor2_0, custom_diffusion])
def test_processors_are_read_with_their_own_projections(tiny, make):
    torch.manual_seed(1)
    processors = tiny.unet.attn_processors
    text = {name: make() for name in processors if name.endswith("attn2.processor")}
    tiny.unet.set_attn_processor({**processors, **text})
    assert_reads_what_is_attended(tiny.unet)


@pytest.mark.parametrize("make", [AttnProcessor, lambda: SlicedAttnProcessor(1)], ids=["classic", "sliced"])
def test_other_ways_to_attend_give_the_same_maps(tiny, make):
    expected = probe_unet(tiny.unet, **inputs())
    tiny.unet.set_attn_processor(make())
    assert_same_maps(probe_unet(tiny.unet, **inputs()), expected, rtol=1e-4, atol=1e-6)


def test_fused_projections_give_the_same_maps(tiny):
    expected = probe_unet(tiny.unet, **inputs())
    with torch.no_grad():
        tiny.fuse_qkv_projections(vae=False)
    assert_same_maps(probe_unet(tiny.unet, **inputs()), expected, rtol=1e-4, atol=1e-6)


def test_projections_that_are_fused_no_more_give_the_same_maps(tiny):
    expected = probe_unet(tiny.unet, **inputs())
    with torch.no_grad():
        tiny.fuse_qkv_projections(vae=False)
    tiny.unfuse_qkv_projections(vae=False)
    assert_same_maps(probe_unet(tiny.unet, **inputs()), expected)


def test_a_probe_walks_through_the_network_once(tiny, monkeypatch):
    """In a large network each walk takes milliseconds."""
    walks, named_modules = [], torch.nn.Module.named_modules

    def counted(module, *args, **kwargs):
        walks.append(module)
        return named_modules(module, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "named_modules", counted)
    probe_unet(tiny.unet, torch.rand(1, 4, 8, 8), 500, torch.rand(1, 77, 128), [(2,), (5,)])
    assert sum(module is tiny.unet for module in walks) == 1


def test_a_probe_attends_by_kernels_whose_gradient_can_be_trusted(tiny):
    seen = []
    tiny.unet.mid_block.register_forward_pre_hook(lambda *call: seen.append(torch.backends.cuda.cudnn_sdp_enabled()))
    before = torch.backends.cuda.cudnn_sdp_enabled()
    probe_unet(tiny.unet, **inputs())
    assert (before, seen, torch.backends.cuda.cudnn_sdp_enabled()) == (True, [False], True)


def test_masked_text_is_not_attended(tiny):
    mask = torch.ones(2, 77)
    mask[:, 6:20] = 0
    assert_reads_what_is_attended(tiny.unet, encoder_attention_mask=mask)


def test_norms_of_a_layer_are_applied(tiny):
    for attention in attentions(tiny.unet).values():
        attention.group_norm = torch.nn.GroupNorm(4, 32)
        attention.norm_cross = torch.nn.LayerNorm(128)
        attention.norm_q, attention.norm_k = torch.nn.LayerNorm(16), torch.nn.LayerNorm(16)
        torch.nn.init.normal_(attention.norm_q.weight)
        torch.nn.init.normal_(attention.norm_cross.weight)
    assert_reads_what_is_attended(tiny.unet)


# Batches of two halves.


def with_control_net(pipeline):
    control = ControlNetModel.from_unet(pipeline.unet, conditioning_embedding_out_channels=(8, 8, 16, 16))
    for parameter in control.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    built = diffusers.StableDiffusionControlNetPipeline(**pipeline.components, controlnet=control)
    built.set_progress_bar_config(disable=True)
    return built


def picture(size: int = 64) -> Image.Image:
    return Image.linear_gradient("L").resize((size, size)).convert("RGB")


def probes_of(monkeypatch) -> list[dict]:
    """What the network is given in each probe from now on."""
    seen = []

    def spy(probe, unet, inputs, *others):
        seen.append({**inputs, "sample": inputs["sample"].detach()})
        return probe(unet, inputs, *others)

    for name in ("probe_network", "predicted_and_probed"):
        monkeypatch.setattr(backend, name, partial(spy, getattr(backend, name)))
    return seen


@UPDATES
@pytest.mark.parametrize("guess_mode", [False, True])
@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
def test_a_control_net_steers_with_the_guided_half(tiny, monkeypatch, update, guess_mode, guidance_scale):
    pipeline = with_control_net(tiny)
    given, probes = [], probes_of(monkeypatch)
    forward = pipeline.unet.forward

    def watched(sample, *args, **inputs):
        # Without guidance, the look and the prediction can be one forward.
        if guidance_scale == 1 or not torch.is_grad_enabled():
            given.append(inputs)
        return forward(sample, *args, **inputs)

    pipeline.unet.forward = watched
    steering = make_steering(pipeline, update=update)
    options = {"image": picture(), "guess_mode": guess_mode, "guidance_scale": guidance_scale}
    moved = sample(pipeline, steering, **options)
    del pipeline.unet.forward
    assert steering.unsteered == []
    assert not torch.equal(moved, sample(pipeline, **options))
    whole = given[0]["down_block_additional_residuals"]
    (probe, *_), images = probes, 2
    assert len(whole[0]) == (2 * images if guidance_scale > 1 else images)
    for residual, part in zip(whole, probe["down_block_additional_residuals"], strict=True):
        assert torch.equal(part, residual[-images:]) and part.any()
    # As the guided half by itself, without any batching.
    bound = steering.for_network(unet_of(pipeline.unet).layers)
    alone = probe_network(pipeline.unet, probe, bound.request)
    torch.testing.assert_close(steering.trace[0].loss[0], bound.loss(alone, steering.scene.relations[0], 0.0))


def test_steering_lowers_the_loss_with_a_control_net(tiny):
    pipeline = with_control_net(tiny)
    # Random attention is flat, and what lies above its mean changes with every move; its logits as they are bear it.
    loss = CentroidLoss("gelu", standardised=False)
    steering = make_steering(pipeline, loss, refinements=3, step_size=0.001, target=-9.0)
    sample(pipeline, steering, image=picture())
    first, second, third = (entry.loss.mean() for entry in steering.trace if entry.step == 0)
    assert third < second < first


def test_of_everything_batched_the_guided_half_is_taken():
    batched, single = torch.arange(4.0).view(4, 1), torch.zeros(1, 3)
    masks = torch.ones(4, 1, 8, 8)  # of four adapters
    given = {
        "timestep": torch.tensor(3),
        "residuals": [batched, (batched, single)],
        "cross_attention_kwargs": {"ip_adapter_masks": masks, "scale": 0.5, "gligen": {"boxes": batched}},
    }
    part = part_of(given, 2, -1, 4)
    assert part["timestep"] is given["timestep"]
    assert torch.equal(part["residuals"][0], batched[2:]) and torch.equal(part["residuals"][1][0], batched[2:])
    assert part["residuals"] is not given["residuals"] and part["residuals"][1][1] is single
    assert part["cross_attention_kwargs"]["ip_adapter_masks"] is masks
    assert part["cross_attention_kwargs"]["scale"] == 0.5
    assert torch.equal(part["cross_attention_kwargs"]["gligen"]["boxes"], batched[2:])


@UPDATES
def test_a_t2i_adapter_is_left_its_residuals(tiny, update):
    """The network's forward takes them out of their list, one by one."""
    adapter = T2IAdapter(channels=[32, 32], num_res_blocks=1, downscale_factor=8)
    components = {**tiny.components, "adapter": adapter}
    del components["image_encoder"]
    built = diffusers.StableDiffusionAdapterPipeline(**components, requires_safety_checker=False)
    built.set_progress_bar_config(disable=True)
    options = {"image": picture(), "height": 64, "width": 64}
    plain, unmoved, moved = (
        sample(built, steering, **options)
        for steering in (None, make_steering(built, update=update, step_size=0.0), make_steering(built, update=update))
    )
    assert torch.equal(unmoved, plain) and not torch.equal(moved, plain)


@UPDATES
@pytest.mark.parametrize("channels", [4, 9])
def test_inpainting_moves_the_latent_and_not_the_mask(tiny_tokenizer, update, channels):
    torch.manual_seed(0)
    tiny = random_pipeline(tiny_unet(in_channels=channels, out_channels=4), tiny_tokenizer)
    built = diffusers.StableDiffusionInpaintPipeline(**tiny.components, requires_safety_checker=False)
    built.set_progress_bar_config(disable=True)
    options = {"image": picture(), "mask_image": Image.new("L", (64, 64), 255), "height": 64, "width": 64}
    steering = make_steering(built, update=update)
    moved, plain = sample(built, steering, **options), sample(built, **options)
    assert steering.unsteered == [] and moved.shape == plain.shape and not torch.equal(moved, plain)
    assert torch.equal(sample(built, make_steering(built, update=update, step_size=0.0), **options), plain)


@UPDATES
def test_a_picture_is_steered_on_from_where_it_starts(tiny, update):
    built = diffusers.StableDiffusionImg2ImgPipeline(**tiny.components, requires_safety_checker=False)
    built.set_progress_bar_config(disable=True)
    steering = make_steering(built, update=update)
    moved = sample(built, steering, image=picture(), strength=0.8, steps=5)
    assert [entry.step for entry in steering.trace] == [0]
    assert not torch.equal(moved, sample(built, image=picture(), strength=0.8, steps=5))


def test_pipelines_that_guide_in_another_way_are_refused(tiny):
    built = diffusers.StableDiffusionPAGPipeline(**tiny.components, requires_safety_checker=False)
    with pytest.raises(ValueError, match="StableDiffusionPAGPipeline"), steered(built, make_steering(tiny)):
        pytest.fail("sampling began")


def test_relations_of_a_longer_prompt_are_refused_before_a_step(tiny):
    steering = make_steering(tiny)
    embeds = torch.randn(1, 5, 128)
    with pytest.raises(SteeringError, match="another prompt"):
        sample(tiny, steering, prompt=None, prompt_embeds=embeds, negative_prompt_embeds=embeds)
    assert "forward" not in vars(tiny.unet)


# Runs.


def test_a_second_call_begins_the_trace_anew(tiny):
    steering = make_steering(tiny)
    with steered(tiny, steering):
        sample(tiny)
        first = list(steering.trace)
        sample(tiny)
    assert len(first) == len(steering.trace) == 1
    assert torch.equal(first[0].mean_map, steering.trace[0].mean_map)
    other = sample(tiny, steering, images=1)
    assert steering.trace[0].loss.shape == (1, 1) and len(other) == 1


def test_one_steering_goes_from_one_network_to_another(tiny, tiny_tokenizer):
    torch.manual_seed(1)
    blocks = {"down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("CrossAttnUpBlock2D",)}
    other = random_pipeline(tiny_unet(**blocks, block_out_channels=(32,)), tiny_tokenizer)
    steering = make_steering(tiny)
    for pipeline in (tiny, other, tiny):
        sample(pipeline, steering)
        assert steering.unsteered == [] and len(steering.trace) == 1


# Precision and compilers.


@UPDATES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_steered_by_full_steps(tiny, update, dtype):
    shifts = []

    class Small(CentroidLoss):
        """Of which gradients are smaller than half precision's smallest number."""

        def for_network(self, network, relations):
            return Small("gelu", layers=super().for_network(network, relations).layers)

        def __call__(self, maps, relation, progress):
            return 1e-5 * super().__call__(maps, relation, progress)

    class Told(Steering):
        def descend(self, latent, probe, noise_level, step):
            moved = super().descend(latent, probe, noise_level, step)
            shifts.append((moved.float() - latent.float()) / noise_level)
            return moved

        def noise_shift(self, latent, probe, step):
            shifts.append(super().noise_shift(latent, probe, step))
            return shifts[-1]

    steering = make_steering(tiny, loss=Small("gelu"), update=update, target=-1.0, step_size=0.1)
    steering = Told(steering.scene, steering.loss, steering.schedule)
    full = sample(tiny, make_steering(tiny, update=update, step_size=0.1))
    tiny.to(dtype)
    moved = sample(tiny, steering)
    assert moved.dtype is dtype and moved.isfinite().all() and steering.unsteered == []
    size = shifts[0].flatten(1).square().mean(dim=1).sqrt()
    torch.testing.assert_close(size, torch.full((2,), steering.schedule.step_size), rtol=0.01, atol=0)
    assert ((moved.float() - full).norm() / full.norm()) < 0.1


@UPDATES
@pytest.mark.parametrize("way", ["wrapped", "in place", "repeated blocks"])
def test_a_compiled_network_is_steered_as_if_it_were_not(tiny, update, way):
    expected = sample(tiny, make_steering(tiny, update=update))
    if way == "wrapped":
        tiny.unet = torch.compile(tiny.unet, backend="eager")
    elif way == "in place":
        tiny.unet.compile(backend="eager")
    else:
        tiny.unet.compile_repeated_blocks(backend="eager")
    plain = sample(tiny)
    steering = make_steering(tiny, update=update)
    moved = sample(tiny, steering)
    assert steering.unsteered == []
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sample(tiny), plain, rtol=0, atol=0)


# Predictions.


@pytest.mark.parametrize(
    "name", ["DDIM", "EulerDiscrete", "DPMSolverMultistep", "HeunDiscrete", "FlowMatchEulerDiscrete"]
)
def test_the_shares_that_steps_remove_lead_to_no_noise(name):
    scheduler = getattr(diffusers, f"{name}Scheduler")()
    scheduler.set_timesteps(10)
    left, shares = 1.0, []
    for index, timestep in enumerate(scheduler.timesteps):
        if timestep in scheduler.timesteps[:index]:
            continue  # a second look at the same noise
        if is_flow(scheduler):
            scheduler._step_index = index
        level, share = noise_level(scheduler, timestep), removed_share(scheduler, timestep)
        noise = level.sigma / (1 if is_flow(scheduler) else level.alpha)
        shares.append((noise, share))
        assert 0 < share <= 1
        left *= 1 - share
    assert left == 0
    for (noise, share), (following, _) in itertools.pairwise(shares):
        assert following == pytest.approx(noise * (1 - share), rel=1e-3)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_the_clean_image_moves_by_the_same_whatever_is_predicted_and_by_a_bounded_length(tiny, prediction_type):
    """On a schedule that ends in pure noise."""
    options = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": prediction_type}
    scheduler = tiny.scheduler = diffusers.DDIMScheduler.from_config(tiny.scheduler.config, **options)
    z, noise, shift = torch.randn(3, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    scheduler.set_timesteps(1000)
    for timestep in [999, 998, 990, 900, 500, 1]:
        level = noise_level(scheduler, torch.tensor(timestep))
        alpha, sigma = level.alpha, level.sigma
        if alpha == 0 and prediction_type == "epsilon":
            continue  # no noise tells what is under it
        clean = (z - sigma * noise) / alpha if alpha else torch.zeros_like(z)
        predicted = {"epsilon": noise, "v_prediction": alpha * noise - sigma * clean, "sample": clean}[prediction_type]
        bent = predicted + prediction_per_noise(scheduler, level) * shift
        before, after = (
            scheduler.step(output, timestep, z).pred_original_sample.double() for output in (predicted, bent)
        )
        expected = -sigma * shift / max(alpha, LEAST_ALPHA)
        torch.testing.assert_close(after - before, expected, rtol=1e-3, atol=1e-3)


@UPDATES
@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "EulerDiscreteScheduler"])
def test_steering_on_a_schedule_that_ends_in_pure_noise_stays_in_measure(tiny, update, scheduler):
    options = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    tiny.scheduler = getattr(diffusers, scheduler).from_config(tiny.scheduler.config, **options)
    steering = make_steering(tiny, update=update)
    moved, plain = sample(tiny, steering, steps=6), sample(tiny, steps=6)
    assert [entry.step for entry in steering.trace] == [0, 1] and steering.unsteered == []
    assert 0 < (moved - plain).norm() < 3 * plain.norm()


def test_the_warning_names_the_step(tiny, caplog):
    def fail(module, args, output):
        if torch.is_grad_enabled():
            raise ValueError("deliberate")

    tiny.unet.mid_block.register_forward_hook(fail)
    with caplog.at_level(logging.WARNING):
        sample(tiny, make_steering(tiny), prompt=PROMPT)
    assert "step 1: not steered, ValueError: deliberate" in caplog.text
