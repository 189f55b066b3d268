"""Pictures: in files, as Pillow's images and as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .files.whole import written_whole
from .out_of_memory import is_out_of_memory
from .wording import one_line


@contextmanager
def opened_picture(file: Path, formats: Sequence[str], instead: str = "") -> Iterator[Image.Image]:
    """A picture, to be read in this context.

    Args:
        formats: of Pillow, such as ``PNG``: others it reads by running programs.
        instead: what to do about a damaged one, for the error.

    Raises:
        OSError: there is no such file.
        ValueError: it is no such picture, or damaged; names the file.
    """
    try:
        with Image.open(file, formats=tuple(formats)) as picture:
            yield picture
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's readers end in whatever a damaged file leads them to
        if is_out_of_memory(error):
            raise
        message = f"{file} is no picture that can be read: {one_line(error)}"
        raise ValueError(f"{message}{'' if message.endswith('.') else '.'} {instead}".rstrip()) from error


def save_picture(picture: Image.Image, file: Path, **options: Any) -> None:
    """Write a picture whole or not at all, in the format that its name asks for.

    Args:
        options: of Pillow's writer.

    Raises:
        OSError: it cannot be written; names the file.
    """
    with written_whole(file) as partial:
        picture.save(partial, Image.registered_extensions()[file.suffix.lower()], **options)


def to_image(picture: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] as an image."""
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy())


def from_image(picture: Image.Image) -> Tensor:
    """An image as (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).movedim(-1, 0) / 255


def check_finite(pictures: Tensor) -> Tensor:
    """The pictures, if all of their values are numbers; others would be saved as black.

    Raises:
        ValueError: some are not.
    """
    if not (finite := pictures.isfinite().flatten(1).all(dim=1)).all():
        broken = ", ".join(str(number + 1) for number in (~finite).nonzero().flatten().tolist())
        raise ValueError(
            f"Of the pictures, number {broken} came out with values that are no finite numbers, and nothing was "
            f"written. Steer with a smaller step size, or sample with a smaller guidance scale."
        )
    return pictures
