"""ComfyUI's networks that can be steered: UNets of cross-attention, and a row for each family of transformers.

A row names classes by their module in ``comfy.ldm`` and their name, so that no family has to be installed. What the
rows say was read in ComfyUI 0.33.0 and is held against it by tests/comfyui/test_families.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from comfy.ldm.modules.attention import BasicTransformerBlock, SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, ResBlock, UNetModel
from comfy.model_patcher import ModelPatcher
from torch import nn

from ...attention_calls import Projections
from ...families import CROSS, IMAGE, REFERENCES, REGISTERS, TEXT, Blocks, Family, NetworkInputs, family_of, latent_size
from ...layers import AttentionLayer
from ...networks import ReadableNetwork, Transformer, UNet, uncompiled
from .brought import brought_tokens
from .quantised import check_differentiable

_PACKAGE = "comfy.ldm."
_BLOCKS = (ResBlock, BasicTransformerBlock)


def _with_brought(
    inputs: Callable[[tuple[Any, ...], Mapping[str, Any]], NetworkInputs],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> NetworkInputs:
    """With the tokens that patches bring."""
    return replace(inputs(args, kwargs), brought=brought_tokens(kwargs))


def _inputs(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """Of a forward whose first argument is the latent, and whose text is ``context``."""
    return NetworkInputs(latent_size(args[0]), kwargs["context"].shape[1])


def _with_llama(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """HiDream: T5, then Llama's last layer, then Llama's layer of each block."""
    llama = kwargs["encoder_hidden_states_llama3"].shape[2]
    return NetworkInputs(latent_size(args[0]), kwargs["context"].shape[1] + 2 * llama)


def _with_glyphs(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """HunyuanImage: ByT5's tokens of quoted words follow on the others."""
    glyphs = kwargs.get("txt_byt5")
    return NetworkInputs(latent_size(args[0]), kwargs["context"].shape[1] + (0 if glyphs is None else glyphs.shape[1]))


