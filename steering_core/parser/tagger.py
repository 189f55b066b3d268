"""Which words of a sentence name things, and which are verbs: an averaged perceptron, from left to right.

M. Collins 2002, "Discriminative training methods for hidden Markov models", algorithm of figure 1 with the averaging
of section 2.2, but decoded greedily. It was trained on prompts that were written and marked for it
(``python -m tools.train_tagger``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from .verbs import INTRANSITIVES_OF_ONE, PARTICIPLES, PLURAL_VERBS, PLURAL_VERBS_OF_ONE, TRANSITIVES
from .words import ARTICLES, COUNTS, DETERMINERS, JOINTS, NOUNS_LIKE_VERBS, OWNERS

#: A word that begins a noun phrase, one that goes on with it, a verb, and any other.
BEGINS, GOES_ON, VERB, OTHER = TAGS = ("B", "I", "V", "O")
#: Weights of each feature for each tag.
WEIGHTS_FILE = Path(__file__).with_name("tagger.json")
Weights = Mapping[str, Mapping[str, float]]

#: Words that may be taken for none of the phrase: "several brightly painted boats".
_LONGEST_GAP = 3
_LONGEST_WORD = 40
_ENDINGS = ("ing", "ed", "es", "s")
#: Letters by which features tell what lists a word is on.
_LISTS = {
    "1": INTRANSITIVES_OF_ONE | PLURAL_VERBS_OF_ONE,
    "p": PLURAL_VERBS,
    "t": TRANSITIVES,
    "e": PARTICIPLES,
    "d": DETERMINERS,
    "j": JOINTS,
    "n": NOUNS_LIKE_VERBS,
}


def tags_of(words: Sequence[str]) -> list[str]:
    """One of ``TAGS`` for each word of a sentence.

    Args:
        words: as they are written, and a comma for any pause.
    """
    return tagged(words, _shipped())


def tagged(words: Sequence[str], weights: Weights) -> list[str]:
    """``tags_of``, by other weights."""
    tags: list[str] = []
    for index in range(len(words)):
        before = (tags[-1] if tags else "", tags[-2] if len(tags) > 1 else "")
        tag = best_tag(features(words, index, before), weights)
        if tag == VERB and _wants_noun(words, index, begun=before[0] == BEGINS):
            tags[-1], tag = BEGINS, GOES_ON
        tags.append(tag)
        if tags[-1] == GOES_ON:
            _join(tags)
    return tags


def best_tag(found: Sequence[str], weights: Weights) -> str:
    """The tag for which the weights of some features sum to the most."""
    scores = dict.fromkeys(TAGS, 0.0)
    for feature in found:
        for tag, weight in weights.get(feature, {}).items():
            scores[tag] += weight
    return max(TAGS, key=scores.__getitem__)


def features(words: Sequence[str], index: int, before: tuple[str, str]) -> list[str]:
    """What the tagger goes by at a word.

    Args:
        before: the tags of the word before and of the one before that.
    """
    low = _at(words, index)
    last, last_but_one, following, after_next = (_at(words, index + by) for by in (-1, -2, 1, 2))
    tag, earlier_tag = before
    return [
        "b",
        f"w {low}",
        f"s1 {low[-1:]}",
        f"s2 {low[-2:]}",
        f"s3 {low[-3:]}",
        f"s4 {low[-4:]}",
        f"c {_shape(words[index])} {tag}",
        f"t {tag}",
        f"tt {tag} {earlier_tag}",
        f"tw {tag} {low}",
        f"ts {tag} {low[-3:]}",
        f"p {last}",
        f"ps {last[-3:]}",
        f"pp {last_but_one}",
        f"pw {last} {low}",
        f"pt {tag} {last} {low[-2:]}",
        f"n {following}",
        f"ns {following[-3:]}",
        f"nn {after_next}",
        f"wn {low} {following}",
        f"sn {low[-3:]} {following[-2:]} {tag}",
        f"tn {tag} {following}",
        f"sp {low[-2:]} {tag} {following}",
        f"nnn {following} {after_next}",
        f"st {_stem(low)}",
        f"k {_kind(low)} {tag}",
        f"kn {_kind(low)} {_kind(following)} {tag}",
        f"kp {_kind(last)} {_kind(low)} {tag}",
    ]


def _at(words: Sequence[str], index: int) -> str:
    """A word in lower case, or its end if it is none; nothing beyond the sentence."""
    return words[index][-_LONGEST_WORD:].lower() if 0 <= index < len(words) else ""


def _wants_noun(words: Sequence[str], index: int, *, begun: bool) -> bool:
    """Whether no verb can follow on the word before: on "the" none, on "two" none that ends in "-s".

    Args:
        begun: that word begins a phrase; "her" need not: "behind her stands".
    """
    last = _at(words, index - 1)
    of_several = last in COUNTS and _at(words, index).endswith("s")
    return of_several or (last in ARTICLES and (begun or last not in OWNERS))


def _join(tags: list[str]) -> None:
    """What lies between a phrase's first word and the last one, which goes on with it, is a part of it too."""
    last = len(tags) - 2
    nearest = (at for at in range(last, max(-1, last - _LONGEST_GAP - 1), -1) if tags[at] in (BEGINS, GOES_ON))
    if (at := next(nearest, None)) is not None:
        tags[at + 1 :] = [GOES_ON] * (len(tags) - at - 1)


def _shape(word: str) -> str:
    """How a word is written."""
    if word.isdigit():
        return "d"
    if word.isupper() and len(word) > 1:
        return "U"
    owner = "'" if "'" in word or "\u2019" in word else ""
    return ("X" if word[:1].isupper() else "x") + ("-" if "-" in word else "") + owner


def _stem(word: str) -> str:
    """A word without the ending of a verb."""
    ending = next((ending for ending in _ENDINGS if word.endswith(ending)), "")
    stem = word.removesuffix(ending) if len(word) > len(ending) + 2 else word
    stem = stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem
    return stem.removesuffix("e")


@lru_cache(maxsize=4096)
def _kind(word: str) -> str:
    """On which lists a word is, and how it ends."""
    listed = "".join(letter for letter, words in _LISTS.items() if word in words)
    return listed + next((ending for ending in ("ing", "ed", "s") if word.endswith(ending)), "")


@cache
def _shipped() -> Weights:
    return json.loads(WEIGHTS_FILE.read_text(encoding="utf-8"))
