"""Tallies that a benchmark keeps while it runs, so that one that was stopped goes on where it was."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steering_core.described import described, parse_json
from steering_core.evaluation.visor import Trial
from steering_core.files import save_text
from steering_core.miniature.score import Tally


class KeptTallies:
    """A file of JSON lines: each the tallies of one prompt, under a hash of all that they were measured with.

    Args:
        file: made when the first tallies are kept.

    Raises:
        ValueError: a line is none of these.
        OSError: the file cannot be read, or not be written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: dict[str, list[Tally]] = {}
        content = file.read_text(encoding="utf-8") if file.exists() else ""
        whole, newline, torn = content.rpartition("\n")
        if torn:  # the run was killed while it wrote
            save_text(whole + newline, file)
        for number, line in enumerate(whole.splitlines(), 1):
            key, tallies = _read(line, f"{file}, line {number}")
            self._kept[key] = tallies

    def get(self, measured_with: Mapping[str, Any]) -> list[Tally] | None:
        """The tallies that were measured with this; none if there are none."""
        return self._kept.get(_key(measured_with))

    def keep(self, measured_with: Mapping[str, Any], tallies: Sequence[Tally]) -> None:
        """Add them to the file."""
        line = {"key": _key(measured_with), "tallies": [asdict(tally) for tally in tallies]}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def add_keep_option(parser: argparse.ArgumentParser) -> None:
    """``--keep FILE``."""
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="where each prompt's figures are kept as they come; started again with the same file, a run that was "
        "stopped goes on (begin a new file when the code of steering has changed)",
    )


def kept_tallies(file: Path | None) -> KeptTallies | None:
    """Those of ``--keep``; none without it.

    Raises:
        ValueError, OSError: as ``KeptTallies``.
    """
    return None if file is None else KeptTallies(file)


def _key(measured_with: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(measured_with, sort_keys=True).encode()).hexdigest()


def _read(line: str, source: str) -> tuple[str, list[Tally]]:
    value = parse_json(line, source)
    try:
        return value["key"], [_tally(tally, source) for tally in value["tallies"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{source} holds no tallies of a benchmark; remove the file to begin anew.") from error


def _tally(value: Mapping[str, Any], source: str) -> Tally:
    trials = [[described(Trial, trial, source) for trial in row] for row in value["trials"]]
    return Tally(trials, value["seconds"], value["gradient_passes"], value["looks"])
