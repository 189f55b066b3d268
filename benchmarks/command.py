"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measuring import drawing_processes
from steering_core.cli.options import guidance_scale, positive


def add_guidance_option(parser: argparse.ArgumentParser) -> None:
    """``--guidance SCALE``."""
    parser.add_argument(
        "--guidance", type=guidance_scale, metavar="SCALE", help="of all ways (default: the one that suits the model)"
    )


def add_quick_option(parser: argparse.ArgumentParser, meaning: str) -> None:
    """``--quick``.

    Args:
        meaning: such as "only 2 prompts".
    """
    parser.add_argument("--quick", action="store_true", help=meaning)


def add_json_option(
    parser: argparse.ArgumentParser, meaning: str = "print one JSON object in place of the tables"
) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help=meaning)


def add_drawing_options(parser: argparse.ArgumentParser) -> None:
    """``--jobs N`` and ``--keep DIR``, for ``drawing``."""
    parser.add_argument("--jobs", type=positive, help="processes (default: one a core)")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="folder of pictures and what was found in them, as steer evaluate keeps them; started again with the "
        "same one, a run that was stopped goes on (begin a new one when the code of steering has changed)",
    )


@contextmanager
def drawing(options: argparse.Namespace, device: str = "cpu") -> Iterator[tuple[Path, Executor]]:
    """The folder of ``--keep``, without it one that is there only meanwhile, and the processes of ``--jobs``."""
    with TemporaryDirectory() as meanwhile, drawing_processes(options.jobs, device) as pool:
        yield options.keep or Path(meanwhile), pool


@contextmanager
def refusing(parser: argparse.ArgumentParser) -> Iterator[None]:
    """In this context what cannot be measured (ValueError, OSError) ends the program with one line and status 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        parser.error(str(error))