def _of_the_adapter(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """Anima: an adapter makes 512 tokens or more, one for each of T5's ids and then padding."""
    ids = kwargs.get("t5xxl_ids")
    return NetworkInputs(latent_size(args[0]), kwargs["context"].shape[1] if ids is None else max(512, ids.shape[1]))


_DOUBLE_AND_SINGLE = (
    Blocks("double", "double_blocks", heads="num_heads"),
    Blocks("single", "single_blocks", heads="num_heads"),
)
_WITH_REFERENCES = (TEXT, IMAGE, REFERENCES)

FAMILIES = (
    Family(
        "Z-Image, Lumina 2, NetaYume, NewBie",
        ("lumina.model.NextDiT",),
        (Blocks("block", "layers", heads="attention.n_local_heads"),),
        patch="patch_size",
        multiple="pad_tokens_multiple",
        text_in="cap_embedder.1",
    ),
    Family(
        "Krea 2",
        ("krea2.model.SingleStreamDiT",),
        (Blocks("block", "blocks", heads="attn.heads"),),
        patch="patch",
        order=_WITH_REFERENCES,
    ),
    Family(
        "Qwen-Image, Mage-Flow",
        ("qwen_image.model.QwenImageTransformer2DModel", "mage_flow.model.MageFlowTransformer2DModel"),
        (Blocks("block", "transformer_blocks", heads="attn.heads"),),
        patch="patch_size",
        order=_WITH_REFERENCES,
        text_in="txt_in",
    ),
    Family(
        "FLUX.1, FLUX.2, Kontext, Krea, Chroma, Ovis, LongCat",
        ("flux.model.Flux", "chroma.model.Chroma"),
        _DOUBLE_AND_SINGLE,
        patch="patch_size",
        order=_WITH_REFERENCES,
        pads_left=True,
        changes_in_place=True,
        text_in="txt_in",
    ),
    Family(
        "Anima, Cosmos-Predict 2",
        ("cosmos.predict2.MiniTrainDIT",),
        (Blocks("block", "blocks", heads="cross_attn.n_heads", attention="cross_attn"),),
        patch="patch_spatial",
        order=CROSS,
        inputs=_of_the_adapter,
    ),
    Family(
        "SD 3, SD 3.5",
        ("modules.diffusionmodules.mmdit.MMDiT",),
        (Blocks("block", "joint_blocks", heads="x_block.attn.num_heads"),),
        patch="x_embedder.patch_size",
        text_in="context_embedder",
    ),
    Family(
        "HiDream-I1",
        ("hidream.model.HiDreamImageTransformer2DModel",),
        (
            Blocks("double", "double_stream_blocks", heads="block.attn1.heads"),
            Blocks("single", "single_stream_blocks", heads="block.attn1.heads"),
        ),
        patch="patch_size",
        order=(IMAGE, TEXT),
        inputs=_with_llama,
    ),
    Family(
        "HunyuanImage 2.1",
        ("hunyuan_video.model.HunyuanVideo",),
        _DOUBLE_AND_SINGLE,
        patch="patch_size",
        changes_in_place=True,
        inputs=_with_glyphs,
    ),
    Family(
        "Kandinsky 5",
        ("kandinsky5.model.Kandinsky5",),
        (Blocks("block", "visual_transformer_blocks", heads="cross_attention.num_heads", attention="cross_attention"),),
        patch="patch_size",
        order=CROSS,
    ),
    Family(
        "ERNIE-Image",
        ("ernie.model.ErnieImageModel",),
        (Blocks("block", "layers", heads="self_attention.heads"),),
        patch="patch_size",
        order=(IMAGE, TEXT),
    ),
    Family(
        "AuraFlow",
        ("aura.mmdit.MMDiT",),
        (
            Blocks("double", "double_layers", heads="attn.n_heads"),
            Blocks("single", "single_layers", heads="attn.n_heads"),
        ),
        patch="patch_size",
        order=(REGISTERS, TEXT, IMAGE),
        registers=8,
        text_in="cond_seq_linear",
    ),
    Family(
        "Wan",
        ("wan.model.WanModel",),
        (Blocks("block", "blocks", heads="cross_attn.num_heads", attention="cross_attn"),),
        patch="patch_size",
        order=CROSS,
        text_in="text_embedding.0",
    ),
    Family(
        "JoyImage",
        ("joyimage.model.JoyImageTransformer3DModel",),
        (Blocks("block", "double_blocks", heads="attn.num_attention_heads"),),
        patch="patch_size",
        order=(IMAGE, REFERENCES, TEXT),
    ),
    Family(
        "Lens",
        ("lens.model.LensTransformer2DModel",),
        (Blocks("block", "transformer_blocks", heads="attn.heads"),),
        patch=1,
        order=(IMAGE, TEXT),
    ),
    Family(
        "Ideogram 4",
        ("ideogram4.model.Ideogram4Transformer2DModel",),
        (Blocks("block", "layers", heads="attention.num_heads"),),
        patch=1,
    ),
    Family(
        "OmniGen 2",
        ("omnigen.omnigen2.OmniGen2Transformer2DModel",),
        (Blocks("block", "layers", heads="attn.heads"),),
        patch="patch_size",
        order=(TEXT, REFERENCES, IMAGE),
    ),
    Family(
        "Boogu",
        ("boogu.model.BooguTransformer2DModel",),
        (
            Blocks("double", "double_stream_layers", heads="img_instruct_attn.heads", attention="img_instruct_attn"),
            Blocks("single", "single_stream_layers", heads="attn.heads"),
        ),
        patch="patch_size",
        order=(TEXT, REFERENCES, IMAGE),
    ),
    Family(
        "PixelDiT",
        ("pixeldit.model.PixDiT_T2I",),
        (Blocks("block", "patch_blocks", heads="attn.num_heads"),),
        patch="patch_size",
        changes_in_place=True,
    ),
)


def readable_network(model: ModelPatcher) -> ReadableNetwork:
    """The network of a MODEL, as steering reads it.

    Raises:
        ValueError: no row describes it, or it has weights without a gradient.
    """
    network = uncompiled(model.get_model_object("diffusion_model"))
    readable = _readable(network)
    check_differentiable(network)
    return readable


def _readable(network: nn.Module) -> ReadableNetwork:
    unet = unet_of(network) if isinstance(network, UNetModel) else None
    if unet is not None and unet.layers:
        return unet
    family = family_of(network, FAMILIES, _class_name)
    if family is None:
        kinds = ", ".join(("SD 1, SD 2, SDXL", *(family.name for family in FAMILIES)))
        raise ValueError(
            f"model: how {_class_name(type(network))} attends to the prompt is not known here, so it cannot be "
            f"steered. Connect a model of one of these kinds: {kinds}. A new kind takes a row in "
            f"steering_core/backends/comfyui/families.py: its blocks, the order of text and image in its attention, "
            f"and its patch (docs/models.md)."
        )
    transformer = Transformer.of(network, family, _inputs)
    return replace(transformer, inputs=partial(_with_brought, transformer.inputs))


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix(_PACKAGE)


def unet_of(unet: UNetModel) -> UNet:
    """A UNet with its cross-attention, in running order."""
    parts = (
        ("down", "input", unet.input_blocks),
        ("mid", "middle", [unet.middle_block or ()]),
        ("up", "output", unet.output_blocks),
    )
    levels = _levels(unet)
    layers, text_width = list[AttentionLayer](), None
    projections, blocks = dict[str, Projections](), dict[nn.Module, int]()
    for stage, part, modules in parts:
        number = 0
        for index, module in enumerate(modules):
            level = levels[part][index]
            whole = [block for child in module for block in child.modules() if isinstance(block, _BLOCKS)]
            blocks |= dict.fromkeys(whole, level)
            for transformer in (child for child in module if isinstance(child, SpatialTransformer)):
                for block in transformer.transformer_blocks:
                    attention = block.attn2
                    text_width = attention.to_k.in_features
                    layer = AttentionLayer(stage, number, level, attention.heads)
                    layers.append(layer)
                    projections[layer.name] = Projections(
                        transformer, attention, attention.to_q, attention.to_k, attention.heads
                    )
                    number += 1
    return UNet(tuple(layers), projections, blocks, text_width)


def _levels(unet: UNetModel) -> dict[str, list[int]]:
    """How often the latent was halved, for every module of every part."""
    down = list(itertools.accumulate(int(_halves(module)) for module in unet.input_blocks))
    # The decoder's module n takes the encoder's last-but-n output.
    return {"input": down, "middle": down[-1:], "output": down[::-1]}


def _halves(module: Iterable[nn.Module]) -> bool:
    return any(isinstance(child, Downsample) for child in module)
