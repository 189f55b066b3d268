"""Steering of Stable Diffusion pipelines of the diffusers library (SD 1.x, SD 2.x, the miniature).

scene = ground_prompt(pipeline, prompt)
steering = Steering(scene, CentroidLoss())
with steered(pipeline, steering):
    image = pipeline(prompt).images[0]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial, wraps
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DPMSolverSinglestepScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from safetensors import SafetensorError
from torch import Tensor, nn

from ..attention import split_heads
from ..layers import AttentionLayer, MapCollector, ProbeComplete, check_layers, default_layers, halved
from ..parser import parse
from ..relations import Scene
from ..schedule import SamplingStep
from ..steering import Steering, uses_guidance
from ..token_maps import TokenMaps
from ..tokens import GroundedScene, Token, ground, token_texts

#: Schedules rescaled to zero terminal signal start at alpha = 0, where no prediction can bend the noise;
#: Stable Diffusion's own start at 0.068.
_LEAST_ALPHA = 0.05

#: How the noise's share of a prediction follows from the shift of the noise, given alpha and
#: sigma of z = alpha·x0 + sigma·epsilon at a fixed z (Salimans and Ho 2022, section 4).
_PREDICTION_PER_NOISE = {
    "epsilon": lambda alpha, sigma: 1.0,
    "v_prediction": lambda alpha, sigma: 1 / max(alpha, _LEAST_ALPHA),
    "sample": lambda alpha, sigma: -sigma / max(alpha, _LEAST_ALPHA),
}


def ground_prompt(pipeline: StableDiffusionPipeline, prompt: str, scene: Scene | None = None) -> GroundedScene:
    """The prompt's relations, tied to tokens of the pipeline's text encoder.

    Args:
        scene: relations made by other means than reading the prompt.

    Raises:
        PhraseNotFoundError: a phrase is cut off because the prompt is too long.
    """
    return ground(scene or parse(prompt), prompt_tokens(pipeline, prompt))


def load_pipeline(source: str | Path, device: str) -> StableDiffusionPipeline:
    """Load a pipeline without its safety checker and without asking the network.

    On the CPU it computes in float32, elsewhere in float16.

    Args:
        source: a pipeline's folder, or the name of one in the Hugging Face cache of this machine.

    Raises:
        ValueError: there is none, it is of another kind or damaged, or the device cannot be used.
    """
    check_device(device)
    if Path(source).is_file():
        raise ValueError(
            f"{source} is a file; the folder of a diffusers pipeline was expected. Convert a checkpoint with: "
            f"StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER)"
        )
    try:
        config = StableDiffusionPipeline.load_config(source, local_files_only=True)
    except OSError as error:
        raise ValueError(
            f"{source} is neither a pipeline's folder nor in the Hugging Face cache. Download it first with: "
            f"hf download {source}"
        ) from error
    if config.get("_class_name") != StableDiffusionPipeline.__name__:
        raise ValueError(
            f"{source} holds a {config.get('_class_name')}; a StableDiffusionPipeline (Stable Diffusion 1.x or 2.x, or "
            f"the miniature) was expected."
        )
    try:
        pipeline = StableDiffusionPipeline.from_pretrained(
            source,
            local_files_only=True,
            dtype=torch.float32 if torch.device(device).type == "cpu" else torch.float16,
            safety_checker=None,
            requires_safety_checker=False,
        )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{source} cannot be loaded, a file is missing or damaged: {error}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def check_device(device: str) -> None:
    """Refuse a device that torch does not have here.

    Raises:
        ValueError: it has none of this name.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"The device {device} cannot be used here; cpu always can, cuda with a GPU: {reason}"
        ) from error


def generate(
    pipeline: StableDiffusionPipeline,
    prompt: str,
    seeds: Sequence[int],
    steering: Steering | None,
    steps: int,
    guidance_scale: float,
    negative_prompt: str = "",
) -> Tensor:
    """One picture of the prompt for each seed, as one batch: (seeds, 3, H, W) in [0, 1] on the CPU.

    Args:
        steering: none samples as the pipeline does by itself.

    Raises:
        See ``steered``.
    """
    with steered(pipeline, steering) if steering else nullcontext():
        return pipeline(
            prompt,
            negative_prompt=negative_prompt,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            num_images_per_prompt=len(seeds),
            output_type="pt",
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        ).images.cpu()


def prompt_tokens(pipeline: StableDiffusionPipeline, prompt: str) -> list[Token]:
    """The tokens that the pipeline gives its text encoder, cut where it cuts them."""
    tokenizer = pipeline.tokenizer
    encoding = tokenizer(
        prompt,
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_special_tokens_mask=True,
        return_offsets_mapping=tokenizer.is_fast,
    )
    ids, special = encoding["input_ids"], encoding["special_tokens_mask"]
    if tokenizer.is_fast:
        spans = encoding["offset_mapping"]
        return [
            Token(index, "" if special[index] else prompt[start:end], None if special[index] else (start, end))
            for index, (start, end) in enumerate(spans)
        ]
    texts = token_texts(ids, lambda part: tokenizer.decode(part, skip_special_tokens=True))
    return [Token(index, text) for index, text in enumerate(texts)]


