"""The same latent, prompt and weights give the same in ComfyUI as in diffusers."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from pipelines import probe_unet, sample
from safetensors.torch import load_file, save_file

from steering_core.backends.diffusers import ground_prompt, load_pipeline
from steering_core.backends.diffusers.families import unet_of
from steering_core.miniature.export import restore_text_prefix
from steering_core.miniature.folder import LATENT_PREVIEW_FILE, MINIATURE_DIR
from steering_core.miniature.tokenizer import save_vocabulary

PROMPT = "a photo of a giraffe above an airplane"
_CROSS, _PLAIN = "CrossAttn{}Block2D", "{}Block2D"

#: Layouts of Stable Diffusion 1.x and 2.x, narrow.
_LAYOUTS = {
    "sd1": {"use_linear_projection": False},
    "sd2": {"use_linear_projection": True},
}


def _relative_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def _random_folder(folder, layout: str):
    """A pipeline of the layout with random weights, around the miniature's other parts."""
    pipeline = load_pipeline(MINIATURE_DIR, "cpu")
    torch.manual_seed(3)
    pipeline.unet = UNet2DConditionModel(
        sample_size=16,
        down_block_types=[*[_CROSS.format("Down")] * 3, _PLAIN.format("Down")],
        up_block_types=[_PLAIN.format("Up"), *[_CROSS.format("Up")] * 3],
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=2,
        cross_attention_dim=128,
        attention_head_dim=4,
        **_LAYOUTS[layout],
    )
    pipeline.save_pretrained(folder)
    save_vocabulary(pipeline.tokenizer, folder / "tokenizer")
    restore_text_prefix(folder / "text_encoder" / "model.safetensors")
    (folder / LATENT_PREVIEW_FILE).write_text(json.dumps({"factors": [[0.0] * 3] * 4, "bias": [0.0] * 3}))
    return folder


@torch.no_grad()
def _outputs(
    pipeline: StableDiffusionPipeline, latent: torch.Tensor, timestep: torch.Tensor
) -> dict[str, torch.Tensor]:
    ids = pipeline.tokenizer([PROMPT], padding="max_length", max_length=77, return_tensors="pt").input_ids
    context = pipeline.text_encoder(ids).last_hidden_state
    both = context.expand(2, -1, -1)
    maps = probe_unet(
        pipeline.unet,
        latent,
        timestep,
        both,
        ground_prompt(pipeline, PROMPT).tokens,
        [layer.name for layer in unet_of(pipeline.unet).layers],
    )
    picture = pipeline.vae.decode(latent / pipeline.vae.config.scaling_factor).sample
    return {
        "context": context,
        "noise": pipeline.unet(latent, timestep, both).sample,
        "picture": (picture.movedim(1, -1) / 2 + 0.5).clamp(0, 1),
        **maps.layers,
    }


@pytest.mark.parametrize("layout", ["miniature", *_LAYOUTS])
def test_comfyui_and_diffusers_agree(comfyui, tmp_path, layout):
    folder = MINIATURE_DIR if layout == "miniature" else _random_folder(tmp_path / layout, layout)
    pipeline = load_pipeline(folder, "cpu")
    latent = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([500.0, 500.0])
    expected = _outputs(pipeline, latent, timestep)
    inputs, outputs = tmp_path / "inputs.safetensors", tmp_path / "outputs.safetensors"
    save_file({"latent": latent, "timestep": timestep, "context": expected["context"]}, inputs)

    answer = comfyui.run("agreement.py", str(folder), str(inputs), str(outputs))

    layers = unet_of(pipeline.unet).layers
    assert answer["tokens"] == [list(indices) for indices in ground_prompt(pipeline, PROMPT).tokens]
    assert answer["network"] == [[layer.name, layer.level, layer.heads] for layer in layers]
    assert answer["progress"] == pytest.approx(1 - 500 / 999, abs=1e-3)
    got = load_file(outputs)
    assert {layer.name for layer in layers} <= set(got)
    for name, value in expected.items():
        assert got[name].shape == value.shape, name
        assert _relative_difference(got[name], value) <= 1e-3, name


def test_a_single_file_is_loaded_as_its_folder_is(comfyui, tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    comfyui.run("single_file.py", str(MINIATURE_DIR), str(file))
    latents = [
        sample(load_pipeline(source, "cpu", components), steps=2)
        for source, components in ((MINIATURE_DIR, None), (file, MINIATURE_DIR))
    ]
    torch.testing.assert_close(*latents, rtol=1e-3, atol=1e-3)
