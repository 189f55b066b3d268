"""The rule of VISOR: are the objects of a prompt in its pictures, and do they stand as it says?

After Gokhale et al. 2022, "Benchmarking Spatial Relationships in Text-to-Image Generation",
section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..detection.boxes import Box, Found
from ..detection.look import VERDICTS
from ..detection.names import canonical
from .assignment import names_of
from .consistency import can_all_hold, each_has_its_own
from .suites.suite import Triplet

#: What is found less surely counts as not found …
LEAST_SCORE = 0.1
#: … and of what is found oftener than this, the surest are tried.
_MOST_OF_A_NAME = 8


@dataclass(frozen=True)
class Trial:
    """The verdict on one picture.

    Attributes:
        present: all objects of the prompt were found, each name's another one where names are alike for a detector.
        correct: they were, and all relations hold.
    """

    present: bool
    correct: bool

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``."""
        right, wrong, missing = VERDICTS
        return right if self.correct else wrong if self.present else missing


def judge(relations: Sequence[Triplet], found: Sequence[Found]) -> Trial:
    """Judge a picture by VISOR's published rule: what is found with a score of 0.1 counts, and any object that fits.

    With several relations one object of each name has to fit them all.

    Args:
        relations: with the objects by the detector's names.
    """
    sure = sorted((one for one in found if one.score >= LEAST_SCORE), key=lambda one: one.score, reverse=True)
    candidates = {name: [one for one in sure if one.label == name][:_MOST_OF_A_NAME] for name in names_of(relations)}
    alike: dict[str, list[list[Box]]] = {}
    for name, those in candidates.items():
        alike.setdefault(canonical(name), []).append([one.box for one in those])
    present = all(map(each_has_its_own, alike.values()))
    # A detector that is asked for one name after the other may give the same box to names that differ, too. Both are
    # found, as in the published evaluation; that they stand to each other in any way is not.
    return Trial(present, present and can_all_hold(relations, candidates))