def attention_layers(unet: UNet2DConditionModel) -> dict[str, tuple[AttentionLayer, Attention]]:
    """The network's cross-attention by shared name, in running order."""
    levels = len(unet.down_blocks)
    stages = [("down", level, block) for level, block in enumerate(unet.down_blocks)]
    stages += [("mid", levels - 1, unet.mid_block)]
    stages += [("up", levels - 1 - index, block) for index, block in enumerate(unet.up_blocks)]
    found: dict[str, tuple[AttentionLayer, Attention]] = {}
    numbers = {"down": 0, "mid": 0, "up": 0}
    for stage, level, block in stages:
        for name, module in block.named_modules():
            if name.endswith("attn2") and isinstance(module, Attention):
                layer = AttentionLayer(stage, numbers[stage], level, module.heads)
                numbers[stage] += 1
                found[layer.name] = (layer, module)
    return found


def probe_unet(
    unet: UNet2DConditionModel,
    latent: Tensor,
    timestep: Tensor | float,
    context: Tensor,
    tokens: Sequence[Sequence[int]],
    layers: Sequence[str] | None = None,
    **network_inputs: Any,
) -> TokenMaps:
    """Token maps of one forward, which ends at the last layer wanted.

    Args:
        latent: as the network receives it, (batch, channels, H, W).
        context: text embeddings, (batch, keys, width).
        tokens: for each object the indices of its tokens.
        layers: names as in ``attention_layers``; ``default_layers`` when not given.
        network_inputs: what else the network's forward takes.

    Raises:
        ValueError: a layer is not the network's.
    """
    available = attention_layers(unet)
    described = [layer for layer, _ in available.values()]
    wanted = check_layers(layers or default_layers(described), described)
    collector = MapCollector(wanted, tokens)
    chosen = {name: available[name] for name in wanted}
    processors = {name: attention.processor for name, (_, attention) in chosen.items()}
    for name, (layer, attention) in chosen.items():
        attention.processor = _MapReader(name, collector, halved(latent.shape[-2:], layer.level))
    try:
        with _frozen(unet):
            unet(latent, timestep, encoder_hidden_states=context, return_dict=False, **network_inputs)
    except ProbeComplete:
        pass
    finally:
        for name, (_, attention) in chosen.items():
            attention.processor = processors[name]
    return collector.token_maps()


class _MapReader:
    """Attention processor that hands queries and keys to the collector, then attends as usual."""

    def __init__(self, name: str, collector: MapCollector, size: tuple[int, int]) -> None:
        self._name, self._collector, self._size = name, collector, size

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        q = split_heads(attn.to_q(hidden_states), attn.heads)
        k = split_heads(attn.to_k(encoder_hidden_states), attn.heads)
        self._collector.add(self._name, q, k, self._size)
        v = split_heads(attn.to_v(encoder_hidden_states), attn.heads)
        if attention_mask is not None:
            attention_mask = attn.prepare_attention_mask(attention_mask, k.shape[2], len(k)).unflatten(0, k.shape[:2])
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out)) / attn.rescale_output_factor


@contextmanager
def steered(pipeline: StableDiffusionPipeline, steering: Steering) -> Iterator[Steering]:
    """Within this context, calls of the pipeline are steered; afterwards it is as it was.

    Works with any prompt arguments of the pipeline and any scheduler that has ``alphas_cumprod``.
    All images of a call belong to the steering's one prompt.

    Raises:
        ValueError: the scheduler does not tell its noise levels, the loss cannot read this network,
            or cannot score one of the relations.
    """
    if not hasattr(pipeline.scheduler, "alphas_cumprod"):
        raise ValueError(
            f"{type(pipeline.scheduler).__name__} has no alphas_cumprod, so the noise level of a step is unknown. "
            f"Use a scheduler for noise-prediction models, such as DDIM, Euler or DPM-Solver++."
        )
    if not steering.scene.relations:
        yield steering
        return
    layers = steering.bind([layer for layer, _ in attention_layers(pipeline.unet).values()])
    run = _SteeredRun(pipeline, steering, layers)
    unet, scheduler = pipeline.unet, pipeline.scheduler
    # The pipeline reads from their signatures what it may pass on, such as the generator.
    step = wraps(scheduler.step)(partial(run.scheduler_step))
    set_timesteps = wraps(scheduler.set_timesteps)(partial(run.set_timesteps))
    with _replaced(unet, forward=run.forward), _replaced(scheduler, step=step, set_timesteps=set_timesteps):
        yield steering


