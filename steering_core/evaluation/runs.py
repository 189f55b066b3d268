"""An evaluation on disk: pictures, what was found in them, and results, as stages that can be stopped and go on.

    OUT/run.json                        what is drawn, and how
    OUT/arms/ARM/arm.json               what one way of sampling does otherwise than the others
    OUT/arms/ARM/pictures/000012_42.png of prompt 12 with seed 42
    OUT/arms/ARM/times/000012.json      what the pictures of prompt 12 took: time, looks and gradient passes
    OUT/arms/ARM/found/000012.json      what was found in the pictures of prompt 12

Every file is written whole or not at all, and none is made again: so processes that share the prompts need nothing
of each other, and a stopped run goes on where it was.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, astuple, dataclass, fields
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ..claims import Claim
from ..described import described, read_json
from ..detection.boxes import Box, Found
from ..detection.boxes_file import BoxesFile
from ..detection.detectors import ObjectDetector
from ..files import save_text
from ..pictures import check_finite, opened_picture, save_picture, to_image
from .encoders import Encoder
from .suites import ScenePrompt, Suite

#: What there is of an arm when something was drawn or found, within its folder.
_FOUND = "found/*.json"
_MADE = ("pictures/*.png", "times/*.json", _FOUND)
#: (width, height) of a picture in pixels, and what was found in it.
_Seen = tuple[tuple[int, int], list[Found]]


@dataclass(frozen=True)
class Drawn:
    """Pictures of a prompt, and what steering did for them.

    Attributes:
        pictures: (seeds, 3, H, W) in [0, 1].
        looks: how often a picture's maps were read, counted for each picture.
        gradient_passes: how often a picture was moved by a gradient, likewise.
    """

    pictures: Tensor
    looks: int = 0
    gradient_passes: int = 0


#: Draws a prompt with some seeds.
Draw = Callable[[ScenePrompt, Sequence[int]], Drawn]


@dataclass(frozen=True)
class Cost:
    """What a picture took, on average; nan where that was not taken down.

    Attributes:
        seconds: by the arm's clock, detection left out.
        looks, gradient_passes: see ``Drawn``.
    """

    seconds: float
    looks: float
    gradient_passes: float


@dataclass(frozen=True)
class Arm:
    """One way of sampling.

    Attributes:
        name: for tables and its folder.
        description: what it does otherwise than the other arms, as plain values.
        draw: makes its pictures.
        clock: in seconds, that tells how long they take.
    """

    name: str
    description: Mapping[str, Any]
    draw: Draw
    clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class _FoundFile:
    """What was found in the pictures of a prompt: for each seed, in order, label, box and score of every object."""

    size: tuple[int, int]
    found: tuple[tuple[tuple[str, float, float, float, float, float], ...], ...]


@dataclass(frozen=True)
class _TimesFile:
    """How many pictures of a prompt were drawn, and what they took together.

    Folders of before looks and gradient passes were counted do not tell of them.
    """

    pictures: int
    seconds: float
    looks: int | None = None
    gradient_passes: int | None = None

    def __add__(self, more: _TimesFile) -> _TimesFile:
        """Of both together."""
        sums: list[Any] = [
            None if before is None or now is None else before + now for before, now in zip(astuple(self), astuple(more))
        ]
        return _TimesFile(*sums)


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
        told = {"suite": suite.name, "seeds": list(suite.seeds), "sampling": dict(sampling), "prompts": prompts}
        self._run_claim = Claim.of(folder / "run.json", told, tuple(f"arms/*/{one}" for one in _MADE))

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
            claims += [self._detector_claim(arm.name, detector) for arm in arms]
        for claim in [claim for claim in claims if not claim.is_used()]:
            claim.write()

    def draw(self, arm: Arm, numbers: Sequence[int], batch: int) -> Iterator[int]:
        """Draw what is not there of some prompts, and yield each one's number when it is.

        Args:
            numbers: of prompts, from 0.
            batch: at most so many pictures at a time.

        Raises:
            ValueError: pictures came out with values that are no numbers, or what was claimed is another's by now.
            OSError: a file cannot be written.
        """
        is_sure = False
        for number in numbers:
            missing = [seed for seed in self.suite.seeds if not self.picture(arm.name, number, seed).exists()]
            for first in range(0, len(missing), batch):
                seeds = missing[first : first + batch]
                begin = arm.clock()
                drawn = arm.draw(self.suite.prompts[number], seeds)
                seconds = arm.clock() - begin
                pictures = check_finite(drawn.pictures)
                if not is_sure:  # another may have claimed what had no pictures while the first were drawn
                    self._run_claim.check()
                    self._arm_claim(arm).check()
                    is_sure = True
                taken = _TimesFile(len(seeds), seconds, drawn.looks, drawn.gradient_passes)
                self._add_taken(arm.name, number, taken)
                for seed, picture in zip(seeds, pictures):
                    file = self.picture(arm.name, number, seed)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    save_picture(to_image(picture), file)
            yield number

    def detect(self, arm: str, detector: ObjectDetector, numbers: Sequence[int]) -> Iterator[int]:
        """Look for the objects of some prompts in their pictures, and yield each one's number when that is done.

        Raises:
            ValueError: a picture cannot be read, or what was claimed is another detector's by now.
            OSError: a picture is not there, or a file cannot be written.
        """

        def look(number: int, seed: int) -> _Seen:
            picture = self.read_picture(arm, number, seed)
            return picture.size, detector.find(picture, self.suite.prompts[number].objects)

        return self._look(self._detector_claim(arm, detector), arm, numbers, look)

    def check_boxes(self, arms: Sequence[str], boxes: BoxesFile) -> None:
        """Refuse boxes that another program cannot have found in the pictures of these arms.

        Raises:
            ValueError: as ``BoxesFile.check``, a picture is not drawn yet or cannot be read, or a box lies beyond it.
            OSError: a picture is not there.
        """
        boxes.check([name for prompt in self.suite.prompts for name in prompt.objects], self.places(arms))
        places = self._places(arms)
        if missing := [place for place in places if not self.picture(*place).exists()]:
            raise ValueError(
                f"Boxes of pictures that are there were expected; {len(missing)} of {len(places)} are not in "
                f"{self.folder}, such as {self.place(*missing[0])}. Draw the pictures first, and look at them "
                f"then; or give the folder that the boxes are of."
            )
        for place in places:
            self._by_boxes(boxes, *place)

    def take(self, arm: str, boxes: BoxesFile, numbers: Sequence[int]) -> Iterator[int]:
        """As ``detect``, by what another program found.

        Raises:
            ValueError: a picture cannot be read, a box lies beyond it, or another detector has claimed this since.
            OSError: a picture is not there, or a file cannot be written.
        """
        return self._look(self._detector_claim(arm, boxes), arm, numbers, partial(self._by_boxes, boxes, arm))

    def _by_boxes(self, boxes: BoxesFile, arm: str, number: int, seed: int) -> _Seen:
        """What another program found in a picture."""
        with self._opened(arm, number, seed) as picture:
            size = picture.size
        return size, boxes.find(self.place(arm, number, seed), size, self.suite.prompts[number].objects)

    def _look(self, claim: Claim, arm: str, numbers: Sequence[int], look: Callable[[int, int], _Seen]) -> Iterator[int]:
        """Write down what the pictures of some prompts show, and yield each one's number when that is done.

        Args:
            claim: of who looks.
            look: at the picture of a prompt's number and a seed.
        """
        is_sure = False
        for number in numbers:
            if not self.is_looked_at(arm, number):
                seen = [look(number, seed) for seed in self.suite.seeds]
                if not is_sure:  # as in ``draw``
                    claim.check()
                    is_sure = True
                found = [[[one.label, *one.box.sides, one.score] for one in of_picture] for _, of_picture in seen]
                file = self._found_file(arm, number)
                file.parent.mkdir(parents=True, exist_ok=True)
                save_text(json.dumps({"size": seen[-1][0], "found": found}), file)
            yield number

    def found(self, arm: str, number: int) -> tuple[tuple[int, int], list[list[Found]]]:
        """(width, height) of a prompt's pictures in pixels, and what was found in each, in the order of the seeds.

        Raises:
            ValueError: the file is damaged.
            OSError: it cannot be read.
        """
        file = self._found_file(arm, number)
        read = described(_FoundFile, read_json(file), str(file))
        if len(read.found) != len(self.suite.seeds):
            raise ValueError(f"{file}: what {len(self.suite.seeds)} pictures show was expected; remove it.")
        return read.size, [[Found(label, Box(*box), score) for label, *box, score in one] for one in read.found]

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

    def is_looked_at(self, arm: str, number: int) -> bool:
        """Whether a detector has looked at all pictures of a prompt."""
        return self._found_file(arm, number).exists()

    def cost(self, arm: str, numbers: Sequence[int]) -> Cost:
        """What a picture of these prompts took.

        Raises:
            ValueError: a file is damaged.
            OSError: it cannot be read.
        """
        read = [self._taken(arm, number) for number in numbers]
        pictures = sum(one.pictures for one in read)

        def mean(taken: Sequence[float | None]) -> float:
            told = [one for one in taken if one is not None]
            return sum(told) / pictures if pictures and len(told) == len(taken) else math.nan

        return Cost(*(mean([getattr(one, field.name) for one in read]) for field in fields(Cost)))

    def features(self, arm: str, encoder: Encoder, numbers: Sequence[int]) -> Iterator[Tensor]:
        """Features of an arm's pictures, prompt by prompt, (seeds, numbers).

        Raises:
            OSError: a picture is not there.
        """
        for number in numbers:
            yield encoder([self.read_picture(arm, number, seed) for seed in self.suite.seeds])

    def read_picture(self, arm: str, number: int, seed: int) -> Image.Image:
        """The picture of a prompt with a seed, in RGB.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        with self._opened(arm, number, seed) as picture:
            return picture.convert("RGB")

    def _opened(self, arm: str, number: int, seed: int) -> AbstractContextManager[Image.Image]:
        instead = "Remove it: it is drawn again by the command that drew it."
        return opened_picture(self.picture(arm, number, seed), ["PNG"], instead)

    def picture(self, arm: str, number: int, seed: int) -> Path:
        """Where the picture of a prompt with a seed stands."""
        return self._arm(arm) / "pictures" / f"{number:06d}_{seed}.png"

    def place(self, arm: str, number: int, seed: int) -> str:
        """The same within this folder, as a file of boxes names it."""
        return self.picture(arm, number, seed).relative_to(self.folder).as_posix()

    def places(self, arms: Sequence[str]) -> Iterator[str]:
        """Of all pictures of these arms."""
        return itertools.starmap(self.place, self._places(arms))

    def _places(self, arms: Sequence[str]) -> list[tuple[str, int, int]]:
        """Arm, number of the prompt and seed of all pictures of these arms."""
        return list(itertools.product(arms, range(len(self.suite.prompts)), self.suite.seeds))

    def _arm_claim(self, arm: Arm) -> Claim:
        return Claim.of(self._arm(arm.name) / "arm.json", arm.description, _MADE)

    def _detector_claim(self, arm: str, detector: ObjectDetector | BoxesFile) -> Claim:
        file = self._arm(arm) / "detector.json"
        instead = f"to look again, remove {file} and the folder found beside it: the pictures stay"
        return Claim.of(file, {"detector": detector.description}, (_FOUND,), instead)

    def _arm(self, name: str) -> Path:
        return self.folder / "arms" / name

    def _found_file(self, arm: str, number: int) -> Path:
        return self._arm(arm) / "found" / f"{number:06d}.json"

    def _times_file(self, arm: str, number: int) -> Path:
        return self._arm(arm) / "times" / f"{number:06d}.json"

    def _taken(self, arm: str, number: int) -> _TimesFile:
        """Nothing where nothing was taken down."""
        file = self._times_file(arm, number)
        if not file.exists():
            return _TimesFile(0, 0.0, 0, 0)
        return described(_TimesFile, read_json(file), str(file), strict=False)

    def _add_taken(self, arm: str, number: int, more: _TimesFile) -> None:
        file = self._times_file(arm, number)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_text(json.dumps(asdict(self._taken(arm, number) + more)), file)
