"""Pipelines of the layouts of four models with random weights: whole ones for a card, reduced ones for the CPU.

Nothing is downloaded. There are no text encoders, since texts are given as random vectors, and no picture is decoded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from steering_core.backends.diffusers.pipelines import kind_named, kind_of
from steering_core.miniature.networks import build_autoencoder
from steering_core.parser import parse
from steering_core.tokens import GroundedScene, Token, ground

PROMPT = "a photo of a giraffe above an airplane"
_SEED = 0


@dataclass(frozen=True)
class Size:
    """How large a network is, and what it draws.

    Attributes:
        side: of the picture, in pixels.
        text: how many tokens the prompt has, padding included.
        network: options of the network's class that differ from its own defaults.
    """

    side: int
    text: int
    network: Mapping[str, Any]


@dataclass(frozen=True)
class Shape:
    """The layout of one model.

    Attributes:
        name: of the model.
        pipeline, network: names of the classes in diffusers.
        full: as released.
        reduced: fewer and narrower blocks in the same proportions, and a smaller picture. Positions and heads
            shrink with the width, so that maps and activations keep their shares of the memory.
        text_width, pooled_width: of the network's configuration; how wide a token's vector and the whole prompt's are.
        listed: the pipeline is given texts as a list, without a batch axis.
        scheduler: makes it.
        options: of the pipeline's class.
    """

    name: str
    pipeline: str
    network: str
    full: Size
    reduced: Size
    text_width: str
    pooled_width: Callable[[Any], int] | None = None
    listed: bool = False
    scheduler: Callable[[], Any] = diffusers.FlowMatchEulerDiscreteScheduler
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One shape, made.

    Attributes:
        size: of its network.
        texts: of the prompt and of what guidance leads away from, as the pipeline's call takes them.
    """

    shape: Shape
    size: Size
    pipeline: DiffusionPipeline
    texts: Mapping[str, Any]

    @property
    def network(self) -> nn.Module:
        """The one that is steered."""
        return kind_of(self.pipeline).network_of(self.pipeline)

    @property
    def scene(self) -> GroundedScene:
        """The prompt's relation, one token a word after the start."""
        return ground(parse(PROMPT), [Token(0, ""), *(Token(i, word) for i, word in enumerate(PROMPT.split(), 1))])

    def draw(self, steps: int, guidance: float) -> Tensor:
        """The latent of a picture.

        Args:
            guidance: scale of it; none at 1.
        """
        return self.pipeline(
            **self.texts,
            **{kind_of(self.pipeline).guidance_of(self.pipeline).argument: guidance},
            num_inference_steps=steps,
            height=self.size.side,
            width=self.size.side,
            generator=torch.Generator().manual_seed(_SEED),
            output_type="latent",
        ).images

    def network_inputs(self) -> dict[str, Any]:
        """What the network is given of the prompt in the first step, by name."""
        seen: list[dict[str, Any]] = []
        signature = inspect.signature(type(self.network).forward)

        def see(network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(dict(signature.bind(network, *args, **kwargs).arguments))

        with self.network.register_forward_pre_hook(see, with_kwargs=True):
            self.draw(steps=1, guidance=1.0)
        return {name: value for name, value in seen[0].items() if name not in ("self", "return_dict")}


def _scaled_linear() -> diffusers.EulerDiscreteScheduler:
    return diffusers.EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )


def _sdxl(**options: Any) -> dict[str, Any]:
    """What all sizes of SDXL's network have in common."""
    return {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        **options,
    }


def _sdxl_pooled_width(config: Any) -> int:
    """Beside it the network is given six numbers, such as the picture's size."""
    return config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim


