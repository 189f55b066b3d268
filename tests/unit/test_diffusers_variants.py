"""Pipelines that start from a picture, fill a part of it, or are guided by one: each class that the table names."""

from __future__ import annotations

import inspect

import diffusers
import pytest
import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0, SD3IPAdapterJointAttnProcessor2_0
from diffusers.models.embeddings import (
    ImageProjection,
    IPAdapterTimeImageProjection,
    MultiIPAdapterImageProjection,
)
from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor
from PIL import Image
from pipelines import make_steering
from tiny_pipelines import HEIGHT, TINY, WIDTH, flux_transformer, sample, tiny

from steering_core.backends.diffusers import generate
from steering_core.backends.diffusers.pipelines import PIPELINES, check_draws_from_text, kind_of
from steering_core.schedule import DESCENT, GUIDANCE

UPDATES = pytest.mark.parametrize("update", [DESCENT, GUIDANCE])


def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((WIDTH, HEIGHT)).convert("RGB")


def mask() -> Image.Image:
    return Image.new("L", (WIDTH, HEIGHT), 255)


def random_weights(network: torch.nn.Module) -> torch.nn.Module:
    """Those of a control network begin at zero."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network


def control_net(base, name: str, fills: bool):
    """A small one of the pipeline's kind.

    Args:
        fills: it is given the mask in a channel of its own, where there are such.
    """
    kinds = {
        "SDXL": lambda: diffusers.ControlNetModel.from_unet(base.unet, conditioning_embedding_out_channels=(8, 16, 16)),
        "SD 3": lambda: diffusers.SD3ControlNetModel.from_transformer(
            base.transformer,
            num_layers=1,
            num_extra_conditioning_channels=int(fills),
            load_weights_from_transformer=False,
        ),
        "FLUX.1": lambda: diffusers.FluxControlNetModel.from_transformer(
            base.transformer,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            load_weights_from_transformer=False,
        ),
        "Qwen-Image": lambda: diffusers.QwenImageControlNetModel.from_transformer(
            base.transformer,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            extra_condition_channels=4 * fills,
            load_weights_from_transformer=False,
        ),
        "Z-Image": lambda: diffusers.ZImageControlNetModel.from_transformer(
            diffusers.ZImageControlNetModel(
                control_layers_places=[0, 2],
                control_refiner_layers_places=[],
                control_in_dim=9 if fills else 4,
                all_patch_size=(2,),
                dim=32,
                n_refiner_layers=1,
                n_heads=2,
                n_kv_heads=2,
            ),
            base.transformer,
        ),
    }
    return random_weights(kinds[name]())


def build(name: str, base_name: str, tokenizer):
    """A pipeline of this class from the components of its kind's first one."""
    base = tiny(base_name, tokenizer)
    of = getattr(diffusers, name)
    takes = inspect.signature(of.__init__).parameters
    given = dict(base.components)
    if "controlnet" in takes:
        given["controlnet"] = control_net(base, base_name, fills="Inpaint" in name)
    if "adapter" in takes:
        given["adapter"] = diffusers.T2IAdapter(
            channels=[32, 32], num_res_blocks=1, downscale_factor=8, adapter_type="full_adapter_xl"
        )
    if "Fill" in name:
        # Beside the latent: the masked picture's, and the mask of the 4 × 4 pixels of each of its 2 × 2 cells.
        given["transformer"] = random_weights(flux_transformer(in_channels=16 + 16 + 64, out_channels=16))
    if "Control" in name and "transformer" in takes and "Net" not in name:
        given["transformer"] = random_weights(flux_transformer(in_channels=32, out_channels=16))
    options = {"add_watermarker": False} if "add_watermarker" in takes else {}
    built = of(**{key: value for key, value in given.items() if key in takes}, **options)
    built.set_progress_bar_config(disable=True)
    return built


def call_options(pipeline) -> dict:
    """The pictures that a pipeline asks for."""
    takes = inspect.signature(type(pipeline).__call__).parameters
    inpaints = "mask_image" in takes or "control_mask" in takes
    options = {
        "image": picture(),
        "mask_image": mask(),
        "control_mask": mask(),
        "control_image": picture(),
        "strength": 1.0 if inpaints else 0.8,
        # Kontext draws and reads at its own sizes.
        "max_area": HEIGHT * WIDTH,
        "_auto_resize": False,
    }
    return {key: value for key, value in options.items() if key in takes}


VARIANTS = [
    (pipeline, next(name for name in TINY if name in kind.name))
    for kind in PIPELINES[1:]
    for pipeline in kind.pipelines
    if any(word in pipeline for word in ("Img2Img", "Inpaint", "Control", "Fill", "Kontext", "Adapter"))
]


