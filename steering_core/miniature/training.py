"""Training of the miniature: tokenizer, autoencoder, then text encoder and denoiser together.

A stopped run resumes from its last checkpoint in the work folder. Every batch is drawn from a
generator seeded with (seed, stage, step), so a resumed run sees the batches that the unbroken
run would have seen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import CLIPTokenizer

from ..backends.diffusers import check_device
from .captions import PROMPT_DROPOUT, caption
from .export import check_replaceable, export
from .networks import CONTEXT_LENGTH, build_autoencoder, build_pipeline, build_text_encoder, build_unet
from .optimise import Course, optimise
from .pictures import (
    PictureSettings,
    encode_pictures,
    fit_latent_preview,
    layout,
    random_layout,
    rendered,
    seeded,
    to_tensor,
    tokenizer_captions,
)
from .precision import half_precision
from .sheets import draw_sheet, save_sheet
from .start import claimed, loaded_start
from .tokenizer import train_tokenizer

#: The autoencoder learns from full pictures, where there is more to see in each.
_AUTOENCODER_COUNT_SHARES = (0.05, 0.15, 0.2, 0.3, 0.3)
_KL_WEIGHT = 1e-6


@dataclass(frozen=True)
class TrainingSettings(PictureSettings):
    """What fixes a training run of the first miniature.

    Attributes:
        autoencoder_steps, autoencoder_batch: of the first stage.
        denoiser_steps, denoiser_batch, denoiser_rate: of the second stage; the rate is the cycle's peak.

    Raises:
        See ``PictureSettings``.
    """

    autoencoder_steps: int = 2800
    autoencoder_batch: int = 8
    autoencoder_rate: float = 1e-3
    denoiser_steps: int = 5000
    denoiser_batch: int = 40
    denoiser_rate: float = 1e-3


def train_miniature(
    settings: TrainingSettings, work_dir: Path, out_dir: Path, device: str, start: Path | None = None
) -> None:
    """Train everything and write the pipeline's folder to ``out_dir``.

    Args:
        work_dir: checkpoints and sample sheets; a run found there is continued.
        out_dir: replaced as a whole when training has ended.
        start: a miniature whose tokenizer and autoencoder are kept, and whose text encoder and
            denoiser are trained on; from nothing when not given.

    Raises:
        ValueError: the device cannot be used, ``start`` is no folder of a miniature of this shape, ``out_dir`` holds
            something else than a pipeline, or ``work_dir`` belongs to a run with other settings or one that is going
            on, or holds damaged files.
    """
    check_device(device)
    check_replaceable(out_dir)
    given = None if start is None else loaded_start(start, device, StableDiffusionPipeline)
    with claimed(work_dir, asdict(settings), given):  # only now: a wrong start must not mark the folder
        if given is None:
            tokenizer = train_tokenizer(tokenizer_captions(settings.seed))
            autoencoder = _train_autoencoder(settings, work_dir, device)
            latents = encode_pictures(autoencoder, settings, work_dir, device)
            autoencoder.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
            pipeline = _untrained_pipeline(settings, tokenizer, autoencoder, device)
        else:
            pipeline = given
            latents = encode_pictures(pipeline.vae, settings, work_dir, device)
        latents = latents * pipeline.vae.config.scaling_factor
        _train_denoiser(settings, pipeline, latents, work_dir, device)
        export(pipeline, fit_latent_preview(settings, latents), out_dir)


@dataclass(frozen=True)
class _AutoencoderBatches(Dataset):
    """The pictures of a step: uint8, (batch, H, W, 3)."""

    settings: TrainingSettings

    def __getitem__(self, step: int) -> np.ndarray:
        rng = seeded(self.settings, 1, step)
        return rendered(random_layout(rng, _AUTOENCODER_COUNT_SHARES) for _ in range(self.settings.autoencoder_batch))


def _train_autoencoder(settings: TrainingSettings, work_dir: Path, device: str) -> AutoencoderKL:
    torch.manual_seed(settings.seed)
    autoencoder, batches = build_autoencoder().to(device), _AutoencoderBatches(settings)

    def loss_of(pictures: Tensor) -> Tensor:
        batch = to_tensor(pictures, device)
        with half_precision(device):
            posterior = autoencoder.encode(batch).latent_dist
            restored = autoencoder.decode(posterior.sample()).sample.float()
        distance = F.l1_loss(restored, batch) + F.mse_loss(restored, batch)
        return distance + _KL_WEIGHT * posterior.kl().float().mean()

    @torch.no_grad()
    def sheet(step: int) -> None:
        batch = to_tensor(batches[settings.autoencoder_steps], device)
        restored = autoencoder.decode(autoencoder.encode(batch).latent_dist.mode()).sample
        save_sheet(torch.cat([batch, restored]), settings.autoencoder_batch, work_dir / f"autoencoder_{step}.png")

    optimise(
        "autoencoder",
        nn.ModuleDict({"autoencoder": autoencoder}),
        batches,
        loss_of,
        Course(settings.autoencoder_steps, settings.autoencoder_rate),
        work_dir,
        device,
        sheet,
    )
    return autoencoder


def _untrained_pipeline(
    settings: TrainingSettings, tokenizer: CLIPTokenizer, autoencoder: AutoencoderKL, device: str
) -> StableDiffusionPipeline:
    torch.manual_seed(settings.seed + 1)
    unet, text_encoder = build_unet().to(device), build_text_encoder(tokenizer).to(device)
    return build_pipeline(unet, text_encoder, tokenizer, autoencoder)


@dataclass(frozen=True)
class _DenoiserBatches(Dataset):
    """Of a step, which pictures it learns from (batch,) and the tokens of a caption of each (batch, 77)."""

    settings: TrainingSettings
    tokenizer: CLIPTokenizer

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = seeded(self.settings, 3, step)
        chosen = rng.integers(self.settings.pictures, size=self.settings.denoiser_batch)
        shown = (layout(self.settings, index).placements for index in chosen.tolist())
        prompts = ["" if rng.random() < PROMPT_DROPOUT else caption(rng, placements) for placements in shown]
        tokens = self.tokenizer(
            prompts, padding="max_length", truncation=True, max_length=CONTEXT_LENGTH, return_tensors="pt"
        )
        return torch.from_numpy(chosen), tokens.input_ids


def _train_denoiser(
    settings: TrainingSettings, pipeline: StableDiffusionPipeline, latents: Tensor, work_dir: Path, device: str
) -> None:
    """Train the pipeline's UNet and text encoder on scaled latents of the second stage's pictures."""
    unet, text_encoder = pipeline.unet, pipeline.text_encoder
    unet.set_attn_processor(AttnProcessor())  # on the CPU faster in training than the fused kernel
    scheduler = pipeline.scheduler

    def loss_of(batch: tuple[Tensor, Tensor]) -> Tensor:
        chosen, tokens = (part.to(device) for part in batch)
        clean = latents[chosen]
        noise = torch.randn_like(clean)
        times = _stratified_times(len(clean), scheduler.config.num_train_timesteps).to(device)
        noisy, target = scheduler.add_noise(clean, noise, times), scheduler.get_velocity(clean, noise, times)
        with half_precision(device):
            context = text_encoder(tokens).last_hidden_state
            predicted = unet(noisy, times, context).sample
        return F.mse_loss(predicted.float(), target)

    optimise(
        "denoiser",
        nn.ModuleDict({"unet": unet, "text_encoder": text_encoder}),
        _DenoiserBatches(settings, pipeline.tokenizer),
        loss_of,
        Course(settings.denoiser_steps, settings.denoiser_rate),
        work_dir,
        device,
        partial(draw_sheet, pipeline, settings.seed, work_dir),
    )


def _stratified_times(count: int, steps: int) -> Tensor:
    """Uniform random timesteps (count,), one from each of ``count`` equal parts of the schedule.

    A batch that covers the schedule evenly has a less noisy loss than independent draws.
    """
    return ((torch.arange(count) + torch.rand(count)) / count * steps).long().clamp_max(steps - 1)
