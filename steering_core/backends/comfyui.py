"""Steering of ComfyUI's UNet models (SD 1.x, SD 2.x, SDXL, the miniature).

    scene = ground_prompt(clip, prompt)
    steered = steer_model(model, Steering(scene, CentroidLoss()))
    samples = common_ksampler(steered, …)

The model that comes in is never changed: a clone of it carries a wrapper around its samplers.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import comfy.model_management
import comfy.patcher_extension
import comfy.samplers
import torch
from comfy.extra_samplers import uni_pc
from comfy.k_diffusion.sampling import sample_euler
from comfy.latent_formats import LatentFormat
from comfy.ldm.modules.attention import SpatialTransformer, attention_pytorch
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, UNetModel
from comfy.model_patcher import ModelPatcher, create_model_options_clone, set_model_options_post_cfg_function
from comfy.sd import CLIP
from comfy.sd1_clip import SD1Tokenizer, SDTokenizer
from comfy.sdxl_clip import SDXLTokenizer
from torch import Tensor, nn

from ..attention import split_heads
from ..layers import AttentionLayer, MapCollector, ProbeComplete
from ..parser import parse
from ..relations import Scene
from ..schedule import SamplingStep
from ..steering import Steering, SteeringError, uses_guidance
from ..token_maps import TokenMaps
from ..tokens import GroundedScene, Token, ground, token_texts
from ..trace import RunLog, SteeringRun
from .comfyui_weights import make_cast_weights_ordinary, ordinary_weights

_WRAPPER_KEY = "spatial_steering"

#: Of ComfyUI's samplers: (step, denoised, x, steps), the latents (batch, channels, H, W).
SamplerCallback = Callable[[int, Tensor, Tensor, int], None]
#: Is told of a steered step: the steering with its trace, the step from 0, how many there are, the denoised latent
#: (batch, channels, H, W) and its format.
StepListener = Callable[[Steering, int, int, Tensor, LatentFormat], None]
#: Where ComfyUI's UNet runs a transformer block: (part, number of the part's module, block in it).
Block = tuple[str, int, int]


def ground_prompt(clip: CLIP, prompt: str, scene: Scene | None = None) -> GroundedScene:
    """The prompt's relations, tied to tokens of the text encoder's conditioning.

    Args:
        scene: relations made by other means than reading the prompt.

    Raises:
        PhraseNotFoundError: a phrase has no tokens.
    """
    return ground(scene or parse(_without_embeddings(prompt)), prompt_tokens(clip, prompt))


def _without_embeddings(prompt: str) -> str:
    """The prompt with blanks for textual inversions, whose names are no words of it."""
    return re.sub(r"embedding:\S+", lambda found: " " * len(found.group()), prompt)


def prompt_tokens(clip: CLIP, prompt: str) -> list[Token]:
    """The tokens of the model's text encoder, its chunks joined as in the conditioning.

    Raises:
        ValueError: the model has no text encoder, or another kind than CLIP.
    """
    tokenizer, name = _clip_tokenizer(clip)
    chunks = clip.tokenize(prompt)[name]
    special = {tokenizer.start_token, tokenizer.end_token, tokenizer.pad_token}
    ids = [entry[0] for chunk in chunks for entry in chunk]
    # An embedding ("embedding:name") stands among the ids as a tensor, and is no word.
    words = [(index, token) for index, token in enumerate(ids) if isinstance(token, int) and token not in special]
    decode = tokenizer.tokenizer.decode
    texts = token_texts([token for _, token in words], lambda part: decode(part, skip_special_tokens=True))
    by_index = {index: text for (index, _), text in zip(words, texts)}
    return [Token(index, by_index.get(index, "")) for index in range(len(ids))]


def _clip_tokenizer(clip: CLIP | None) -> tuple[SDTokenizer, str]:
    """The tokenizer whose tokens the conditioning follows, and what its encoder is called."""
    if clip is None:
        raise ValueError("clip: the checkpoint holds no text encoder. Load one with Load CLIP, and connect that.")
    if isinstance(clip.tokenizer, SD1Tokenizer):
        return getattr(clip.tokenizer, clip.tokenizer.clip), clip.tokenizer.clip_name
    if isinstance(clip.tokenizer, SDXLTokenizer):
        # Both of its encoders cut a text into the same tokens, and stand side by side in the width of each.
        return clip.tokenizer.clip_l, "l"
    raise ValueError(
        f"clip: a Stable Diffusion 1.x, 2.x or SDXL text encoder, or that of Load Miniature Model, was expected; "
        f"{type(clip.tokenizer).__name__} is of another kind."
    )


def attention_layers(unet: UNetModel) -> dict[str, tuple[AttentionLayer, Block]]:
    """The network's cross-attention by the name that all backends share, in running order."""
    parts = (
        ("down", "input", unet.input_blocks),
        ("mid", "middle", [unet.middle_block or ()]),
        ("up", "output", unet.output_blocks),
    )
    levels = _levels(unet)
    found: dict[str, tuple[AttentionLayer, Block]] = {}
    for stage, part, modules in parts:
        number = 0
        for index, module in enumerate(modules):
            for transformer in (child for child in module if isinstance(child, SpatialTransformer)):
                for block in range(len(transformer.transformer_blocks)):
                    heads = transformer.transformer_blocks[block].attn2.heads
                    layer = AttentionLayer(stage, number, levels[part][index], heads)
                    found[layer.name] = (layer, (part, index, block))
                    number += 1
    return found