@pytest.mark.parametrize(("name", "base"), VARIANTS)
def test_a_variant_is_steered(tokenizer, name, base):
    pipeline = build(name, base, tokenizer)
    options = {**call_options(pipeline), "steps": 3, "images": 1}
    plain = sample(pipeline, **options)
    for update in (DESCENT, GUIDANCE):
        still, steering = (make_steering(pipeline, update=update, step_size=length) for length in (0.0, 0.3))
        assert torch.equal(sample(pipeline, still, **options), plain)
        moved = sample(pipeline, steering, **options)
        assert still.unsteered == steering.unsteered == []
        looked_at = {entry.step for entry in steering.trace}
        assert 0 in looked_at and len(looked_at) <= 2
        assert moved.isfinite().all() and not torch.equal(moved, plain)
        # A region need not lie in the part of a picture that is sampled.
        whole_is_sampled = {"mask_image", "control_mask"}.isdisjoint(options)
        is_joint = not isinstance(kind_of(pipeline).network_of(pipeline), diffusers.UNet2DConditionModel)
        assert bool(steering.notes.bound) is (whole_is_sampled and is_joint)


@pytest.mark.parametrize(("name", "base"), [*VARIANTS, *((kind.pipelines[0], "") for kind in PIPELINES)])
def test_generate_refuses_what_wants_a_picture(name, base):
    pipeline = getattr(diffusers, name).__new__(getattr(diffusers, name))
    if base and name != "FluxKontextPipeline":
        with pytest.raises(ValueError, match=f"{name} draws from a picture as well.* or call the pipeline yourself"):
            generate(pipeline, "a cat", [0], None, steps=1, guidance_scale=1.0)
    else:
        check_draws_from_text(pipeline)


def test_a_pipeline_that_scales_what_it_is_asked_draws_the_size(tokenizer):
    pipeline = build("FluxKontextPipeline", "FLUX.1", tokenizer)
    drawn = generate(pipeline, "a cat above a dog", [0], None, steps=1, guidance_scale=1.0, size=(WIDTH, HEIGHT))
    assert drawn.shape[-2:] == (HEIGHT, WIDTH)


def with_ip_adapter(pipeline, name: str):
    """As ``load_ip_adapter`` leaves a network, with random weights."""
    project = MultiIPAdapterImageProjection(
        [ImageProjection(cross_attention_dim=64, image_embed_dim=16, num_image_text_embeds=4)]
    )
    if name == "SDXL":
        unet = pipeline.unet
        unet.set_attn_processor(
            {
                key: IPAdapterAttnProcessor2_0(32, 64, num_tokens=(4,)) if "attn2" in key else processor
                for key, processor in unet.attn_processors.items()
            }
        )
        unet.encoder_hid_proj, unet.config.encoder_hid_dim_type = project, "ip_image_proj"
        return pipeline
    network, processors = pipeline.transformer, pipeline.transformer.attn_processors
    if name == "FLUX.1":
        made = {key: FluxIPAdapterAttnProcessor(32, 64, num_tokens=(4,)) for key in processors if "single" not in key}
        network.set_attn_processor({**processors, **made})
        network.encoder_hid_proj = project
        return pipeline
    made = {
        key: SD3IPAdapterJointAttnProcessor2_0(32, 16, 8, timesteps_emb_dim=32) for key in processors if ".attn." in key
    }
    network.set_attn_processor({**processors, **made})
    network.image_proj = IPAdapterTimeImageProjection(
        embed_dim=16, output_dim=16, hidden_dim=32, depth=1, dim_head=16, heads=2, num_queries=4, timestep_in_dim=32
    )
    return pipeline


@pytest.mark.parametrize("name", ["SDXL", "SD 3", "FLUX.1"])
def test_an_ip_adapter_stays_beside_the_steering(tokenizer, name):
    pipeline = with_ip_adapter(tiny(name, tokenizer), name)
    shape = (1, 1, 16)
    embeds = torch.cat([torch.zeros(shape), torch.ones(shape)])
    options = {
        "SDXL": {"ip_adapter_image_embeds": [embeds]},
        "SD 3": {"ip_adapter_image_embeds": embeds},
        "FLUX.1": {"ip_adapter_image_embeds": [embeds[1:]], "negative_ip_adapter_image_embeds": [embeds[:1]]},
    }[name]
    options |= {"guidance": 4.0, "images": 1}
    plain = sample(pipeline, **options)
    for update in (DESCENT, GUIDANCE):
        still, steering = (make_steering(pipeline, update=update, step_size=length) for length in (0.0, 0.3))
        assert torch.equal(sample(pipeline, still, **options), plain)
        assert not torch.equal(sample(pipeline, steering, **options), plain)
        assert still.unsteered == steering.unsteered == []
