"""Training of the miniature: tokenizer, autoencoder, then text encoder and denoiser together.

A stopped run resumes from its last checkpoint in the work folder. Every batch is drawn from a
generator seeded with (seed, stage, step), so a resumed run sees the batches that the unbroken
run would have seen.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DiffusionPipeline, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import CLIPTokenizer

from ..backends.diffusers import check_device, load_pipeline
from ..described import one_line
from ..files import save_picture, written_whole
from .captions import caption
from .folder import LATENT_PREVIEW_FILE
from .networks import CONTEXT_LENGTH, LATENT_SIZE, build_autoencoder, build_scheduler, build_text_encoder, build_unet
from .optimise import optimise, preparers
from .precision import half_precision
from .score import STEPS, sampled
from .tokenizer import save_vocabulary, train_tokenizer
from .world import IMAGE_SIZE, MAX_OBJECTS, Layout, render, sample_layout, sample_objects

#: Share of training pictures with 1, 2, … objects.
COUNT_SHARES = (0.12, 0.44, 0.20, 0.12, 0.12)
#: The autoencoder learns from full pictures, where there is more to see in each.
_AUTOENCODER_COUNT_SHARES = (0.05, 0.15, 0.2, 0.3, 0.3)
_CAPTIONS_FOR_TOKENIZER = 4000
_PICTURES_FOR_PREVIEW = 500
_ENCODED_AT_ONCE = 16
_KL_WEIGHT = 1e-6
#: Share of prompts replaced by the empty one, for classifier-free guidance.
PROMPT_DROPOUT = 0.1
_SHEET_COLUMNS = 8
_SHEET_PROMPTS = (
    "a photo of a giraffe above an airplane",
    "a photo of a dog to the left of a book",
    "a photo of a zebra below a bus",
    "a cat and an umbrella",
    "a cow to the right of a clock",
    "a horse above a boat",
    "a pizza, a car and a bird",
    "an apple",
)


@dataclass(frozen=True)
class PictureSettings:
    """The pictures from which a denoiser learns.

    Attributes:
        seed: of the networks' first weights and of every batch.
        pictures: how many pictures are encoded.
        count_shares: shares of pictures with 1, 2, … objects among them.

    Raises:
        ValueError: the shares are not ``MAX_OBJECTS`` numbers of 0 or more that add up to 1.
    """

    seed: int = 0
    pictures: int = 20_000
    count_shares: tuple[float, ...] = COUNT_SHARES

    def __post_init__(self) -> None:
        shares = tuple(self.count_shares)
        object.__setattr__(self, "count_shares", shares)  # whatever sequence it was, settings are hashed
        # Asked so that what is no number fails as well.
        if len(shares) != MAX_OBJECTS or not min(shares) >= 0 or not abs(sum(shares) - 1) <= 1e-6:
            raise ValueError(f"count_shares must be {MAX_OBJECTS} numbers that add up to 1, not {shares}.")


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
        ValueError: the device cannot be used, ``start`` is no pipeline's folder, ``out_dir`` holds something else
            than a pipeline, or ``work_dir`` belongs to a run with other settings, or holds damaged files.
    """
    check_device(device)
    check_replaceable(out_dir)
    given = None if start is None else load_pipeline(start, device).to(torch.float32)
    claim(work_dir, asdict(settings), start)  # only now: a wrong start must not mark the folder
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


def check_replaceable(out_dir: Path) -> None:
    """Refuse a folder that holds something else than a pipeline.

    Raises:
        ValueError: it does.
    """
    is_pipeline = (out_dir / "model_index.json").exists()
    if out_dir.exists() and not is_pipeline and (out_dir.is_file() or any(out_dir.iterdir())):
        raise ValueError(f"{out_dir} would be replaced, and is no pipeline's folder. Give a new folder.")


def claim(work_dir: Path, settings: dict[str, Any], start: Path | None) -> None:
    """Mark the work folder as this run's, so that no run goes on from another's checkpoints.

    Raises:
        ValueError: the folder is a run's with other settings.
    """
    run = json.dumps({**settings, "start": str(start.resolve()) if start else None})
    file = work_dir / "run.json"
    there = file.read_bytes().decode(errors="replace") if file.exists() else run
    if there != run:
        raise ValueError(
            f"{work_dir} belongs to a run with the settings {there[:1000]}, not {run}: give those, or another --work "
            f"folder."
        )
    work_dir.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as partial:
        partial.write_text(run, encoding="utf-8")


