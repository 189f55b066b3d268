"""What a suite is made of."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...object_names import find_phrase
from ...relations.place import Place
from ...relations.relation import CARDINAL_RELATIONS, Relation
from ...relations.scene import Scene
from ...relations.statement import Span, SpatialRelation, check_object, ends
from ...relations.wording import with_article
from ...wording import brief

#: (subject, relation, object), the objects by their names; of a place in the picture no object.
Triplet = tuple[str, Relation | Place, str | None]


@dataclass(frozen=True)
class ScenePrompt:
    """A prompt and what it asks for.

    Attributes:
        relations: in the order of the text.
        wording: the text, where it is given and not to be composed.

    Raises:
        ValueError: a relation lacks its object, or a place has one.
    """

    relations: tuple[Triplet, ...]
    wording: str = ""

    def __post_init__(self) -> None:
        for _, relation, object in self.relations:
            check_object(relation, object)

    @property
    def text(self) -> str:
        """As it was given; else such as "a photo of a dog above a cat to the left of a car and a bus below a bird".

        A relation whose subject is the object of the one before goes on with its chain, and so does the place of one
        of them: "a dog above a cat on the left".
        """
        if self.wording:
            return self.wording
        words, last = "a photo of", None
        for subject, relation, object in self.relations:
            if subject != last:
                words += f"{' and' if last else ''} {with_article(subject)}"
            words += f" {relation.phrase}" + (f" {with_article(object)}" if object else "")
            last = object or subject
        return words

    @property
    def scene(self) -> Scene:
        """The relations with the places of their objects in the text.

        Raises:
            ValueError: the text does not have an object's name.
        """
        spans = _placed(self.text, self.objects)
        return Scene(
            self.text,
            tuple(
                SpatialRelation(spans[a], relation, None if b is None else spans[b])
                for a, relation, b in self.relations
            ),
        )

    @property
    def objects(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(dict.fromkeys(name for subject, _, object in self.relations for name in ends(subject, object)))


def _placed(text: str, names: Iterable[str]) -> dict[str, Span]:
    """Where each name stands in a text; one that is a part of another does not stand in it.

    Raises:
        ValueError: the text does not have a name.
    """
    spans: dict[str, Span] = {}
    for name in sorted(names, key=len, reverse=True):
        places = (find_phrase(text, name, occurrence) for occurrence in itertools.count())
        taken = [(span.start, span.end) for span in spans.values()]
        spans[name] = next(
            one for one in places if not any(one.start < end and start < one.end for start, end in taken)
        )
    return spans


def stated(relations: Sequence[Triplet], wording: str, source: str) -> ScenePrompt:
    """What a line of a file asks for.

    Args:
        relations: that it states.
        wording: its prompt.
        source: the line, for errors.

    Raises:
        ValueError: a relation is one of an object to itself, or lacks its object, or the prompt does not have a name.
    """
    for subject, relation, object in relations:
        if subject == object:
            same = f"{subject} {relation.value} {object}"
            raise ValueError(f"{source}: relations between two objects were expected, not {brief(same)}.")
    try:
        prompt = ScenePrompt(tuple(relations), wording)
        prompt.scene  # noqa: B018, asked for its error
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    return prompt


@dataclass(frozen=True)
class Suite:
    """Prompts, and the seeds that each is drawn with.

    Attributes:
        name: for tables and file names.
        prompts: in a fixed order.
        seeds: the same for every prompt.

    Raises:
        ValueError: there is no prompt, or a text stands there twice.
    """

    name: str
    prompts: tuple[ScenePrompt, ...]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        counts = Counter(prompt.text for prompt in self.prompts)
        if not counts:
            raise ValueError(f"{self.name}: there is no prompt.")
        ((text, count),) = counts.most_common(1)
        if count > 1:
            raise ValueError(f"{self.name}: prompts that all differ were expected, found {text!r} {count} times.")


def chained(names: Sequence[str], chains: Iterable[int], relations: Iterable[Relation]) -> tuple[Triplet, ...]:
    """Relations between neighbours in chains: (3,) is "A … B … C", (2, 3) is "A … B and C … D … E".

    Args:
        names: of all chains, one after the other.
        relations: one for each pair.
    """
    ends = list(itertools.accumulate(chains))
    starts = [0, *ends]
    pairs = [pair for start, end in zip(starts, ends) for pair in itertools.pairwise(names[start:end])]
    return tuple((subject, relation, object) for (subject, object), relation in zip(pairs, relations))


def evenly(prompts: Sequence[ScenePrompt], order: Sequence[int], count: int) -> tuple[ScenePrompt, ...]:
    """So many prompts of one relation each, the four relations in turn.

    Args:
        order: a permutation of the prompts, by which those of each relation are taken.

    Raises:
        ValueError: there are not so many.
    """
    decks = [[prompts[at] for at in order if prompts[at].relations[0][1] is wanted] for wanted in CARDINAL_RELATIONS]
    dealt = [prompt for hand in itertools.zip_longest(*decks) for prompt in hand if prompt is not None]
    if count > len(dealt):
        raise ValueError(f"There are {len(dealt)} prompts; {count} were asked for.")
    return tuple(dealt[:count])
