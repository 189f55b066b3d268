"""Figures of an evaluation: for each arm, in all, by relation and by object."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..detection.boxes import Found
from ..detection.names import canonical
from ..relations.place import Place
from ..relations.relation import CARDINAL_RELATIONS, Relation
from .assignment import names_of, surest_choices
from .cost import Cost
from .folder import EvaluationFolder
from .geneval import judge_geneval
from .statistics import Estimate, difference, share
from .suites import ScenePrompt, Suite, Triplet
from .t2i_compbench import t2i_compbench_score
from .variety import spread_over_seeds
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


@dataclass(frozen=True)
class ArmResult:
    """The figures of an arm.

    Attributes:
        gain: by how much more of its pictures are right than of the first arm's; none for that one.
        spread_of_places, spread_of_sizes: see ``spread_over_seeds``; the mean over prompts and their objects.
        cost: of a picture.
    """

    name: str
    all: Figures
    by_relation: dict[str, Figures]
    by_object: dict[str, Figures]
    gain: Estimate | None
    spread_of_places: float
    spread_of_sizes: float
    cost: Cost

    def as_json(self) -> dict[str, Any]:
        """In plain values; what could not be told is null."""
        values: dict[str, Any] = {"name": self.name, **_as_json(self.all)}
        values |= {name: _or_none(getattr(self, name)) for name in ("spread_of_places", "spread_of_sizes")}
        values |= {name: _or_none(value) for name, value in vars(self.cost).items()}
        values["gain"] = None if self.gain is None else _estimate_as_json(self.gain)
        for key, groups in (("by_relation", self.by_relation), ("by_object", self.by_object)):
            values[key] = {name: _as_json(figures) for name, figures in groups.items()}
        return values


def verdicts(folder: EvaluationFolder, arm: str, number: int, rule: Rule) -> list[Verdict]:
    """On the pictures of a prompt, in the order of the seeds.

    Raises:
        See ``EvaluationFolder.found``.
    """
    size, found = folder.found(arm, number)
    return _judged(folder, number, rule, size, found)


def arm_results(
    folder: EvaluationFolder, arms: Sequence[str], rule: Rule, numbers: Sequence[int] | None = None
) -> list[ArmResult]:
    """The results of arms whose pictures were looked at.

    Args:
        numbers: of the prompts, from 0; all when not given.

    Raises:
        See ``EvaluationFolder.found``.
    """
    some = range(len(folder.suite.prompts)) if numbers is None else numbers
    prompts = [folder.suite.prompts[at] for at in some]
    read = {arm: [_read(folder, arm, at, rule) for at in some] for arm in arms}
    counts = {arm: [counts for counts, _ in of_prompts] for arm, of_prompts in read.items()}
    spreads = {arm: [one for _, spreads in of_prompts for one in spreads] for arm, of_prompts in read.items()}
    first = counts[arms[0]]
    return [_result(prompts, arm, counts[arm], spreads[arm], first, folder.cost(arm, some)) for arm in arms]


def prompt_counts(folder: EvaluationFolder, arm: str, number: int, rule: Rule) -> PromptCounts:
    """Of a prompt's pictures.

    Raises:
        See ``EvaluationFolder.found``.
    """
    return _read(folder, arm, number, rule)[0]


def _judged(
    folder: EvaluationFolder, number: int, rule: Rule, size: tuple[int, int], found: Sequence[Sequence[Found]]
) -> list[Verdict]:
    return [rule(folder.suite.prompts[number].relations, one, size) for one in found]


def _read(
    folder: EvaluationFolder, arm: str, number: int, rule: Rule
) -> tuple[PromptCounts, list[tuple[float, float]]]:
    """Counts of a prompt's pictures, and how each object's place and size differ between them."""
    size, found = folder.found(arm, number)
    judged = _judged(folder, number, rule, size, found)
    return PromptCounts.of(judged), [spread_over_seeds(name, found) for name in folder.suite.prompts[number].objects]


def _result(
    prompts: Sequence[ScenePrompt],
    arm: str,
    counts: Sequence[PromptCounts],
    spreads: Sequence[tuple[float, float]],
    first: Sequence[PromptCounts],
    cost: Cost,
) -> ArmResult:
    """Of an arm.

    Args:
        first: the counts of the first arm, with which this one's are compared; its own for that one.
    """
    by_relation, by_object = defaultdict(list), defaultdict(list)
    for prompt, one in zip(prompts, counts):
        for relation in {relation for _, relation, _ in prompt.relations}:
            by_relation[relation].append(one)
        for name in set(map(canonical, prompt.objects)):
            by_object[name].append(one)
    gain = None
    if first is not counts:
        theirs, ours = ([one.correct for one in of] for of in (first, counts))
        gain = difference(theirs, ours, [one.pictures for one in counts])
    places, sizes = zip(*spreads)
    return ArmResult(
        arm,
        figures(counts),
        {one.value: figures(by_relation[one]) for one in (*Relation, *Place) if one in by_relation},
        {name: figures(of_name) for name, of_name in sorted(by_object.items())},
        gain,
        _mean(places),
        _mean(sizes),
        cost,
    )


def _mean(values: Iterable[float]) -> float:
    """Of those that are numbers; nan where none is."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


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


def _as_json(figures: Figures) -> dict[str, Any]:
    named = {name: getattr(figures, name) for name in ("oa", "visor_cond", "visor_uncond", "score")}
    named |= {f"visor_{n}": one for n, one in enumerate(figures.visor_n, 1)}
    return {"pictures": figures.pictures, **{name: _estimate_as_json(one) for name, one in named.items()}}


def _estimate_as_json(one: Estimate) -> dict[str, float | None]:
    return {key: _or_none(value) for key, value in vars(one).items()}


def _or_none(value: float) -> float | None:
    """JSON has no nan."""
    return None if math.isnan(value) else value
