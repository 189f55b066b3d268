"""An evaluation's second stage: objects are looked for in its pictures, by a detector or by another program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..detection.boxes import Found
from ..detection.boxes_file import BoxesFile
from ..detection.detectors import ObjectDetector
from ..files.claims import Claim
from .findings import save_findings
from .folder import EvaluationFolder

#: (width, height) of a picture in pixels, and what was found in it.
_Finding = tuple[tuple[int, int], list[Found]]


def detect_objects(
    folder: EvaluationFolder, arm: str, detector: ObjectDetector, numbers: Sequence[int]
) -> Iterator[int]:
    """Look for the objects of some prompts in their pictures, and yield each one's number when that is done.

    Args:
        detector: claimed in the folder.

    Raises:
        ValueError: a picture cannot be read, or what was claimed is another detector's by now.
        OSError: a picture is not there, or a file cannot be written.
    """

    def look(number: int, seed: int) -> _Finding:
        picture = folder.read_picture(arm, number, seed)
        try:
            return picture.size, detector.find(picture, folder.suite.prompts[number].objects)
        except ValueError as error:
            raise ValueError(f"{folder.picture(arm, number, seed)}: {error}") from error

    return _write_down(folder, folder.detector_claim(arm, detector), arm, numbers, look)


def take_boxes(folder: EvaluationFolder, arm: str, boxes: BoxesFile, numbers: Sequence[int]) -> Iterator[int]:
    """As ``detect_objects``, by what another program found.

    Raises:
        ValueError: a picture cannot be read, a box lies beyond it, or another detector has claimed this since.
        OSError: a picture is not there, or a file cannot be written.
    """
    return _write_down(folder, folder.detector_claim(arm, boxes), arm, numbers, partial(_by_boxes, folder, boxes, arm))


def check_boxes(folder: EvaluationFolder, arms: Sequence[str], boxes: BoxesFile) -> None:
    """Refuse boxes that another program cannot have found in the pictures of these arms.

    Raises:
        ValueError: as ``BoxesFile.check``, a picture is not drawn yet or cannot be read, or a box lies beyond it.
        OSError: a picture is not there.
    """
    pictures = list(folder.all_pictures(arms))
    names = [name for prompt in folder.suite.prompts for name in prompt.objects]
    boxes.check(names, [folder.place(*picture) for picture in pictures])
    if missing := [picture for picture in pictures if not folder.picture(*picture).exists()]:
        raise ValueError(
            f"Boxes of pictures that are there were expected; {len(missing)} of {len(pictures)} are not in "
            f"{folder.folder}, such as {folder.place(*missing[0])}. Draw the pictures first, and look at them "
            f"then; or give the folder that the boxes are of."
        )
    for picture in pictures:
        _by_boxes(folder, boxes, *picture)


def _by_boxes(folder: EvaluationFolder, boxes: BoxesFile, arm: str, number: int, seed: int) -> _Finding:
    """What another program found in a picture."""
    with folder.opened_picture(arm, number, seed) as picture:
        size = picture.size
    return size, boxes.find(folder.place(arm, number, seed), size, folder.suite.prompts[number].objects)


def _write_down(
    folder: EvaluationFolder, claim: Claim, arm: str, numbers: Sequence[int], look: Callable[[int, int], _Finding]
) -> Iterator[int]:
    """Write down what the pictures of some prompts show, and yield each one's number when that is done.

    Args:
        claim: of who looks.
        look: at the picture of a prompt's number and a seed.
    """
    is_sure = False
    for number in numbers:
        if not folder.is_looked_at(arm, number):
            sizes, found = zip(*(look(number, seed) for seed in folder.suite.seeds))
            if not is_sure:  # another may have claimed what had no findings while the first pictures were looked at
                claim.check()
                is_sure = True
            save_findings(sizes[-1], found, folder.found_file(arm, number))
        yield number
