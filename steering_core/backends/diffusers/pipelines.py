"""Pipelines of the diffusers library that can be steered: a row for each kind.

A row names classes, so that no version has to have them all. What the rows say was read in diffusers 0.42.1 and is
held against it by tests/unit/test_diffusers_families.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.flux2.pipeline_flux2 import format_input
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ...families import row_of

#: Where in the network's calls of a step the prompt is: in one half of a batch, the other of which guides away, or in
#: the first call by itself.
FIRST_HALF, LAST_HALF, FIRST_CALL = "first half", "last half", "first call"


@dataclass(frozen=True)
class Segment:
    """How a pipeline gives one encoder its prompt, and which of its tokens the network sees.

    Attributes:
        tokenizer: the pipeline's attribute.
        template: of the pipeline and a prompt, the text that is tokenised.
        cut: the pipeline's attribute that holds how many tokens at the beginning the network does not see.
        most: how many it sees at most; as many as the tokenizer allows when not given.
        keys: how many keys the segment takes; needed where another follows.
        encoder: the pipeline's attribute without which the segment is missing; always there when empty.
        padded: the text is brought to its full length, before or after it as the tokenizer is set.
        texts: arguments of a call that each hold a text of these tokens; where one is not given, ``prompt`` does.
    """

    tokenizer: str = "tokenizer"
    template: Callable[[DiffusionPipeline, str], str] = lambda pipeline, prompt: prompt
    cut: str = ""
    most: int | None = None
    keys: int = 0
    encoder: str = ""
    padded: bool = True
    texts: tuple[str, ...] = ("prompt",)


@dataclass(frozen=True)
class Guidance:
    """How a pipeline's call is told to guide.

    Attributes:
        argument: that holds the guidance scale.
        nothing: the negative prompt that stands for none; none where guidance leads away from no prompt.
    """

    argument: str = "guidance_scale"
    nothing: str | None = ""


#: What diffusers puts for an autoencoder whose file says no size.
_UNKNOWN_SIZE = 32
#: A number that the network is given, and the prompt stands alone.
_EMBEDDED = Guidance(nothing=None)


@dataclass(frozen=True)
class PipelineKind:
    """One row: how pipelines of one kind encode a prompt and call their network.

    Attributes:
        name: what artists call their models.
        pipelines: names of their classes.
        text: in the order of the text keys.
        prompted: ``FIRST_HALF``, ``LAST_HALF`` or ``FIRST_CALL``.
        network: the pipeline's attribute that holds the network.
        latent, context: arguments of its forward.
        channels: path of the pipeline's attribute that says how many of the channels are the latent's, where further
            ones follow for some of its networks.
        listed: arguments that are lists with an item for each picture.
        guidance: how a call is told to guide.
        guidance_without_embedding: likewise, where the network is given no guidance scale; the same when not given.
        dtype: in which its models are made to run on a GPU.
        size_by_autoencoder: the pipelines draw one size unless they are told, whatever their models were made for.
        from_text: names of further classes than the first that draw from a text alone.
    """

    name: str
    pipelines: tuple[str, ...]
    text: tuple[Segment, ...]
    prompted: str
    network: str = "transformer"
    latent: str = "hidden_states"
    context: str = "encoder_hidden_states"
    channels: str = ""
    listed: tuple[str, ...] = ()
    guidance: Guidance = Guidance()
    guidance_without_embedding: Guidance | None = None
    dtype: torch.dtype = torch.bfloat16
    size_by_autoencoder: bool = False
    from_text: tuple[str, ...] = ()

    def network_of(self, pipeline: DiffusionPipeline) -> torch.nn.Module:
        """The network that is steered."""
        return getattr(pipeline, self.network)

    def latent_channels(self, pipeline: DiffusionPipeline) -> int | None:
        """How many channels of the network's input are the latent's; all when none is told."""
        return attrgetter(self.channels)(pipeline) if self.channels else None

    def guidance_of(self, pipeline: DiffusionPipeline) -> Guidance:
        """How a call of this pipeline is told to guide."""
        other, config = self.guidance_without_embedding, attrgetter(f"{self.network}.config")(pipeline)
        if other is None or config.guidance_embeds:
            return self.guidance
        return other

    def size_of(self, pipeline: DiffusionPipeline) -> tuple[int, int] | None:
        """(width, height) of pictures that a call is to be told; none where the pipeline knows it, or nobody does."""
        side = pipeline.vae.config.get("sample_size", _UNKNOWN_SIZE) if self.size_by_autoencoder else _UNKNOWN_SIZE
        return None if side == _UNKNOWN_SIZE else (side, side)

    def text_options(self, pipeline: DiffusionPipeline) -> dict[str, int]:
        """What a call is given where it would bring a text to more tokens than the tokenizer allows."""
        for segment in self.text:
            if segment.most is None or not has_segment(pipeline, segment):
                continue
            allowed = text_tokenizer(pipeline, segment).model_max_length
            if allowed < segment.most:
                return {"max_sequence_length": allowed}
        return {}

    def parts(self, pipeline: DiffusionPipeline, latent: Tensor, pictures: int | None = None) -> int:
        """In how many parts of a batch the network is given the same latent (batch, …): 2 while it is guided so.

        Args:
            pictures: that the call draws, if that is known; else two halves that are alike are taken for two parts.
        """
        if self.prompted == FIRST_CALL or not pipeline.do_classifier_free_guidance:
            return 1
        if pictures is not None:
            return len(latent) // pictures
        if len(latent) % 2:
            return 1
        return 2 if torch.equal(*latent.nan_to_num().chunk(2)) else 1

    def prompted_parts(
        self, pipeline: DiffusionPipeline, latent: Tensor, is_first: bool, pictures: int | None = None
    ) -> tuple[bool, ...]:
        """For each of a call's ``parts`` whether it holds the prompt, or what guidance leads away from.

        Args:
            latent: (batch, …), as the network is given it.
            is_first: whether it is the first call of its step.
            pictures: see ``parts``.
        """
        if self.prompted == FIRST_CALL:
            return (is_first,)
        if self.parts(pipeline, latent, pictures) == 1:
            return (True,)
        return (True, False) if self.prompted == FIRST_HALF else (False, True)


def has_segment(pipeline: DiffusionPipeline, segment: Segment) -> bool:
    """Whether the pipeline has the encoder of a segment."""
    return not segment.encoder or getattr(pipeline, segment.encoder) is not None


def text_tokenizer(pipeline: DiffusionPipeline, segment: Segment) -> PreTrainedTokenizerBase:
    """That of a segment; a processor of texts and pictures holds the tokenizer of texts."""
    tokenizer = getattr(pipeline, segment.tokenizer)
    return getattr(tokenizer, "tokenizer", tokenizer)


def _chat(thinking: bool) -> Callable[[DiffusionPipeline, str], str]:
    """Qwen 3's own chat template."""

    def template(pipeline: DiffusionPipeline, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        return pipeline.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
        )

    return template