def seeded(settings: PictureSettings, stage: int, step: int) -> np.random.Generator:
    """The generator of one step, or one picture, of a stage."""
    return np.random.default_rng((settings.seed, stage, step))


def random_layout(rng: np.random.Generator, shares: tuple[float, ...] = COUNT_SHARES) -> Layout:
    """A layout of 1, 2, … objects by these shares."""
    count = 1 + rng.choice(MAX_OBJECTS, p=shares)
    return sample_layout(rng, sample_objects(rng, count))


@lru_cache(maxsize=1 << 15)  # as many are asked for again and again
def layout(settings: PictureSettings, index: int) -> Layout:
    """The ``index``-th picture of the second stage."""
    return random_layout(seeded(settings, 2, index), settings.count_shares)


def tokenizer_captions(seed: int) -> Iterable[str]:
    """The captions from which the tokenizers take their words."""
    rng = np.random.default_rng((seed, 0))
    for _ in range(_CAPTIONS_FOR_TOKENIZER):
        yield caption(rng, random_layout(rng).placements)


def rendered(layouts: Iterable[Layout]) -> np.ndarray:
    """The pictures of layouts: uint8, (batch, H, W, 3)."""
    return np.stack([render(layout) for layout in layouts])


def to_tensor(pictures: np.ndarray | Tensor, device: str) -> Tensor:
    """uint8 pictures (batch, H, W, 3) to (batch, 3, H, W) in [-1, 1]."""
    return torch.as_tensor(pictures).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass(frozen=True)
class _SecondStagePictures(Dataset):
    """The pictures of the second stage: uint8, (H, W, 3)."""

    settings: PictureSettings

    def __len__(self) -> int:
        return self.settings.pictures

    def __getitem__(self, index: int) -> np.ndarray:
        return np.array(render(layout(self.settings, index)))  # a copy that may be written to, as torch asks


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
        settings.autoencoder_steps,
        settings.autoencoder_rate,
        work_dir,
        device,
        sheet,
    )
    return autoencoder


@torch.no_grad()
def encode_pictures(autoencoder: AutoencoderKL, settings: PictureSettings, work_dir: Path, device: str) -> Tensor:
    """Unscaled latents of the second stage's pictures: (pictures, 4, 16, 16), kept in the work folder."""
    file = work_dir / "latents.safetensors"
    if file.exists():
        return _read_latents(file, settings.pictures).to(device)
    chunks = []
    loader = DataLoader(_SecondStagePictures(settings), _ENCODED_AT_ONCE, num_workers=preparers(device))
    for pictures in tqdm(loader, desc="encoding pictures", mininterval=5):
        with half_precision(device):
            chunks.append(autoencoder.encode(to_tensor(pictures, device)).latent_dist.mode().float())
    latents = torch.cat(chunks)
    with written_whole(file) as partial:
        save_file({"latents": latents.cpu().contiguous()}, partial)
    return latents


def _read_latents(file: Path, pictures: int) -> Tensor:
    try:
        latents = load_file(file)["latents"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{file} is damaged; remove it to make it again: {one_line(error)}") from error
    if len(latents) != pictures or not latents.isfinite().all():
        raise ValueError(f"{file} is damaged, {pictures} latents of finite numbers were expected; remove it.")
    return latents


def _untrained_pipeline(
    settings: TrainingSettings, tokenizer: CLIPTokenizer, autoencoder: AutoencoderKL, device: str
) -> StableDiffusionPipeline:
    torch.manual_seed(settings.seed + 1)
    unet, text_encoder = build_unet().to(device), build_text_encoder(tokenizer).to(device)
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


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
        settings.denoiser_steps,
        settings.denoiser_rate,
        work_dir,
        device,
        partial(draw_sheet, pipeline, settings.seed, work_dir),
    )


def _stratified_times(count: int, steps: int) -> Tensor:
    """Uniform random timesteps (count,), one from each of ``count`` equal parts of the schedule.

    A batch that covers the schedule evenly has a less noisy loss than independent draws.
    """
    return ((torch.arange(count) + torch.rand(count)) / count * steps).long().clamp_max(steps - 1)


