"""What prompts of ComfyUI state, where textual inversions ("embedding:NAME") stand among their words."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter

from ...parser import parse
from ...parser.kinds import qualifies
from ...relations.scene import Scene
from ...relations.statement import Span, SpatialRelation
from ...tokens import without_invisible

_EMBEDDING = re.compile(r"embedding:\S+")
#: Without the weight, bracket or comma behind it.
_NAME = re.compile(r"embedding:[^\s,:()]+")
#: What the parser takes for a thing, and no embedding's name is shorter than.
_THING = "vase"


def read_prompt(prompt: str) -> Scene:
    """The relations that a prompt states of things that it names in words: a textual inversion names none.

    A relation is left out where the embedding may be what it is of, and not a word beside it: in "a photo of
    embedding:rex left of a dog" no photo is left of the dog.
    """
    read = readable(prompt)
    scene = parse(read)
    shown = without_invisible(prompt)
    if _EMBEDDING.search(shown):
        scene = _of_words_alone(scene, shown)
    return replace(scene, written=prompt if read != prompt else "")


def readable(prompt: str) -> str:
    """A prompt with blanks in place of textual inversions, whose names are no words of it; what cannot be seen is cut
    out."""
    return _EMBEDDING.sub(lambda found: " " * len(found.group()), without_invisible(prompt))


def _of_words_alone(scene: Scene, prompt: str) -> Scene:
    """A scene without what is said of embeddings, where it is read otherwise when each stands for a thing.

    Args:
        scene: read with blanks in place of the embeddings.
        prompt: with the embeddings.
    """
    embeddings = _Spans(Span.of(prompt, *found.span()) for found in _NAME.finditer(prompt))
    of_things = parse(_NAME.sub(lambda found: _THING.ljust(len(found.group())), prompt)).relations
    phrases = _Spans(end for one in of_things for end in one.ends)

    def named_in(end: Span) -> Span | None:
        """The phrase in which words name a thing by themselves: "red" before an embedding names none."""
        phrase = phrases.before(end.start + 1)
        if phrase is None or end.end > phrase.end:
            return None
        goes_on = embeddings.meets(end.end, phrase.end)
        return None if goes_on and qualifies(end.text.split()[-1].lower()) else phrase

    same = {(one.relation, *map(named_in, one.ends)): one for one in scene.relations}
    left_out = [
        f"{_as_written(one, prompt, embeddings)} (an embedding names no object)"
        for one in of_things
        if (one.relation, *one.ends) not in same and any(embeddings.meets(end.start, end.end) for end in one.ends)
    ]
    if not left_out:
        return scene
    stated = {(one.relation, *one.ends) for one in of_things}
    kept = tuple(one for key, one in same.items() if key in stated)
    return replace(scene, relations=kept, left_out=tuple(left_out))


class _Spans:
    """Pieces of a prompt that do not overlap."""

    def __init__(self, spans: Iterable[Span]):
        self._spans = sorted(set(spans), key=attrgetter("start"))
        self._starts = [span.start for span in self._spans]

    def before(self, place: int) -> Span | None:
        """The last that begins before a place."""
        number = bisect_right(self._starts, place - 1)
        return self._spans[number - 1] if number else None

    def meets(self, start: int, end: int) -> bool:
        """Whether one shares a part of a range."""
        last = self.before(end)
        return last is not None and last.end > start


def _as_written(relation: SpatialRelation, prompt: str, embeddings: _Spans) -> SpatialRelation:
    """A relation in the words of the prompt, with all of the embedding that a phrase ends in."""
    ends = list[Span]()
    for span in relation.ends:
        last = embeddings.before(span.end)
        ends.append(Span.of(prompt, span.start, max(span.end, last.end if last else 0)))
    return replace(relation, subject=ends[0], object=ends[1] if len(ends) > 1 else None)
