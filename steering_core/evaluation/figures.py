"""Figures of pictures that were judged: shares with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .rules import Verdict
from .statistics import Estimate, share


@dataclass(frozen=True)
class PromptCounts:
    """Of a prompt's pictures: how many there are, show all objects, are right, and the sum of their scores."""

    pictures: int
    present: int
    correct: int
    score: float

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> PromptCounts:
        """By the verdicts on them."""
        return cls(
            len(verdicts),
            sum(verdict.trial.present for verdict in verdicts),
            sum(verdict.trial.correct for verdict in verdicts),
            sum(verdict.score for verdict in verdicts),
        )


@dataclass(frozen=True)
class Figures:
    """Of some prompts: shares in [0, 1], after Gokhale et al. 2022, section 3.

    Attributes:
        pictures: how many.
        oa: object accuracy, the share of pictures with all objects present.
        visor_cond: of the pictures with all objects present, the share that is right; nan where there is none.
        visor_uncond: of all pictures, the share that is right.
        visor_n: for n = 1, 2, … up to the pictures of a prompt, the share of prompts with at least n right pictures.
        score: the mean of the rule's own.
    """

    pictures: int
    oa: Estimate
    visor_cond: Estimate
    visor_uncond: Estimate
    visor_n: tuple[Estimate, ...]
    score: Estimate

    def as_json(self) -> dict[str, Any]:
        """In plain values; what could not be told is null."""
        named = {name: getattr(self, name) for name in ("oa", "visor_cond", "visor_uncond", "score")}
        named |= {f"visor_{n}": estimate for n, estimate in enumerate(self.visor_n, 1)}
        return {"pictures": self.pictures, **{name: estimate.as_json() for name, estimate in named.items()}}


def figures(counts: Sequence[PromptCounts]) -> Figures:
    """Of one prompt or more, with as many pictures each.

    Raises:
        ValueError: there are no pictures, or prompts differ in their number of pictures.
    """
    pictures, present, correct, scores = (
        [getattr(one, name) for one in counts] for name in ("pictures", "present", "correct", "score")
    )
    if not sum(pictures):
        raise ValueError("Figures need one prompt or more, with one picture or more of each.")
    if len(set(pictures)) > 1:
        raise ValueError(f"Figures need as many pictures of every prompt, not {sorted(set(pictures))}.")
    return Figures(
        sum(pictures),
        share(present, pictures),
        share(correct, present),
        share(correct, pictures),
        tuple(share([count >= n for count in correct], [1] * len(counts)) for n in range(1, pictures[0] + 1)),
        share(scores, pictures),
    )
