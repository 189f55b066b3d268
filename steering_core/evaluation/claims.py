"""What the files of a folder were made with: told in a file beside them, and held against what is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..described import differences, read_json
from ..files import save_text


@dataclass(frozen=True)
class Claim:
    """Settings that what is beside a file was made with, and that the file tells.

    Attributes:
        told: as JSON has them.
        made: patterns of the files that are made so, from the file's folder on.
        instead: what else can be done where they were made with something else.
    """

    file: Path
    told: Any
    made: tuple[str, ...]
    instead: str = ""

    @classmethod
    def of(cls, file: Path, told: Mapping[str, Any], made: tuple[str, ...], instead: str = "") -> Claim:
        """Of settings as plain values, in which there may be tuples."""
        return cls(file, json.loads(json.dumps(dict(told))), made, instead)

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
        if told := differences(read_json(self.file), self.told):
            raise ValueError(f"{self.file} was made with other settings: {told}. {choices}")

    def write(self) -> None:
        """Tell the settings in the file, unless it does so already.

        Raises:
            OSError: it cannot be written.
        """
        content = json.dumps(self.told, indent=1) + "\n"
        if not self.file.exists() or self.file.read_bytes() != content.encode():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            save_text(content, self.file)
