"""The folder that a training writes, as the pipeline's ``from_pretrained`` loads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from .folder import LATENT_PREVIEW_FILE
from .tokenizer import save_vocabulary


def check_replaceable(out_dir: Path) -> None:
    """Refuse a folder that holds something else than a pipeline.

    Raises:
        ValueError: it does.
    """
    is_pipeline = (out_dir / "model_index.json").exists()
    if out_dir.exists() and not is_pipeline and (out_dir.is_file() or any(out_dir.iterdir())):
        raise ValueError(f"{out_dir} would be replaced, and is no pipeline's folder. Give a new folder.")


def export(pipeline: DiffusionPipeline, latent_preview: dict[str, list], out_dir: Path) -> None:
    """Write the folder of the pipeline's ``from_pretrained`` in fp16, keeping the card.

    Args:
        pipeline: with a CLIP text encoder and tokenizer among its parts; left in fp16.
    """
    out_dir = out_dir.resolve()  # a link stays one
    beside = out_dir.with_name(f".{out_dir.name}.export")  # no name that somebody would give a copy
    partial, before = beside / "new", beside / "before"
    if before.exists() and not out_dir.exists():  # an export was stopped when it was just about to end
        before.replace(out_dir)
    shutil.rmtree(beside, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(partial, safe_serialization=True)
    save_vocabulary(pipeline.tokenizer, partial / "tokenizer")
    restore_text_prefix(partial / "text_encoder" / "model.safetensors")
    for file in partial.rglob("*.json"):
        _forget_origin(file)
    preview = partial / LATENT_PREVIEW_FILE
    preview.write_text(json.dumps(latent_preview) + "\n", encoding="utf-8")
    for file in partial.rglob("*.safetensors"):  # which are written for nobody else to read
        file.chmod(preview.stat().st_mode)
    card = out_dir / "README.md"
    if card.exists():
        shutil.copy(card, partial)
    if out_dir.exists():
        out_dir.replace(before)
    partial.replace(out_dir)
    shutil.rmtree(beside, ignore_errors=True)


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
