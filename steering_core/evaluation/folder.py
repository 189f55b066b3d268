"""An evaluation on disk: pictures, what was found in them, and what they were made with.

    OUT/run.json                        what is drawn, and how
    OUT/arms/ARM/arm.json               what one way of sampling does otherwise than the others
    OUT/arms/ARM/detector.json          what looked at its pictures
    OUT/arms/ARM/pictures/000012_42.png of prompt 12 with seed 42
    OUT/arms/ARM/times/000012.json      what the pictures of prompt 12 took: time, looks and gradient passes
    OUT/arms/ARM/found/000012.json      what was found in the pictures of prompt 12

Every file is written whole or not at all, and none is made again: so processes that share the prompts need nothing
of each other, and a stopped run goes on where it was. ``drawing`` makes the pictures, ``detecting`` looks at them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from ..detection.boxes import Found
from ..detection.boxes_file import BoxesFile
from ..detection.detectors import ObjectDetector
from ..files.claims import Claim
from ..pictures import opened_picture
from .arms import Arm
from .cost import Cost, read_times
from .findings import read_findings
from .suites import Suite

#: What there is of an arm when something was drawn or found, within its folder.
_FOUND = "found/*.json"
_MADE = ("pictures/*.png", "times/*.json", _FOUND)


class EvaluationFolder:
    """The folder of an evaluation.

    Args:
        folder: need not be there; nothing is written before something is claimed.
        suite: what is drawn.
        sampling: all that the pictures of every arm depend on beside the suite, as plain values.
    """

    def __init__(self, folder: Path, suite: Suite, sampling: Mapping[str, Any]) -> None:
        self.folder, self.suite = folder, suite
        prompts = [[prompt.text, [list(triplet) for triplet in prompt.relations]] for prompt in suite.prompts]
        settings = {"suite": suite.name, "seeds": list(suite.seeds), "sampling": dict(sampling), "prompts": prompts}
        self._run_claim = Claim.of(folder / "run.json", settings, tuple(f"arms/*/{pattern}" for pattern in _MADE))

    def claim(self, arms: Sequence[Arm], detector: ObjectDetector | BoxesFile | None) -> None:
        """Check that the folder holds nothing of another suite, sampling, arm or detector, and note these in it.

        To be called before anything is drawn. What has neither pictures nor findings yet may be claimed anew.

        Args:
            detector: none where nobody looks yet.

        Raises:
            ValueError: it has, and nothing is claimed; says what differs.
            OSError: the folder cannot be written.
        """
        claims = [self._run_claim, *map(self._arm_claim, arms)]
        if detector is not None:
            claims += [self.detector_claim(arm.name, detector) for arm in arms]
        for claim in [claim for claim in claims if not claim.is_used()]:
            claim.write()

    def check_arm(self, arm: Arm) -> None:
        """Hold suite, sampling and arm against what the folder was last claimed for.

        Raises:
            ValueError: it was claimed for others; says what differs.
            OSError: what was claimed cannot be read.
        """
        self._run_claim.check()
        self._arm_claim(arm).check()

    def detector_claim(self, arm: str, detector: ObjectDetector | BoxesFile) -> Claim:
        """What looks at an arm's pictures."""
        file = self._arm(arm) / "detector.json"
        instead = f"to look again, remove {file} and the folder found beside it: the pictures stay"
        return Claim.of(file, {"detector": detector.description}, (_FOUND,), instead)

    def _arm_claim(self, arm: Arm) -> Claim:
        return Claim.of(self._arm(arm.name) / "arm.json", arm.description, _MADE)

    def has(self, arm: str) -> bool:
        """Whether an arm was claimed."""
        return (self._arm(arm) / "arm.json").exists()

    def settings_of(self, arm: str) -> str:
        """A short name for all that an arm's findings were claimed to depend on: 12 hexadecimal digits.

        Raises:
            OSError: arm or detector were not claimed, or the files cannot be read.
        """
        files = (self.folder / "run.json", self._arm(arm) / "arm.json", self._arm(arm) / "detector.json")
        return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]

    def picture(self, arm: str, number: int, seed: int) -> Path:
        """Where the picture of a prompt with a seed stands."""
        return self._arm(arm) / "pictures" / f"{number:06d}_{seed}.png"

    def place(self, arm: str, number: int, seed: int) -> str:
        """The same within this folder, as a file of boxes names it."""
        return self.picture(arm, number, seed).relative_to(self.folder).as_posix()

    def all_pictures(self, arms: Sequence[str]) -> Iterator[tuple[str, int, int]]:
        """Arm, number of the prompt and seed of all pictures of these arms."""
        return itertools.product(arms, range(len(self.suite.prompts)), self.suite.seeds)

    def read_picture(self, arm: str, number: int, seed: int) -> Image.Image:
        """The picture of a prompt with a seed, in RGB.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        with self.opened_picture(arm, number, seed) as picture:
            return picture.convert("RGB")

    def opened_picture(self, arm: str, number: int, seed: int) -> AbstractContextManager[Image.Image]:
        """The same, of which nothing but its size is read yet.

        Raises:
            OSError, ValueError: it cannot be read, here or in the context.
        """
        instead = "Remove it: it is drawn again by the command that drew it."
        return opened_picture(self.picture(arm, number, seed), ["PNG"], instead)

    def times_file(self, arm: str, number: int) -> Path:
        """Where it stands what the pictures of a prompt took."""
        return self._arm(arm) / "times" / f"{number:06d}.json"

    def cost(self, arm: str, numbers: Sequence[int]) -> Cost:
        """What a picture of these prompts took.

        Raises:
            ValueError: a file is damaged.
            OSError: it cannot be read.
        """
        return Cost.mean([read_times(self.times_file(arm, number)) for number in numbers])

    def found_file(self, arm: str, number: int) -> Path:
        """Where it stands what was found in the pictures of a prompt."""
        return self._arm(arm) / "found" / f"{number:06d}.json"

    def is_looked_at(self, arm: str, number: int) -> bool:
        """Whether a detector has looked at all pictures of a prompt."""
        return self.found_file(arm, number).exists()

    def found(self, arm: str, number: int) -> tuple[tuple[int, int], list[list[Found]]]:
        """(width, height) of a prompt's pictures in pixels, and what was found in each, in the order of the seeds.

        Raises:
            ValueError: the file is damaged.
            OSError: it cannot be read.
        """
        return read_findings(self.found_file(arm, number), len(self.suite.seeds))

    def _arm(self, name: str) -> Path:
        return self.folder / "arms" / name
