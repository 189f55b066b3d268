"""What the files of a folder were made with: told in a file beside them, and held against what is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..wording import brief, shortened
from .described import read_json
from .whole import save_text

#: So many settings that differ are told.
_MOST_DIFFERENCES = 6


@dataclass(frozen=True)
class Claim:
    """Settings that what is beside a file was made with, and that the file tells.

    Attributes:
        settings: as JSON has them.
        made: patterns of the files that are made so, from the file's folder on.
        instead: what else can be done where they were made with something else.
    """

    file: Path
    settings: Any
    made: tuple[str, ...]
    instead: str = ""

    @classmethod
    def of(cls, file: Path, settings: Mapping[str, Any], made: tuple[str, ...], instead: str = "") -> Claim:
        """Of settings as plain values, in which there may be tuples."""
        return cls(file, json.loads(json.dumps(dict(settings))), made, instead)

    def is_used(self) -> bool:
        """Whether anything was made with these settings yet.

        Raises:
            ValueError: it was made with others; see ``check``.
        """
        # Looked for first, and the settings read then: another process of the same run writes them before all else.
        is_made = any(any(self.file.parent.glob(pattern)) for pattern in self.made)
        if is_made:
            self.check()
        return is_made

    def check(self) -> None:
        """Hold the settings against those that the file tells.

        Raises:
            ValueError: it tells others, each of which is named, or is not there.
            OSError: it cannot be read.
        """
        choices = f"Give the same settings as then, or another folder{self.instead and f'; {self.instead}'}."
        if not self.file.exists():
            raise ValueError(f"{self.file} was expected, by which it can be told what is there already. {choices}")
        if changed := differences(read_json(self.file), self.settings):
            raise ValueError(f"{self.file} was made with other settings: {changed}. {choices}")

    def write(self) -> None:
        """Tell the settings in the file, unless it does so already.

        Raises:
            OSError: it cannot be written.
        """
        content = json.dumps(self.settings, indent=1) + "\n"
        if not self.file.exists() or self.file.read_bytes() != content.encode():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            save_text(content, self.file)


def differences(there: Any, wanted: Any) -> str:
    """Which settings differ, each with both values: "sampling.steps: 1 there, 2 here"; nothing where none does.

    Args:
        there: plain values as JSON has them, from a file.
        wanted: likewise, those that are asked for here.
    """
    found = list(_differences(there, wanted, ""))
    text = "; ".join(found[:_MOST_DIFFERENCES])
    return text if len(found) <= _MOST_DIFFERENCES else f"{text}; and {len(found) - _MOST_DIFFERENCES} more"


def _differences(there: Any, wanted: Any, path: str) -> Iterator[str]:
    """See ``differences``; ``path`` leads to the two values."""
    if there == wanted:
        return
    if isinstance(there, dict) and isinstance(wanted, dict):
        for key in {**wanted, **there}:
            inner = f"{path}.{shortened(key, 100)}".lstrip(".")
            yield from _differences(there.get(key, _NOTHING), wanted.get(key, _NOTHING), inner)
        return
    mine, ours = brief(there), brief(wanted)
    if isinstance(there, list) and isinstance(wanted, list):
        is_nested = any(isinstance(one, (dict, list)) for one in (*there, *wanted))
        if len(there) == len(wanted) and (is_nested or mine == ours):
            for place, pair in enumerate(zip(there, wanted)):
                yield from _differences(*pair, f"{path}[{place}]")
            return
        if is_nested or mine == ours:
            mine, ours = f"{len(there)} entries", str(len(wanted))
    elif mine == ours and isinstance(there, str) and isinstance(wanted, str):
        # Long texts are shown without their middle: from where they part.
        at = next((at for at, two in enumerate(zip(there, wanted)) if len(set(two)) > 1), min(len(there), len(wanted)))
        mine, ours = f"…{brief(there[at:])}", f"…{brief(wanted[at:])}"
    yield f"{path or 'its content'}: {mine} there, {ours} here"


class _Nothing:
    """Where only the other side has a setting."""

    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()
