"""The rules by which a picture is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..detection.boxes import Found
from ..relations.place import Place
from ..relations.relation import CARDINAL_RELATIONS, Relation
from .assignment import names_of, surest_choices
from .geneval import judge_geneval
from .suites import Suite, Triplet
from .t2i_compbench import t2i_compbench_score
from .visor import Trial, judge

VISOR, GENEVAL, T2I_COMPBENCH = "visor", "geneval", "t2i_compbench"


@dataclass(frozen=True)
class Verdict:
    """On one picture: what was found, whether it is right, and a score in [0, 1], which is 0 or 1 for most rules."""

    trial: Trial
    score: float

    @classmethod
    def of(cls, trial: Trial) -> Verdict:
        """By a rule whose score is whether the picture is right."""
        return cls(trial, float(trial.correct))


#: Judges what was found in a picture of (width, height) in pixels by the relations that its prompt states.
Rule = Callable[[Sequence[Triplet], Sequence[Found], tuple[int, int]], Verdict]


def _visor(relations: Sequence[Triplet], found: Sequence[Found], size: tuple[int, int]) -> Verdict:
    return Verdict.of(judge(relations, found))


def _geneval(relations: Sequence[Triplet], found: Sequence[Found], size: tuple[int, int]) -> Verdict:
    return Verdict.of(judge_geneval(relations, found, size))


def _t2i_compbench(relations: Sequence[Triplet], found: Sequence[Found], size: tuple[int, int]) -> Verdict:
    """Its score is the mean over the relations; right is what VISOR calls so, since it has no such word.

    An object that may have one of several names has the same one in all relations.
    """
    score = max(
        sum(t2i_compbench_score(triplet, list(choice.values()), size) for triplet in relations) / len(relations)
        for choice in surest_choices(names_of(relations), found)
    )
    return Verdict(judge(relations, found), score)


#: How a picture is judged …
RULES: dict[str, Rule] = {VISOR: _visor, GENEVAL: _geneval, T2I_COMPBENCH: _t2i_compbench}
#: … and the relations that a rule knows.
_KNOWN: dict[str, tuple[Relation | Place, ...]] = {
    VISOR: (*Relation, *Place),
    GENEVAL: CARDINAL_RELATIONS,
    T2I_COMPBENCH: (*CARDINAL_RELATIONS, Relation.NEAR),
}


def check_rule(rule: str, suite: Suite) -> None:
    """Refuse a suite with relations that a rule does not know.

    Raises:
        ValueError: it has some; names the first prompt.
    """
    for prompt in suite.prompts:
        for _, relation, _ in prompt.relations:
            if relation not in _KNOWN[rule]:
                raise ValueError(f'The rule {rule} knows no "{relation.phrase}", which {prompt.text!r} asks for.')
