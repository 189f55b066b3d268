"""What a detector saw in the pictures of ``benchmarks.proof``, kept when the pictures are not.

A file for each miniature and kind of prompts, DIR/miniature/unseen_pairs.csv, with a line for each prompt and way:

    number,way,present,right,seconds,settings
    17,centroid,1111,0101,7.61,1f09a3c2e4b1

*number* is the prompt's, from 0. *present* and *right* have a digit for each seed: whether all objects are in its
picture, and whether the relations hold besides. *seconds* are the processor's, of all seeds together. *settings*
stands for all that the pictures depend on but the code: another one is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proof_ways import WAYS
from steering_core.evaluation.figures import PromptCounts
from steering_core.evaluation.folder import EvaluationFolder
from steering_core.evaluation.results import verdicts
from steering_core.evaluation.rules import RULES, VISOR
from steering_core.files.whole import save_text

_HEAD = "number,way,present,right,seconds,settings"
_LINE = re.compile(r"(\d+),(\w+),([01]+),([01]+),(\d+\.\d+),([0-9a-f]+)")


@dataclass(frozen=True)
class Record:
    """Of a prompt's pictures in one way, in the order of the seeds.

    Attributes:
        present: whether all objects are there.
        right: whether the relations hold besides.
        seconds: of the processor, of all together.
        settings: what they depend on; see ``EvaluationFolder.settings_of``.
    """

    present: tuple[bool, ...]
    right: tuple[bool, ...]
    seconds: float
    settings: str

    @property
    def counts(self) -> PromptCounts:
        """For figures."""
        right = sum(self.right)
        return PromptCounts(len(self.right), sum(self.present), right, float(right))


#: Of a kind of prompts: by the way and the prompt's number.
Records = dict[tuple[str, int], Record]


def read_records(file: Path, folder: EvaluationFolder, ways: Sequence[str]) -> Records:
    """What was kept of a kind of prompts; nothing where there is no file.

    Args:
        folder: of the evaluation that draws them, in which these ways are claimed.
        ways: those whose settings are held against the file's.

    Raises:
        ValueError: a line is damaged, or of other settings; names it.
        OSError: the file cannot be read.
    """
    if not file.exists():
        return {}
    settings = {way: folder.settings_of(way) for way in ways}
    first, *lines = file.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    if first != _HEAD:
        raise ValueError(f"{file}: {_HEAD!r} was expected in its first line.")
    records: Records = {}
    for at, line in enumerate(lines, 2):
        way, number, record = _read(line, f"{file}, line {at}", folder)
        if (way, number) in records:
            raise ValueError(f"{file}, line {at}: prompt {number} was drawn by {way!r} above already. Take one out.")
        if settings.get(way, record.settings) != record.settings:
            raise ValueError(
                f"{file}, line {at}: {way!r} was drawn with other settings or weights. Take the file away, and its "
                "prompts are drawn again."
            )
        records[way, number] = record
    return records


def _read(line: str, source: str, folder: EvaluationFolder) -> tuple[str, int, Record]:
    """Way, prompt's number and record of a line.

    Args:
        source: what to begin an error with.

    Raises:
        ValueError: it is none of this folder's suite.
    """
    fields, prompts, seeds = _LINE.fullmatch(line), len(folder.suite.prompts), len(folder.suite.seeds)
    if fields is None or {len(fields[3]), len(fields[4])} != {seeds} or int(fields[1]) >= prompts:
        raise ValueError(f"{source}: {_HEAD!r} of one of {prompts} prompts and {seeds} pictures was expected.")
    number, way, present, right, seconds, settings = fields.groups()
    record = Record(_flags(present), _flags(right), float(seconds), settings)
    if any(is_right and not is_present for is_present, is_right in zip(record.present, record.right)):
        raise ValueError(f"{source}: a picture is right, {right}, in which not all objects are, {present}.")
    return way, int(number), record


def save_records(records: Mapping[tuple[str, int], Record], file: Path) -> None:
    """Write the file, prompt by prompt.

    Raises:
        OSError: it cannot be written.
    """
    lines = [
        f"{number},{way},{_digits(one.present)},{_digits(one.right)},{one.seconds:.2f},{one.settings}"
        for (way, number), one in sorted(records.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    save_text("\n".join([_HEAD, *lines, ""]), file)


def with_drawn(known: Records, folder: EvaluationFolder, ways: Sequence[str]) -> Records:
    """What is known, and what a folder has besides of the prompts that are known or drawn in all of these ways.

    Of such prompts also what it has in other ways, as of a session that had a ComfyUI beside it.

    Raises:
        See ``EvaluationFolder.found``.
    """

    def is_there(way: str, at: int) -> bool:
        return (way, at) in known or folder.is_looked_at(way, at)

    numbers = [at for at in range(len(folder.suite.prompts)) if all(is_there(way, at) for way in ways)]
    claimed = [way for way in WAYS if folder.has(way)]
    new = [(way, at) for way in claimed for at in numbers if (way, at) not in known and folder.is_looked_at(way, at)]
    settings = {way: folder.settings_of(way) for way in dict.fromkeys(way for way, _ in new)}
    return known | {(way, at): _record(folder, way, at, settings[way]) for way, at in new}


def _record(folder: EvaluationFolder, way: str, number: int, settings: str) -> Record:
    trials = [verdict.trial for verdict in verdicts(folder, way, number, RULES[VISOR])]
    seconds = folder.cost(way, [number]).seconds * len(trials)
    present, right = tuple(one.present for one in trials), tuple(one.correct for one in trials)
    return Record(present, right, round(seconds, 2), settings)


def _flags(digits: str) -> tuple[bool, ...]:
    return tuple(digit == "1" for digit in digits)


def _digits(flags: Sequence[bool]) -> str:
    return "".join("01"[flag] for flag in flags)