def network_of(model: ModelPatcher) -> dict[str, tuple[AttentionLayer, Block]]:
    """``attention_layers`` of a MODEL.

    Raises:
        ValueError: it is no UNet with cross-attention.
    """
    unet = model.get_model_object("diffusion_model")
    available = attention_layers(unet) if isinstance(unet, UNetModel) else {}
    if not available:
        raise ValueError(
            f"model: {type(unet).__name__} has no cross-attention that can be steered. Connect a Stable "
            f"Diffusion 1.x, 2.x or SDXL model, or the one from Load Miniature Model."
        )
    return available


def _levels(unet: UNetModel) -> dict[str, list[int]]:
    """How often the latent was halved, for every module of every part."""
    down = list(itertools.accumulate(_halves(module) for module in unet.input_blocks))
    # The decoder's module n takes the encoder's last-but-n output.
    return {"input": down, "middle": down[-1:], "output": down[::-1]}


def _halves(module: nn.Module) -> bool:
    return any(isinstance(child, Downsample) for child in module)


def steer_model(
    model: ModelPatcher, steering: Steering, log: RunLog | None = None, on_step: StepListener | None = None
) -> ModelPatcher:
    """A clone of the model whose samplers are steered, with any sampler node.

    The steered window of a sampler runs one interval of the schedule at a time, with the latent
    moved between them (latent descent), or with the prediction shifted after classifier-free
    guidance (noise guidance). Step shares count the steps that the sampler is given.

    Args:
        model: shares its weights with the clone.
        steering: its trace is that of the last run.
        log: is given every run that ends well.
        on_step: called after each steered step.

    Raises:
        ValueError: the model is steered already, or is no UNet with cross-attention, or the loss cannot read
            it, or cannot score one of the relations.
    """
    wrappers = comfy.patcher_extension.WrappersMP
    if model.get_wrappers(wrappers.SAMPLER_SAMPLE, _WRAPPER_KEY):
        raise ValueError(
            "model: it is steered already. Give the model itself to one steering node only, with all relations: "
            "chain them with Spatial Relation, and add losses up with Combine Losses."
        )
    blocks: dict[str, Block] = {}
    if steering.scene.relations:
        available = network_of(model)
        names = steering.bind([layer for layer, _ in available.values()])
        blocks = {name: available[name][1] for name in names}
    run = _SteeredRun(steering, blocks, log or RunLog(), on_step)
    clone = model.clone()
    clone.add_wrapper_with_key(wrappers.OUTER_SAMPLE, _WRAPPER_KEY, run.outer_sample)
    clone.add_wrapper_with_key(wrappers.SAMPLER_SAMPLE, _WRAPPER_KEY, run.sample)
    return clone