class _SteeredRun:
    """Stands between the pipeline and its network and scheduler."""

    def __init__(self, pipeline: StableDiffusionPipeline, steering: Steering, layers: Sequence[str]) -> None:
        self._pipeline, self._steering, self._layers = pipeline, steering, layers
        self._network_forward = pipeline.unet.forward
        self._step, self._set_timesteps = pipeline.scheduler.step, pipeline.scheduler.set_timesteps
        self._call = 0
        self._shift: Tensor | None = None

    def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        """A new call of the pipeline begins."""
        self._set_timesteps(*args, **kwargs)
        self._call = 0

    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **inputs: Any) -> Any:
        """The network's forward, with the latent moved before or the noise shifted after it."""
        step = SamplingStep(self._call, self._pipeline.num_timesteps, self._progress(timestep))
        self._call += 1
        if not self._steering.is_active(step.number, step.steps):
            return self._network_forward(sample, timestep, encoder_hidden_states=encoder_hidden_states, **inputs)
        halves = 2 if self._pipeline.do_classifier_free_guidance else 1
        latent, context = sample.chunk(halves)[-1], encoder_hidden_states.chunk(halves)[-1]
        alpha, sigma = self._signal_and_noise(timestep)

        def probe(moved: Tensor) -> TokenMaps:
            kept = {name: value for name, value in inputs.items() if name != "return_dict"}
            return self._probe(moved, timestep, context, kept)

        if uses_guidance(self._steering):
            shift = self._steering.noise_shift(latent, probe, step)
            (output,) = self._network_forward(sample, timestep, encoder_hidden_states=encoder_hidden_states, **inputs)
            if shift is not None:
                output = output + torch.cat([shift * self._prediction_per_noise(alpha, sigma)] * halves)
            return (output,)
        if self._keeps_moved_latent():
            moved = self._steering.descend(latent, probe, sigma, step)
            self._shift = moved - latent
            sample = torch.cat([moved] * halves)
        return self._network_forward(sample, timestep, encoder_hidden_states=encoder_hidden_states, **inputs)

    def scheduler_step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The scheduler's step, from the moved latent."""
        if self._shift is not None:
            scale = self._pipeline.scheduler.scale_model_input(torch.ones_like(sample[:1, :1, :1, :1]), timestep)
            sample, self._shift = sample + self._shift / scale, None
            if hasattr(self._pipeline.scheduler, "last_sample"):
                # A corrector (UniPC, SA-Solver) would start again from the latent before the move.
                self._pipeline.scheduler.last_sample = None
        return self._step(model_output, timestep, sample, *args, **kwargs)

    def _probe(self, latent: Tensor, timestep: Tensor, context: Tensor, inputs: dict[str, Any]) -> TokenMaps:
        unet, tokens = self._pipeline.unet, self._steering.scene.tokens
        with _replaced(unet, forward=self._network_forward):
            return probe_unet(unet, latent, timestep, context, tokens, self._layers, **inputs)

    def _progress(self, timestep: Tensor) -> float:
        """Share of the diffusion time that is done."""
        return 1 - float(timestep) / (self._pipeline.scheduler.config.num_train_timesteps - 1)

    def _signal_and_noise(self, timestep: Tensor) -> tuple[float, float]:
        """alpha and sigma of the network's input z = alpha·x0 + sigma·epsilon, also between trained steps."""
        products = self._pipeline.scheduler.alphas_cumprod.double().cpu()
        time = min(max(float(timestep), 0.0), len(products) - 1.0)
        low = int(time)
        high = min(low + 1, len(products) - 1)
        product = torch.lerp(products[low], products[high], time - low).item()
        return product**0.5, (1 - product) ** 0.5

    def _prediction_per_noise(self, alpha: float, sigma: float) -> float:
        return _PREDICTION_PER_NOISE[self._pipeline.scheduler.config.prediction_type](alpha, sigma)

    def _keeps_moved_latent(self) -> bool:
        """Whether the scheduler goes on from the latent it is given, not from one it kept.

        The later evaluations of Heun, KDPM2, the SDE and the singlestep solver, and of PNDM's
        Runge-Kutta and first steps, are corrections on a latent of the scheduler's own.
        """
        scheduler = self._pipeline.scheduler
        if isinstance(scheduler, PNDMScheduler):
            runge_kutta = not scheduler.config.skip_prk_steps and scheduler.counter < len(scheduler.prk_timesteps)
            return scheduler.counter % 4 == 0 if runge_kutta else scheduler.counter != 1
        if isinstance(scheduler, DPMSolverSinglestepScheduler):
            return scheduler.order_list[scheduler.step_index or 0] == 1
        return getattr(scheduler, "state_in_first_order", True)


@contextmanager
def _replaced(target: Any, **attributes: Any) -> Iterator[None]:
    """The object's own attributes are these in this context, and as before after it."""
    before = {name: vars(target)[name] for name in attributes if name in vars(target)}
    for name, value in attributes.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name in attributes:
            if name in before:
                setattr(target, name, before[name])
            else:
                delattr(target, name)


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient in this context: only the latent's path is kept."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
