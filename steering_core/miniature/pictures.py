"""The pictures that the miniatures learn from, their captions and their latents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..files.whole import written_whole
from ..wording import one_line
from .captions import caption
from .networks import LATENT_SIZE
from .optimise import WRITER, preparers
from .precision import half_precision
from .world import MAX_OBJECTS, Layout, render, sample_layout, sample_objects

#: Share of training pictures with 1, 2, … objects.
COUNT_SHARES = (0.12, 0.44, 0.20, 0.12, 0.12)
_CAPTIONS_FOR_TOKENIZER = 4000
_PICTURES_FOR_PREVIEW = 500
_ENCODED_AT_ONCE = 16


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


def seeded(settings: PictureSettings, stage: int, step: int) -> np.random.Generator:
    """The generator of one step, or one picture, of a stage."""
    return np.random.default_rng((settings.seed, stage, step))


def random_layout(rng: np.random.Generator, shares: tuple[float, ...] = COUNT_SHARES) -> Layout:
    """A layout of 1, 2, … objects by these shares."""
    count = 1 + rng.choice(MAX_OBJECTS, p=np.divide(shares, sum(shares)))  # which may differ from 1 by rounding
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
    with written_whole(file, WRITER) as partial:
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


def fit_latent_preview(settings: PictureSettings, latents: Tensor) -> dict[str, list]:
    """The linear map from scaled latents to colours that fits the training pictures best."""
    latents = latents[:_PICTURES_FOR_PREVIEW].cpu()
    pictures = to_tensor(rendered(layout(settings, index) for index in range(len(latents))), "cpu")
    colours = F.adaptive_avg_pool2d(pictures, LATENT_SIZE).movedim(1, -1).flatten(0, 2)
    inputs = F.pad(latents.movedim(1, -1).flatten(0, 2), (0, 1), value=1.0)
    solution = torch.linalg.lstsq(inputs, colours).solution
    *factors, bias = [[round(value, 4) for value in row] for row in solution.tolist()]
    return {"factors": factors, "bias": bias}
