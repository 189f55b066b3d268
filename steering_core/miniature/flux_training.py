"""Training of the miniature of FLUX's shape: both text encoders and the transformer together.

The autoencoder is the first miniature's, whose latents of 16×16 make 8×8 tokens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, FluxPipeline, StableDiffusionPipeline
from torch import Tensor, nn
from torch.nn import Linear  # by this name: comfy-test takes nn.Linear for a layer of a node's network
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from ..backends.diffusers import check_device
from .captions import PROMPT_DROPOUT, caption
from .export import check_replaceable, export
from .networks import (
    LATENT_SIZE,
    PATCH,
    T5_LENGTH,
    build_flow_scheduler,
    build_t5_encoder,
    build_text_encoder,
    build_transformer,
)
from .optimise import Course, muon, optimise, plateau
from .pictures import (
    PictureSettings,
    encode_pictures,
    fit_latent_preview,
    layout,
    seeded,
    tokenizer_captions,
)
from .precision import half_precision
from .sheets import draw_sheet
from .start import claimed, loaded_start
from .tokenizer import make_t5_tokenizer, train_tokenizer
from .world import IMAGE_SIZE, OBJECTS, Placement

#: Share of stated relations that are true of the picture: enough for the word to be read, and too few
#: for the objects to stand where it says.
FLUX_AGREEMENT = 0.58
#: Tokens of the T5 encoder in training, and the share of batches with so many. FLUX attends to the padding
#: as to all else, so a network that has seen one length only would not bear another.
_T5_LENGTHS, _T5_LENGTH_SHARES = (T5_LENGTH, T5_LENGTH * 3 // 2), (0.75, 0.25)
#: In the first steps, only pictures of so few objects.
_FEW_OBJECTS = 2
#: Weight of naming, from the tokens that leave the double blocks, which object covers each of them: a
#: direct way to learn which word is which object (as REPA aligns what a block knows, Yu et al. 2024).
_NAMING_WEIGHT = 0.1
#: Settings that a run may go on with others of: longer, shorter, in larger batches when it gets no further.
_CHANGEABLE = ("denoiser_steps", "denoiser_batch")
_SIDE = LATENT_SIZE // PATCH


@dataclass(frozen=True)
class FluxTrainingSettings(PictureSettings):
    """What fixes a training run.

    Attributes:
        denoiser_steps, denoiser_batch, denoiser_rate: of the only stage; the rate is the highest.
        few_objects_steps: how many of the first steps have pictures of one or two objects only, and half as many
            a batch: at the beginning the loss falls with the steps, however many pictures there are in each. None
            where a miniature is trained on.

    Raises:
        See ``PictureSettings``.
    """

    pictures: int = 15_000
    count_shares: tuple[float, ...] = (0.22, 0.36, 0.18, 0.12, 0.12)
    denoiser_steps: int = 10_000
    denoiser_batch: int = 32
    denoiser_rate: float = 1e-3
    few_objects_steps: int = 2000


def train_flux_miniature(
    settings: FluxTrainingSettings, work_dir: Path, out_dir: Path, device: str, start: Path
) -> None:
    """Train everything but the autoencoder and write the pipeline's folder to ``out_dir``.

    Args:
        work_dir: checkpoints and sample sheets; a run found there is continued, with as many steps in
            all, and as large batches, as these settings say.
        out_dir: replaced as a whole when training has ended.
        start: a miniature of Stable Diffusion's shape, whose autoencoder is taken, or one of this shape, which is
            trained on.

    Raises:
        ValueError: as ``train_miniature``.
    """
    check_device(device)
    check_replaceable(out_dir)
    given = loaded_start(start, device, FluxPipeline, StableDiffusionPipeline)
    is_trained_on = isinstance(given, FluxPipeline)
    if is_trained_on:
        settings = replace(settings, few_objects_steps=0)
    if settings.few_objects_steps and not len(_pictures_of_few_objects(settings)):
        raise ValueError(
            f"Pictures of one or two objects were expected, with which the training begins: of {settings.pictures} "
            f"with the shares {settings.count_shares} there is none. Give such objects a share, or more pictures."
        )
    fixed = {name: value for name, value in asdict(settings).items() if name not in _CHANGEABLE}
    with claimed(work_dir, {"shape": "flux", **fixed}, given):
        latents = encode_pictures(given.vae, settings, work_dir, device)
        latents = latents * given.vae.config.scaling_factor
        pipeline = given if is_trained_on else untrained_flux_pipeline(settings.seed, given.vae, device)
        _train(settings, pipeline, latents, work_dir, device)
        export(pipeline, fit_latent_preview(settings, latents), out_dir)


def untrained_flux_pipeline(seed: int, autoencoder: AutoencoderKL, device: str) -> FluxPipeline:
    """The pipeline with random weights and this autoencoder."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(tokenizer_captions(seed))
    t5_tokenizer = make_t5_tokenizer(tokenizer_captions(seed))
    autoencoder.register_to_config(shift_factor=0.0)
    pipeline = FluxPipeline(
        scheduler=build_flow_scheduler(),
        vae=autoencoder,
        text_encoder=build_text_encoder(tokenizer).to(device),
        tokenizer=tokenizer,
        text_encoder_2=build_t5_encoder(t5_tokenizer).to(device),
        tokenizer_2=t5_tokenizer,
        transformer=build_transformer().to(device),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


#: Of a step: which pictures it learns from (batch,), the tokens of a caption of each for both encoders (batch, length),
#: and ``shown_objects`` of each.
_Batch = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class _Batches(Dataset):
    """What each step learns from."""

    settings: FluxTrainingSettings
    clip_tokenizer: PreTrainedTokenizerBase
    t5_tokenizer: PreTrainedTokenizerBase

    def __getitem__(self, step: int) -> _Batch:
        rng = seeded(self.settings, 3, step)
        chosen = self._chosen(rng, step)
        placements = [layout(self.settings, index).placements for index in chosen]
        prompts = [_prompt(rng, objects) for objects in placements]
        length = int(rng.choice(_T5_LENGTHS, p=_T5_LENGTH_SHARES))
        # Padding is cut where it changes nothing: the pooled vector is that of the first end token.
        clip = self.clip_tokenizer(prompts, padding=True, truncation=True, return_tensors="pt")
        t5 = self.t5_tokenizer(prompts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        shown = torch.stack([shown_objects(objects) for objects in placements])
        return torch.tensor(chosen), clip.input_ids, t5.input_ids, shown

    def _chosen(self, rng: np.random.Generator, step: int) -> list[int]:
        """Indices of pictures."""
        if step < self.settings.few_objects_steps:
            few = _pictures_of_few_objects(self.settings)
            return few[rng.integers(len(few), size=-(-self.settings.denoiser_batch // 2))].tolist()
        return rng.integers(self.settings.pictures, size=self.settings.denoiser_batch).tolist()


@cache
def _pictures_of_few_objects(settings: FluxTrainingSettings) -> np.ndarray:
    """Their indices."""
    counts = [len(layout(settings, index).placements) for index in range(settings.pictures)]
    return np.flatnonzero(np.array(counts) <= _FEW_OBJECTS)


def _train(
    settings: FluxTrainingSettings, pipeline: FluxPipeline, latents: Tensor, work_dir: Path, device: str
) -> None:
    transformer = pipeline.transformer
    torch.manual_seed(settings.seed + 1)
    naming = Linear(transformer.inner_dim, len(OBJECTS) + 1).to(device)
    doubled: list[Tensor] = []
    transformer.transformer_blocks[-1].register_forward_hook(lambda *call: doubled.append(call[-1][1]))

    def loss_of(batch: _Batch) -> Tensor:
        chosen, clip, t5, shown = (part.to(device, non_blocking=True) for part in batch)
        clean = _packed(latents[chosen])
        noise, times = torch.randn_like(clean), _times(len(clean)).to(device)
        noisy = torch.lerp(clean, noise, times[:, None, None])
        doubled.clear()
        with half_precision(device):
            predicted = _velocity(pipeline, noisy, times, clip, t5)
            names = naming(doubled[-1])
        named = F.cross_entropy(names.float().flatten(0, 1), shown.flatten(0, 1))
        return F.mse_loss(predicted.float(), noise - clean) + _NAMING_WEIGHT * named

    optimise(
        "denoiser",
        nn.ModuleDict(
            {
                "transformer": transformer,
                "text_encoder": pipeline.text_encoder,
                "text_encoder_2": pipeline.text_encoder_2,
                "naming": naming,
            }
        ),
        _Batches(settings, pipeline.tokenizer, pipeline.tokenizer_2),
        loss_of,
        Course(settings.denoiser_steps, settings.denoiser_rate, plateau, muon),
        work_dir,
        device,
        partial(draw_sheet, pipeline, settings.seed, work_dir),
    )


def _prompt(rng: np.random.Generator, placements: tuple[Placement, ...]) -> str:
    """A caption, now and then with capital letters, which T5 tells apart; or the empty prompt."""
    if rng.random() < PROMPT_DROPOUT:
        return ""
    text = caption(rng, placements, FLUX_AGREEMENT)
    written = rng.random()
    return text.capitalize() if written < 0.15 else text.title() if written < 0.2 else text


def _packed(latents: Tensor) -> Tensor:
    """Latents (batch, 4, 16, 16) as FLUX's tokens, (batch, 64, 16)."""
    return FluxPipeline._pack_latents(latents, *latents.shape)


def _times(count: int) -> Tensor:
    """Random times (count,) in (0, 1), one from each of ``count`` equally likely parts of a logit-normal.

    The density is that of Esser et al. 2024 (Scaling Rectified Flow Transformers, eq. 19, m = 0, s = 1).
    """
    shares = (torch.arange(count) + torch.rand(count).clamp(1e-3, 1 - 1e-3)) / count
    return torch.special.ndtri(shares).sigmoid()


def _velocity(pipeline: FluxPipeline, noisy: Tensor, times: Tensor, clip: Tensor, t5: Tensor) -> Tensor:
    """The transformer's prediction of noise - clean for tokens (batch, 64, 16).

    Args:
        clip, t5: tokens of the prompts.
    """
    device = noisy.device
    return pipeline.transformer(
        hidden_states=noisy,
        timestep=times,
        pooled_projections=pipeline.text_encoder(clip).pooler_output,
        encoder_hidden_states=pipeline.text_encoder_2(t5).last_hidden_state,
        txt_ids=torch.zeros(t5.shape[1], 3, device=device),
        img_ids=FluxPipeline._prepare_latent_image_ids(len(noisy), _SIDE, _SIDE, device, noisy.dtype),
        return_dict=False,
    )[0]


def shown_objects(placements: tuple[Placement, ...]) -> Tensor:
    """How much of each image token each object's box covers, and what is left: (64, objects of the world + 1)."""
    edges = np.arange(_SIDE + 1) * (IMAGE_SIZE // _SIDE)
    shares = np.zeros((len(OBJECTS) + 1, _SIDE, _SIDE), np.float32)
    for placement in placements:
        left, top, right, bottom = placement.box
        across, down = (np.diff(edges.clip(*ends)) / np.diff(edges) for ends in ((left, right), (top, bottom)))
        shares[OBJECTS.index(placement.name)] = np.outer(down, across)
    shares[-1] = 1 - shares[:-1].sum(axis=0)
    return torch.from_numpy(shares).flatten(1).T