class _SteeredRun:
    """Stands between a guider and its sampler; for one run after the other."""

    def __init__(self, steering: Steering, blocks: dict[str, Block], log: RunLog, on_step: StepListener | None) -> None:
        self._steering, self._blocks, self._log, self._on_step = steering, blocks, log, on_step
        self._steps = 0
        self._predictions: dict[int, Tensor] = {}

    def outer_sample(self, executor: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Wrapper of ``CFGGuider.outer_sample``: logs the run when it has ended."""
        self._steps = 0
        self._predictions = {}
        self._steering.trace.clear()
        latent = executor(*args, **kwargs)
        entries = tuple(self._steering.trace)
        self._log.add(SteeringRun(self._steering.scene, self._steps, entries, self._predictions, latent.cpu()))
        return latent

    def sample(
        self,
        executor: Any,
        guider: comfy.samplers.CFGGuider,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: SamplerCallback | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        """Wrapper of ``Sampler.sample``."""
        self._steps = steps = len(sigmas) - 1
        rest = (self._watching(callback, guider), noise, latent_image, denoise_mask, disable_pbar)
        if not (self._steering.scene.relations and self._steering.schedule.steered_steps(steps)):
            return executor(guider, sigmas, extra_args, *rest)
        if not guider.conds.get("positive"):
            raise SteeringError(
                f"guider: {type(guider).__name__} has no positive conditioning, whose attention steering reads. "
                f"Use CFGGuider, BasicGuider or another with one."
            )
        with ordinary_weights(guider):
            if uses_guidance(self._steering):
                options = create_model_options_clone(extra_args["model_options"])
                shift = self._prediction_shift(guider, sigmas, extra_args["model_options"], denoise_mask)
                set_model_options_post_cfg_function(options, shift)
                latent = executor(guider, sigmas, {**extra_args, "model_options": options}, *rest)
                if not self._steering.trace:
                    raise SteeringError(
                        f"guider: {type(guider).__name__} applies no guidance at this cfg: there was nothing to bend. "
                        f"Steer by latent descent, or set another cfg."
                    )
                return latent
            sampler = executor.class_obj
            if not isinstance(sampler, comfy.samplers.KSAMPLER):
                raise SteeringError(
                    f"sampler: latent descent cannot stand between the steps of {type(sampler).__name__}, which is "
                    f"not made of a sampler function. Steer it by noise guidance."
                )
            function = sampler.sampler_function
            sampler.sampler_function = self._by_intervals(function, guider)
            try:
                return executor(guider, sigmas, extra_args, *rest)
            finally:
                sampler.sampler_function = function

    def _watching(self, callback: SamplerCallback | None, guider: comfy.samplers.CFGGuider) -> SamplerCallback:
        """The sampler's callback, and after it what steering has to tell of the step."""
        seen = 0

        def watch(step: int, denoised: Tensor, x: Tensor, steps: int) -> None:
            nonlocal seen
            if callback is not None:
                callback(step, denoised, x, steps)
            # The steps that were probed tell which this is: some samplers count in another way.
            probed = {entry.step for entry in self._steering.trace[seen:]} - self._predictions.keys()
            seen = len(self._steering.trace)
            if not probed:
                return
            prediction = guider.inner_model.process_latent_out(denoised.float()).cpu()
            self._predictions.update(dict.fromkeys(probed, prediction))
            if self._on_step is not None:
                self._on_step(self._steering, max(probed), self._steps, denoised, guider.inner_model.latent_format)

        return watch

    def _prediction_shift(
        self,
        guider: comfy.samplers.CFGGuider,
        sigmas: Tensor,
        model_options: dict[str, Any],
        denoise_mask: Tensor | None,
    ) -> Callable[[dict[str, Any]], Tensor]:
        """What moves the denoised latent after classifier-free guidance."""
        steps = len(sigmas) - 1

        def shift(args: dict[str, Any]) -> Tensor:
            x, sigma = args["input"], float(args["sigma"].flatten()[0])
            number = min(int((sigmas[1:] >= sigma).sum()), steps - 1)
            if not self._steering.is_active(number, steps):
                return args["denoised"]
            step = SamplingStep(number, steps, progress(guider.inner_model.model_sampling, sigma))
            mask = _mask_at(guider, denoise_mask, x, sigma, sigmas, model_options)
            latent, probe = self._network_view(guider, x, sigma, model_options, mask)
            noise_shift = self._steering.noise_shift(latent, probe, step)
            # The denoised latent is x - sigma·epsilon whatever the network predicts.
            return args["denoised"] if noise_shift is None else args["denoised"] - sigma * noise_shift

        return shift

    def _by_intervals(
        self, sampler_function: Callable[..., Tensor], guider: comfy.samplers.CFGGuider
    ) -> Callable[..., Tensor]:
        """The sampler, with the latent moved before each steered step."""

        def sample(
            model: comfy.samplers.KSamplerX0Inpaint,
            x: Tensor,
            sigmas: Tensor,
            extra_args: dict[str, Any],
            callback: Callable[[dict[str, Any]], None],
            disable: bool,
            **options: Any,
        ) -> Tensor:
            steps = len(sigmas) - 1
            active = self._steering.schedule.steered_steps(steps)
            cuts = sorted({0, steps, *active, *(step + 1 for step in active)})
            for first, last in itertools.pairwise(cuts):
                if first in active:
                    x = self._moved(guider, model, x, float(sigmas[first]), extra_args, first, steps)
                # UniPC only looks at the model, and takes no step, where it is given one interval alone.
                alone = last - first == 1 and sampler_function in (uni_pc.sample_unipc, uni_pc.sample_unipc_bh2)
                # Another seed for each interval, or a sampler that draws noise would draw the same again.
                x = (sample_euler if alone else sampler_function)(
                    model,
                    x,
                    sigmas[first : last + 1],
                    extra_args={**extra_args, "seed": extra_args["seed"] + first},
                    callback=_renumbered(callback, first),
                    disable=disable or last - first == 1,
                    **({} if alone else options),
                )
            return x

        return sample

    def _moved(
        self,
        guider: comfy.samplers.CFGGuider,
        model: comfy.samplers.KSamplerX0Inpaint,
        x: Tensor,
        sigma: float,
        extra_args: dict[str, Any],
        number: int,
        steps: int,
    ) -> Tensor:
        """The sampler's latent, moved by latent descent."""
        options = extra_args["model_options"]
        mask = _mask_at(guider, extra_args["denoise_mask"], x, sigma, model.sigmas, options)
        visible = x if mask is None else _with_kept_region(guider, model, x, sigma, mask)
        latent, probe = self._network_view(guider, visible, sigma, options, mask)
        scale = _input_scale(guider, sigma)
        step = SamplingStep(number, steps, progress(guider.inner_model.model_sampling, sigma))
        moved = self._steering.descend(latent, probe, sigma * scale, step)
        return x + (moved - latent) / scale

    def _network_view(
        self,
        guider: comfy.samplers.CFGGuider,
        x: Tensor,
        sigma: float,
        model_options: dict[str, Any],
        mask: Tensor | None,
    ) -> tuple[Tensor, Callable[[Tensor], TokenMaps]]:
        """The latent as the network receives it, and the probe of such a latent."""
        scale = _input_scale(guider, sigma)

        def probe(latent: Tensor) -> TokenMaps:
            comfy.model_management.throw_exception_if_processing_interrupted()
            tokens = self._steering.scene.tokens
            if mask is not None:  # what is kept cannot be moved, and must not count in the gradient's size
                open_part = mask.clone()  # made in inference mode, it could not be saved for backward
                latent = latent * open_part + latent.detach() * (1 - open_part)
            return probe_model(guider, latent / scale, sigma, model_options, tokens, self._blocks)

        return x * scale, probe


def probe_model(
    guider: comfy.samplers.CFGGuider,
    x: Tensor,
    sigma: float,
    model_options: dict[str, Any],
    tokens: Sequence[Sequence[int]],
    blocks: dict[str, Block],
) -> TokenMaps:
    """Token maps of one forward under the positive conditioning, ended at the last layer wanted.

    Args:
        guider: while it samples.
        x: latent as a sampler holds it, (batch, channels, H, W).
        sigma: noise level of x.
        tokens: for each object the indices of its tokens.
        blocks: the wanted layers in running order.

    Raises:
        SteeringError: the positive conditioning does not act at this step.
    """
    collector = MapCollector(tuple(blocks), tokens)
    options = create_model_options_clone(model_options)
    transformer_options = options.setdefault("transformer_options", {})
    replaced = transformer_options.setdefault("patches_replace", {}).setdefault("attn2", {})
    for name, block in blocks.items():
        replaced[block] = _MapReader(name, collector, replaced.get(block, replaced.get(block[:2])))
    # Of the attention kernels that may be chosen, this one is known to have a backward.
    transformer_options["optimized_attention_override"] = _differentiable_attention
    # Of a conditioning for an area only, the maps would show the area only.
    condition = {name: value for name, value in guider.conds["positive"][0].items() if name != "area"}
    if "control" in condition:
        condition["control"] = _ControlWithoutGradient(condition["control"])
        # Residuals are added in place to what the next encoder block has saved for backward, if it is not a copy.
        patches = transformer_options.get("patches", {})
        name = "input_block_patch_after_skip"
        transformer_options["patches"] = {**patches, name: [*patches.get(name, ()), lambda h, _: h.clone()]}
    make_cast_weights_ordinary(guider.inner_model.diffusion_model)
    try:
        comfy.samplers.calc_cond_batch(
            guider.inner_model, [[condition]], x, x.new_full((len(x),), sigma, dtype=torch.float32), options
        )
    except ProbeComplete:
        return collector.token_maps()
    raise SteeringError(
        "positive: the first conditioning does not act at this step, so there are no token maps to steer by. "
        "Give it the whole range of steps, or steer another window."
    )


def _differentiable_attention(kernel: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    return attention_pytorch(*args, **kwargs)


class _MapReader:
    """Replacement of one cross-attention: shows queries and keys to the collector, then attends."""

    def __init__(self, name: str, collector: MapCollector, replaced: Callable[..., Tensor] | None) -> None:
        self._name, self._collector, self._replaced = name, collector, replaced

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        heads = extra_options["n_heads"]
        size = tuple(extra_options["activations_shape"][-2:])
        self._collector.add(self._name, split_heads(q, heads), split_heads(k, heads), size)
        if self._replaced is not None:
            return self._replaced(q, k, v, extra_options)
        return attention_pytorch(q, k, v, heads)


class _ControlWithoutGradient:
    """A control net as the probe sees it: its residuals count, the way through it is not kept."""

    def __init__(self, control: Any) -> None:
        self._control = control

    def get_control(self, x: Tensor, *args: Any) -> Any:
        """As the control net's own."""
        with torch.no_grad():
            return self._control.get_control(x.detach(), *args)


def _mask_at(
    guider: comfy.samplers.CFGGuider,
    denoise_mask: Tensor | None,
    x: Tensor,
    sigma: float,
    sigmas: Tensor,
    model_options: dict[str, Any],
) -> Tensor | None:
    """The part of the latent that this step denoises, 1 where it does; none where that is all of it."""
    if denoise_mask is None or "denoise_mask_function" not in model_options:
        return denoise_mask
    described = {"model": guider, "sigmas": sigmas}
    return model_options["denoise_mask_function"](x.new_full((len(x),), sigma), denoise_mask, extra_options=described)


def _with_kept_region(
    guider: comfy.samplers.CFGGuider,
    model: comfy.samplers.KSamplerX0Inpaint,
    x: Tensor,
    sigma: float,
    denoise_mask: Tensor,
) -> Tensor:
    """The latent as the model will see it: outside the mask, the original picture with noise."""
    kept = guider.inner_model.scale_latent_inpaint(
        x=x,
        sigma=x.new_full((len(x),), sigma),
        noise=model.noise,
        latent_image=model.latent_image,
        denoise_mask=denoise_mask,
    )
    return x * denoise_mask + kept * (1 - denoise_mask)


def progress(sampling: Any, sigma: float) -> float:
    """Share of the diffusion time that is done at a noise level, in thousandths.

    Args:
        sampling: the model's ``model_sampling``.
    """
    parts = bisect.bisect_left(range(1000), -sigma, key=lambda part: -sampling.percent_to_sigma(part / 1000))
    return parts / 1000


def _input_scale(guider: comfy.samplers.CFGGuider, sigma: float) -> float:
    """What a sampler's latent is multiplied with on its way into the network."""
    sampling = guider.inner_model.model_sampling
    return sampling.calculate_input(torch.tensor([sigma]), torch.ones(1, 1)).item()


def _renumbered(callback: Callable[[dict[str, Any]], None], first: int) -> Callable[[dict[str, Any]], None]:
    """Steps of an interval, told as steps of the whole schedule."""
    return lambda state: callback({**state, "i": state["i"] + first})
