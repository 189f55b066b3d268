"""Picture files that are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

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
        told = f"{file} is no picture that can be read: {one_line(error)}"
        raise ValueError(f"{told}{'' if told.endswith('.') else '.'} {instead}".rstrip()) from error
