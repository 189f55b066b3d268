"""Prompts and what a reader finds in each (a language model), as ``tests/unit/artists_prompts.txt`` has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from steering_core.parser.network import KINDS, KINDS_OF_TWO
from steering_core.relations.place import Place
from steering_core.relations.scene import Scene
from steering_core.relations.statement import Statement

#: Prompts that the parser was made by, those that only its thresholds were chosen by, and those that neither was.
LEARNED = Path(__file__).resolve().parents[1] / "tests" / "unit" / "artists_prompts.txt"
SINCE = LEARNED.with_name("artists_prompts_since.txt")
HELD_OUT = LEARNED.with_name("artists_prompts_held_out.txt")
#: Those that were written to mislead it, by which rules were mended.
TRAPS = LEARNED.with_name("artists_prompts_traps.txt")

#: By the names of kinds, what relates two said the other way round.
INVERSES = {kind.value: kind.inverse.value for kind in KINDS_OF_TWO}
#: What is held against facts: a statement of the parser, or another reader's fact.
Read = TypeVar("Read")


class Fact(NamedTuple):
    """What a reader finds: names that do for the subject and the object, and whether it must be read."""

    subjects: tuple[str, ...]
    kind: str
    objects: tuple[str, ...]
    optional: bool

    def is_said_by(self, read: Statement) -> bool:
        """Whether it is what was read; a relation says the same of both objects the other way round."""
        ways = [(read.subject, read.relation, read.object)]
        if read.object and not isinstance(read.relation, Place):
            ways.append((read.object, read.relation.inverse, read.subject))
        return any(
            kind == self.kind
            and is_one_of(subject.text, self.subjects)
            and (is_one_of(thing.text, self.objects) if thing else not self.objects)
            for subject, kind, thing in ways
        )

    def says_the_same_as(self, other: Fact) -> bool:
        """Whether another reader's is the same, by some of the names."""
        return self._as_in(other) is not None

    def with_names_of(self, other: Fact) -> Fact:
        """Itself, also by the names of another that says the same."""
        same = self._as_in(other) or self
        subjects, objects = (
            tuple(dict.fromkeys(names)) for names in (self.subjects + same.subjects, self.objects + same.objects)
        )
        return self._replace(subjects=subjects, objects=objects)

    def _as_in(self, other: Fact) -> Fact | None:
        """The same by another's names; none where it says something else."""
        ways = [other]
        if other.kind in INVERSES:
            ways.append(Fact(other.objects, INVERSES[other.kind], other.subjects, other.optional))
        same = (
            one
            for one in ways
            if one.kind == self.kind and _are_one(self.subjects, one.subjects) and _are_one(self.objects, one.objects)
        )
        return next(same, None)

    def __str__(self) -> str:
        return f"{'|'.join(self.subjects)} {self.kind} {'|'.join(self.objects)}".strip()

    def follows_from(self, facts: Sequence[Fact]) -> bool:
        """Whether others say the places of both its objects: then it need not be read besides."""
        placed = [fact.subjects for fact in facts if fact.kind.startswith("at_")]
        return self.subjects in placed and self.objects in placed


def _are_one(some: Sequence[str], others: Sequence[str]) -> bool:
    return (
        some == others or any(is_one_of(name, others) for name in some) or any(is_one_of(one, some) for one in others)
    )


def is_one_of(text: str, names: Sequence[str]) -> bool:
    """Whether a phrase ends in a name: adjectives may precede it, and "_" stands for a blank."""
    return _plain(text).endswith(tuple(map(_plain, names)))


def _plain(text: str) -> str:
    return " " + " ".join(text.casefold().replace("_", " ").split())


def prompts_of(file: Path) -> Iterator[tuple[str, list[Fact]]]:
    """The prompts of a file and what is written under each."""
    lines = file.read_text(encoding="utf-8").splitlines()
    prompt, facts = "", list[Fact]()
    for line in (*(line for line in lines if line and not line.startswith("#")), ""):
        if line.startswith(" "):
            facts += map(_fact, line.split(";"))
            continue
        if prompt:
            yield prompt, facts
        prompt, facts = line.replace(" ¶ ", "\n"), []


def _fact(text: str) -> Fact:
    text, kinds = text.strip(), "|".join(kind.value for kind in KINDS)
    parts = re.fullmatch(rf"\(?([^()]+?) ({kinds})(?: ([^()]+))?\)?", text)
    if parts is None:
        raise ValueError(f'"{text}" is no fact. Expected was "subject kind" or "subject kind object".')
    subjects, kind, objects = parts.groups()
    return Fact(tuple(subjects.split("|")), kind, tuple(objects.split("|")) if objects else (), text.startswith("("))


@dataclass
class Score:
    """What was read rightly and wrongly, and what was missed."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def share_wrong(self) -> float:
        """Of the relations that were read; 0 where none was."""
        return _share_of(self.wrong, self.right)

    @property
    def share_missed(self) -> float:
        """Of the relations that a reader finds; 0 where there is none."""
        return _share_of(self.missed, self.right)

    @property
    def summary(self) -> str:
        """The figures."""
        return (
            f"{self.right} right, {len(self.wrong)} wrong ({self.share_wrong:.1%} of those read), {len(self.missed)} "
            f"missed ({self.share_missed:.1%} of those to read)"
        )

    def __str__(self) -> str:
        return "\n".join([
            self.summary,
            *(f"wrong: {line}" for line in self.wrong),
            *(f"missed: {line}" for line in self.missed),
        ])  # fmt: skip

    def add(self, read: Scene, facts: Sequence[Fact]) -> None:
        """Count what the parser read in a prompt where a reader finds some facts."""
        self._add(read.prompt, (*read.relations, *read.depth), facts, Fact.is_said_by)

    def add_reader(self, prompt: str, read: Sequence[Fact], facts: Sequence[Fact]) -> None:
        """Count what one reader is sure of in a prompt where another finds some facts."""
        self._add(prompt, needed_of(read), facts, Fact.says_the_same_as)

    def _add(
        self, prompt: str, read: Sequence[Read], facts: Sequence[Fact], are_one: Callable[[Fact, Read], bool]
    ) -> None:
        left, needed = list(facts), needed_of(facts)
        for stated in read:
            fact = next((fact for fact in left if are_one(fact, stated)), None)
            if not fact:
                self.wrong.append(f"{stated} <- {prompt!r}")
                continue
            left.remove(fact)
            self.right += fact in needed
        self.missed += [f"{fact} <- {prompt!r}" for fact in left if fact in needed]


def _share_of(these: Sequence[str], right: int) -> float:
    return len(these) / (right + len(these)) if these else 0.0


def needed_of(facts: Sequence[Fact]) -> list[Fact]:
    """Those that must be read: not bracketed, and no relation that the places of both objects give."""
    return [fact for fact in facts if not (fact.optional or fact.follows_from(facts))]
