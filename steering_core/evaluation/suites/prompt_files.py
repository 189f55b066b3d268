"""Suites of files that have a prompt in each line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...wording import brief
from .suite import ScenePrompt, Suite

#: Reads a line, given with what to begin an error about it with; nothing where it is no prompt of the suite.
ReadLine = Callable[[str, str], ScenePrompt | None]


def suite_of_file(
    file: Path, read: ReadLine, name: str, seeds: tuple[int, ...], wanted: str = "a line with a prompt"
) -> Suite:
    """The prompts of a text in UTF-8, in its order. Empty lines, and the space around the others, count for nothing.

    Args:
        read: raises a ValueError where a line is none that it knows.
        name: of the suite.
        wanted: a line that makes a prompt of it, in words.

    Raises:
        ValueError: it is no such text, a line cannot be read, a prompt stands in several lines, or there is none at
            all; names the lines.
        OSError: the file cannot be read.
    """
    prompts: list[ScenePrompt] = []
    lines_of: dict[str, list[int]] = {}
    for number, line in enumerate(_lines(file), 1):
        prompt = read(line, f"{file}: line {number}") if line else None
        if prompt is not None:
            prompts.append(prompt)
            lines_of.setdefault(prompt.text, []).append(number)
    if not prompts:
        raise ValueError(f"{file}: {wanted} was expected, and there is none. Write one, or give another file.")
    repeated, lines = max(lines_of.items(), key=lambda one: len(one[1]))
    if len(lines) > 1:
        raise ValueError(
            f"{file}: prompts that all differ were expected, and {brief(repeated)} stands in lines "
            f"{', '.join(map(str, lines))}. Leave all but one out."
        )
    return Suite(name, tuple(prompts), seeds)


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_bytes().decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8: {error.reason} at byte {error.start}.") from error