@torch.no_grad()
def draw_sheet(pipeline: DiffusionPipeline, seed: int, work_dir: Path, step: int) -> None:
    """Write what a pipeline draws at a step of its training: two rows, a column for each prompt."""
    drawn = [sampled(pipeline, prompt, (seed, seed + 1), steps=STEPS) for prompt in _SHEET_PROMPTS]
    pictures = torch.stack(drawn, dim=1).flatten(0, 1)
    save_sheet(pictures * 2 - 1, len(_SHEET_PROMPTS), work_dir / f"denoiser_{step}.png")


def save_sheet(pictures: Tensor, columns: int, file: Path) -> None:
    """Write pictures (count, 3, H, W) in [-1, 1] as one grid."""
    grid = ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().permute(0, 2, 3, 1)
    count, height, width, _ = grid.shape
    grid = grid.reshape(count // columns, columns, height, width, 3).transpose(1, 2)
    save_picture(Image.fromarray(grid.reshape(count // columns * height, columns * width, 3).numpy()), file)


def fit_latent_preview(settings: PictureSettings, latents: Tensor) -> dict[str, list]:
    """The linear map from scaled latents to colours that fits the training pictures best."""
    latents = latents[:_PICTURES_FOR_PREVIEW].cpu()
    pictures = to_tensor(rendered(layout(settings, index) for index in range(len(latents))), "cpu")
    colours = F.adaptive_avg_pool2d(pictures, LATENT_SIZE).movedim(1, -1).flatten(0, 2)
    inputs = F.pad(latents.movedim(1, -1).flatten(0, 2), (0, 1), value=1.0)
    solution = torch.linalg.lstsq(inputs, colours).solution
    *factors, bias = [[round(value, 4) for value in row] for row in solution.tolist()]
    return {"factors": factors, "bias": bias}


def export(pipeline: DiffusionPipeline, latent_preview: dict[str, list], out_dir: Path) -> None:
    """Write the folder of the pipeline's ``from_pretrained`` in fp16, keeping the card.

    Args:
        pipeline: with a CLIP text encoder and tokenizer among its parts; left in fp16.
    """
    partial = out_dir.with_name(out_dir.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(partial, safe_serialization=True)
    save_vocabulary(pipeline.tokenizer, partial / "tokenizer")
    restore_text_prefix(partial / "text_encoder" / "model.safetensors")
    for file in partial.rglob("*.json"):
        _forget_origin(file)
    (partial / LATENT_PREVIEW_FILE).write_text(json.dumps(latent_preview) + "\n", encoding="utf-8")
    card = out_dir / "README.md"
    if card.exists():
        shutil.copy(card, partial)
    shutil.rmtree(out_dir, ignore_errors=True)
    partial.replace(out_dir)


def _forget_origin(file: Path) -> None:
    """Take the folder that a part was loaded from out of its configuration."""
    config = json.loads(file.read_text(encoding="utf-8"))
    if config.pop("_name_or_path", None) is not None:
        file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def restore_text_prefix(file: Path) -> None:
    """Name the weights as in Stable Diffusion's folders, which every version of transformers loads."""
    weights = load_file(file)
    named = {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in weights.items()}
    save_file(named, file, metadata={"format": "pt"})


def draw_samples(count: int, seed: int, out: Path, pipeline: DiffusionPipeline | None) -> list[str]:
    """Write a sheet of the second stage's pictures, or of a pipeline's own for the same captions.

    Returns:
        The captions, row by row.
    """
    layouts = [layout(TrainingSettings(seed=seed), index) for index in range(count)]
    rng = np.random.default_rng((seed, 4))
    captions = [caption(rng, layout.placements) for layout in layouts]
    if pipeline is None:
        pictures = to_tensor(rendered(layouts), "cpu")
    else:
        pictures = 2 * torch.cat([sampled(pipeline, text, [seed]) for text in captions]) - 1
    columns = min(count, _SHEET_COLUMNS)
    blank = torch.ones(-count % columns, 3, IMAGE_SIZE, IMAGE_SIZE)
    save_sheet(torch.cat([pictures, blank]), columns, out)
    return captions