#: Diffusers' own defaults are the released FLUX.1 and Z-Image, and Stable Diffusion 1.5 but for the text's width and
#: the picture's. ``attention_head_dim`` of a UNet is the number of heads. FLUX.1 draws 512 pixels, as Learn-to-Steer
#: published it: the full maps of a larger picture fit no card beside its weights.
SHAPES = (
    Shape(
        "SD 1.5",
        "StableDiffusionPipeline",
        "UNet2DConditionModel",
        full=Size(512, 77, {"sample_size": 64, "cross_attention_dim": 768}),
        reduced=Size(
            256,
            77,
            {
                "sample_size": 32,
                "block_out_channels": (32, 64, 128, 128),
                "attention_head_dim": 1,
                "cross_attention_dim": 64,
            },
        ),
        text_width="cross_attention_dim",
        scheduler=_scaled_linear,
        options={"requires_safety_checker": False},
    ),
    Shape(
        "SDXL",
        "StableDiffusionXLPipeline",
        "UNet2DConditionModel",
        full=Size(
            1024,
            77,
            _sdxl(
                sample_size=128,
                block_out_channels=(320, 640, 1280),
                attention_head_dim=(5, 10, 20),
                cross_attention_dim=2048,
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=6 * 256 + 1280,
            ),
        ),
        reduced=Size(
            256,
            77,
            _sdxl(
                sample_size=32,
                block_out_channels=(32, 64, 128),
                attention_head_dim=(1, 1, 2),
                cross_attention_dim=128,
                addition_time_embed_dim=32,
                projection_class_embeddings_input_dim=6 * 32 + 128,
            ),
        ),
        text_width="cross_attention_dim",
        pooled_width=_sdxl_pooled_width,
        scheduler=_scaled_linear,
        options={"add_watermarker": False},
    ),
    Shape(
        "FLUX.1",
        "FluxPipeline",
        "FluxTransformer2DModel",
        full=Size(512, 512, {}),
        reduced=Size(
            192,
            72,
            {
                "in_channels": 16,
                "num_layers": 4,
                "num_single_layers": 8,
                "attention_head_dim": 16,
                "num_attention_heads": 8,
                "joint_attention_dim": 128,
                "pooled_projection_dim": 64,
                "axes_dims_rope": (4, 6, 6),
            },
        ),
        text_width="joint_attention_dim",
        pooled_width=attrgetter("pooled_projection_dim"),
    ),
    Shape(
        "Z-Image",
        "ZImagePipeline",
        "ZImageTransformer2DModel",
        full=Size(512, 32, {}),
        reduced=Size(
            256,
            32,
            {
                "in_channels": 4,
                "dim": 128,
                "n_layers": 12,
                "n_refiner_layers": 1,
                "n_heads": 4,
                "n_kv_heads": 4,
                "cap_feat_dim": 128,
                "axes_dims": [8, 12, 12],
            },
        ),
        text_width="cap_feat_dim",
        listed=True,
    ),
)


def made(shape: Shape, size: Size, device: str) -> Case:
    """The pipeline with the same random weights each time; in float32 on the CPU, elsewhere as its kind is run."""
    kind = kind_named(shape.pipeline)
    assert kind is not None
    dtype = torch.float32 if device == "cpu" else kind.dtype
    torch.manual_seed(_SEED)
    with _making(device, dtype):
        network = getattr(diffusers, shape.network)(**size.network).eval()
        texts = _texts(shape, size, network.config)
        autoencoder = build_autoencoder()
    of = getattr(diffusers, shape.pipeline)
    needed = [name for name, part in inspect.signature(of).parameters.items() if part.default is part.empty]
    parts = {kind.network: network, "vae": autoencoder, "scheduler": shape.scheduler()}
    pipeline = of(**{**dict.fromkeys(needed), **parts, **shape.options})
    pipeline.set_progress_bar_config(disable=True)
    return Case(shape, size, pipeline.to(device), texts)


@contextmanager
def _making(device: str, dtype: torch.dtype) -> Iterator[None]:
    """What is made in this context is made there and in this precision: nothing is converted, or held twice."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def _texts(shape: Shape, size: Size, config: Any) -> dict[str, Any]:
    """Random vectors."""
    texts: dict[str, Any] = {}
    for which in ("", "negative_"):
        tokens = torch.randn(1, size.text, getattr(config, shape.text_width))
        texts[f"{which}prompt_embeds"] = list(tokens) if shape.listed else tokens
        if shape.pooled_width is not None:
            texts[f"{which}pooled_prompt_embeds"] = torch.randn(1, shape.pooled_width(config))
    return texts