def _mistral_chat(pipeline: DiffusionPipeline, prompt: str) -> str:
    (messages,) = format_input([prompt], pipeline.system_message)
    return pipeline.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)


def _qwen_image(pipeline: DiffusionPipeline, prompt: str) -> str:
    return pipeline.prompt_template_encode.format(prompt)


def _krea(pipeline: DiffusionPipeline, prompt: str) -> str:
    return pipeline.prompt_template_encode_prefix + prompt


def _with(stem: str, *kinds: str) -> tuple[str, ...]:
    """Class names: the stem with each of these before ``Pipeline``."""
    return tuple(f"{stem}{kind}Pipeline" for kind in ("", *kinds))


_UNET: dict[str, Any] = {
    "prompted": LAST_HALF,
    "network": "unet",
    "latent": "sample",
    # Networks for inpainting are given the mask and the masked picture in further channels.
    "channels": "vae.config.latent_channels",
    "dtype": torch.float16,
}
_CONTROL = ("ControlNet", "ControlNetImg2Img", "ControlNetInpaint")

PIPELINES = (
    PipelineKind(
        "Stable Diffusion 1 and 2",
        _with("StableDiffusion", "Img2Img", "Inpaint", *_CONTROL, "Adapter"),
        (Segment(),),
        **_UNET,
    ),
    PipelineKind(
        "SDXL",
        _with("StableDiffusionXL", "Img2Img", "Inpaint", *_CONTROL, "Adapter"),
        # Both encoders cut a text into the same tokens, and stand side by side in the width of each; the refiner has
        # the second alone.
        (Segment("tokenizer_2", texts=("prompt", "prompt_2")),),
        **_UNET,
    ),
    PipelineKind(
        "SD 3, SD 3.5",
        _with("StableDiffusion3", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpainting"),
        (
            Segment(keys=77, texts=("prompt", "prompt_2")),
            Segment("tokenizer_3", most=256, encoder="text_encoder_3", texts=("prompt_3",)),
        ),
        LAST_HALF,
        channels="transformer.config.out_channels",
        dtype=torch.float16,
    ),
    PipelineKind(
        "FLUX.1",
        (
            *_with("Flux", "Img2Img", "Inpaint", *_CONTROL, "Kontext", "KontextInpaint"),
            *("FluxFillPipeline", "FluxControlPipeline", "FluxControlImg2ImgPipeline", "FluxControlInpaintPipeline"),
        ),
        (Segment("tokenizer_2", most=512, texts=("prompt_2",)),),
        FIRST_CALL,
        channels="transformer.out_channels",
        guidance=_EMBEDDED,
        guidance_without_embedding=Guidance("true_cfg_scale"),
        size_by_autoencoder=True,
        from_text=("FluxKontextPipeline",),
    ),
    PipelineKind(
        "FLUX.2 dev",
        ("Flux2Pipeline",),
        (Segment(template=_mistral_chat, most=512),),
        FIRST_CALL,
        guidance=_EMBEDDED,
        size_by_autoencoder=True,
    ),
    PipelineKind(
        "FLUX.2 klein",
        _with("Flux2Klein", "Inpaint"),
        (Segment(template=_chat(thinking=False), most=512),),
        FIRST_CALL,
        guidance=_EMBEDDED,
        size_by_autoencoder=True,
    ),
    PipelineKind(
        "Z-Image",
        _with("ZImage", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpaint"),
        (Segment(template=_chat(thinking=True), most=512, padded=False),),
        FIRST_HALF,
        latent="x",
        context="cap_feats",
        listed=("x", "cap_feats"),
    ),
    PipelineKind(
        "Qwen-Image",
        _with("QwenImage", "Img2Img", "Inpaint", "ControlNet", "ControlNetInpaint"),
        (Segment(template=_qwen_image, cut="prompt_template_encode_start_idx", most=512, padded=False),),
        FIRST_CALL,
        # It guides only where there is some negative prompt.
        guidance=Guidance("true_cfg_scale", nothing=" "),
    ),
    PipelineKind(
        "Krea 2",
        ("Krea2Pipeline",),
        # Five tokens of the template follow on the padding.
        (Segment(template=_krea, cut="prompt_template_encode_start_idx", most=507),),
        FIRST_CALL,
    ),
)

#: Arguments of a pipeline's call by which a part of a picture is kept.
_MASKS = frozenset({"mask_image", "control_mask"})
_ROWS = {name: kind for kind in PIPELINES for name in kind.pipelines}


def kind_named(name: str) -> PipelineKind | None:
    """The row of a class name."""
    return _ROWS.get(name)


def check_draws_from_text(pipeline: DiffusionPipeline) -> None:
    """Refuse a pipeline that wants a picture besides the prompt.

    Raises:
        ValueError: it does, or is of another kind.
    """
    kind = kind_of(pipeline)
    names = (kind.pipelines[0], *kind.from_text)
    if row_of(type(pipeline), {name: name in names for name in kind.pipelines}, lambda of: of.__name__) is False:
        raise ValueError(
            f"{type(pipeline).__name__} draws from a picture as well, and there is only a prompt here. Take a "
            f"{kind.pipelines[0]}, or call the pipeline yourself within steered(…)."
        )


def least_side(pipeline: DiffusionPipeline) -> int:
    """What the sides of its pictures must be multiples of, in pixels."""
    return pipeline.image_processor.config.vae_scale_factor


def keeps_a_part(pipeline: DiffusionPipeline) -> bool:
    """Whether its call is given a mask, outside of which the picture stays as it is."""
    return not _MASKS.isdisjoint(inspect.signature(type(pipeline).__call__).parameters)


def kind_of(pipeline: DiffusionPipeline) -> PipelineKind:
    """The row of a pipeline.

    Raises:
        ValueError: none describes it.
    """
    kind = row_of(type(pipeline), _ROWS, lambda of: of.__name__)
    if kind is None:
        kinds = ", ".join(kind.name for kind in PIPELINES)
        raise ValueError(
            f"{type(pipeline).__name__} cannot be steered: how it guides the prompt is not known here. Use a pipeline "
            f"of one of these: {kinds}. docs/models.md names their classes, and says how to add one."
        )
    return kind
