"""Results of an evaluation: for each arm, in all, by relation and by object."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..detection.boxes import Found
from ..detection.names import canonical
from ..relations.place import Place
from ..relations.relation import Relation
from .cost import Cost
from .figures import Figures, PromptCounts, figures
from .folder import EvaluationFolder
from .rules import Rule, Verdict
from .statistics import Estimate, difference, null_for_nan
from .suites import ScenePrompt
from .variety import spread_over_seeds


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
        values: dict[str, Any] = {"name": self.name, **self.all.as_json()}
        values |= {name: null_for_nan(getattr(self, name)) for name in ("spread_of_places", "spread_of_sizes")}
        values |= {name: null_for_nan(value) for name, value in vars(self.cost).items()}
        values["gain"] = None if self.gain is None else self.gain.as_json()
        for key, groups in (("by_relation", self.by_relation), ("by_object", self.by_object)):
            values[key] = {name: of_group.as_json() for name, of_group in groups.items()}
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
