"""Options of models, sampling and detectors, of all commands that draw or look, and what they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..detection.detectors import DETECTORS
from ..miniature.folder import SHIPPED
from .options import MOST_SIDE, guidance_scale, naming, steps, whole

if TYPE_CHECKING:
    from accelerate import PartialState
    from diffusers import DiffusionPipeline
    from PIL import Image

    from ..detection.detectors import ObjectDetector

_MINIATURE = "miniature"
#: Of processes that share the work for one another: torch's own minutes are less than their parts differ by.
_LONGEST_WAIT = timedelta(days=30)
#: Of a picture to try things with, where the pipeline alone knows the size.
_TRIED_SIZE = (64, 64)


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


def add_sampling_options(parser: argparse._ActionsContainer) -> None:
    """``--steps``, ``--cfg`` and ``--size``."""
    parser.add_argument("--steps", type=steps, default=25, help="denoising steps (default: %(default)s)")
    parser.add_argument(
        "--cfg", type=guidance_scale, help="guidance scale (default: 5; for FLUX.1, and what has its shape, 3.5)"
    )
    parser.add_argument(
        "--size", type=whole(16, MOST_SIDE), nargs=2, metavar=("W", "H"), help="in pixels (default: the model's own)"
    )


def add_detector_option(
    parser: argparse._ActionsContainer, more: str = "", otherwise: str = f"default: {_MINIATURE}"
) -> None:
    """``--detector``.

    Args:
        more: what else it takes.
        otherwise: what looks where it is not given.
    """
    parser.add_argument(
        "--detector",
        metavar="DIR",
        help=f"{_MINIATURE}, or the folder or the cached name of {DETECTORS}{more} ({otherwise})",
    )


def own_process(options: argparse.Namespace) -> PartialState:
    """This process among those that share the work; ``--device`` becomes its own card, where it has no number.

    Raises:
        ValueError: the device cannot be used.
    """
    from accelerate import PartialState

    from ..backends.diffusers import check_device

    check_device(options.device)
    state = PartialState(cpu=options.device == "cpu", timeout=_LONGEST_WAIT)
    device = torch.device(options.device)
    if device.type == state.device.type and device.index is None:
        options.device = str(state.device)
    return state


def hide_loading_bars() -> None:
    """Let diffusers load pipelines without a bar, for which it has no variable of the environment."""
    from diffusers.utils import logging

    logging.disable_progress_bar()


def load_model(options: argparse.Namespace) -> DiffusionPipeline:
    """What ``--model`` names.

    Raises:
        ValueError: it cannot be loaded, wants a picture besides the prompt, or the device cannot be used.
    """
    from ..backends.diffusers import check_device, load_pipeline
    from ..backends.diffusers.pipelines import check_draws_from_text

    check_device(options.device)
    hide_loading_bars()
    source = SHIPPED.get(options.model, options.model)
    components = getattr(options, "components", None)
    has_both = components is not None or ("components" in options and Path(source).is_file())
    with naming("--model or --components" if has_both else "--model"):
        pipeline = load_pipeline(source, options.device, components)
        check_draws_from_text(pipeline)
    return pipeline


def scale_of(options: argparse.Namespace, pipeline: DiffusionPipeline) -> float:
    """The guidance scale that ``--cfg`` asks for, else what suits the pipeline."""
    from ..miniature.score import guidance_scale_of

    return guidance_scale_of(pipeline) if options.cfg is None else options.cfg


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
    from ..detection.detectors import TransformersDetector
    from ..miniature.look import MiniatureDetector

    if options.detector not in (None, _MINIATURE):
        with naming("--detector"):
            return TransformersDetector(options.detector, options.device, least_score)
    if options.model not in SHIPPED:
        raise ValueError(
            f"The miniatures' detector knows only the miniatures' pictures, not those of {options.model}. Give "
            f"--detector DIR, the folder of {DETECTORS}."
        )
    return MiniatureDetector()


def try_on_blank(look: Callable[[Image.Image], object], size: tuple[int, int] | None) -> None:
    """Whether pictures of this size can be looked at at all, before any is drawn.

    Args:
        look: at a picture, as a detector or an encoder does.
        size: (width, height) in pixels; none where the pipeline alone knows it.

    Raises:
        ValueError: they cannot; names ``--size`` where there is a size.
    """
    from PIL import Image

    try:
        look(Image.new("RGB", size or _TRIED_SIZE))
    except ValueError as error:
        if size is None:
            raise
        raise ValueError(f"--size: pictures of {size[0]}×{size[1]} pixels cannot be looked at. {error}") from error
