"""An evaluation's first stage: its pictures are drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..pictures import check_finite, save_picture, to_image
from .arms import Arm
from .cost import Times, add_times
from .folder import EvaluationFolder


def draw_pictures(folder: EvaluationFolder, arm: Arm, numbers: Sequence[int], batch: int) -> Iterator[int]:
    """Draw what is not there of some prompts, and yield each one's number when it is.

    Args:
        arm: claimed in the folder.
        numbers: of prompts, from 0.
        batch: at most so many pictures at a time.

    Raises:
        ValueError: pictures came out with values that are no numbers, or what was claimed is another's by now.
        OSError: a file cannot be written.
    """
    is_sure = False
    for number in numbers:
        missing = [seed for seed in folder.suite.seeds if not folder.picture(arm.name, number, seed).exists()]
        for first in range(0, len(missing), batch):
            seeds = missing[first : first + batch]
            begin = arm.clock()
            drawn = arm.draw(folder.suite.prompts[number], seeds)
            seconds = arm.clock() - begin
            pictures = check_finite(drawn.pictures)
            if not is_sure:  # another may have claimed what had no pictures while the first were drawn
                folder.check_arm(arm)
                is_sure = True
            times = Times(len(seeds), seconds, drawn.looks, drawn.gradient_passes)
            add_times(times, folder.times_file(arm.name, number))
            for seed, picture in zip(seeds, pictures):
                file = folder.picture(arm.name, number, seed)
                file.parent.mkdir(parents=True, exist_ok=True)
                save_picture(to_image(picture), file)
        yield number
