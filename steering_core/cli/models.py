"""Options that name a model or a detector, of all commands that load one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import torch

from ..miniature.folder import SHIPPED

if TYPE_CHECKING:
    from accelerate import PartialState
    from diffusers import DiffusionPipeline

    from ..evaluation.detectors import ObjectDetector

_MINIATURE = "miniature"


def add_model_options(parser: argparse.ArgumentParser, single_files: bool) -> None:
    """``--model`` and ``--device``, and ``--components`` where a single file will do."""
    kinds = [f"{' or '.join(SHIPPED)}, a diffusers pipeline's folder", "a name in the local cache of Hugging Face"]
    if single_files:
        kinds.append("a single .safetensors file")
    parser.add_argument(
        "--model",
        default=_MINIATURE,
        help=f"{', '.join(kinds[:-1])}, or {kinds[-1]} (default: %(default)s)",
    )
    if single_files:
        parser.add_argument(
            "--components",
            metavar="DIR",
            help="for a single file: folder or cached name of a pipeline of its kind, for what the file lacks",
        )
    parser.add_argument("--device", default="cpu", help="torch device, such as cuda (default: %(default)s)")


def add_detector_option(parser: argparse._ActionsContainer) -> None:
    """``--detector``."""
    parser.add_argument(
        "--detector",
        metavar="DIR",
        help=f"{_MINIATURE}, or the folder of RT-DETR, OWLv2 or Grounding DINO (default: {_MINIATURE})",
    )


def use_own_device(options: argparse.Namespace, state: PartialState) -> None:
    """Of several processes each takes the card that is its own, where ``--device`` names none by its number."""
    device = torch.device(options.device)
    if device.type == state.device.type and device.index is None:
        options.device = str(state.device)


def load_model(options: argparse.Namespace) -> DiffusionPipeline:
    """What ``--model`` names.

    Raises:
        ValueError: it cannot be loaded.
    """
    from ..backends.diffusers import load_pipeline

    components = getattr(options, "components", None)
    return load_pipeline(SHIPPED.get(options.model, options.model), options.device, components)


def size_of(options: argparse.Namespace) -> tuple[int, int] | None:
    """(width, height) that ``--size`` asks for, else the miniatures' own; none where the pipeline knows it."""
    from ..miniature.world import IMAGE_SIZE

    return options.size or ((IMAGE_SIZE, IMAGE_SIZE) if options.model in SHIPPED else None)


def load_detector(options: argparse.Namespace, least_score: float | None = None) -> ObjectDetector:
    """What ``--detector`` names.

    Args:
        least_score: what a detector of transformers finds less surely is left out.

    Raises:
        ValueError: it cannot be loaded, or is the miniatures' and the model is none.
    """
    from ..backends.diffusers import check_device
    from ..evaluation.detectors import TransformersDetector
    from ..miniature.look import MiniatureDetector

    check_device(options.device)
    if options.detector not in (None, _MINIATURE):
        return TransformersDetector(options.detector, options.device, least_score)
    if options.model not in SHIPPED:
        raise ValueError(
            f"The miniatures' detector knows only the miniatures' pictures, not those of {options.model}. Give "
            f"--detector DIR, the folder of RT-DETR, OWLv2 or Grounding DINO."
        )
    return MiniatureDetector()
