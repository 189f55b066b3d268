"""Train the parser's tagger on prompts in which noun phrases and verbs are marked.

python -m tools.train_tagger            writes steering_core/parser/tagger.json
python -m tools.train_tagger --check    trains on four fifths of the prompts and tells how it does on the others
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from steering_core.files.whole import save_text
from steering_core.parser.sentences import split_into_sentences, written
from steering_core.parser.tagger import (
    BEGINS,
    GOES_ON,
    OTHER,
    TAGS,
    VERB,
    WEIGHTS_FILE,
    best_tag,
    features,
    tagged,
)
from tools.command import command_line

MARKED = Path(__file__).with_name("marked_prompts.txt")
EPOCHS = 8
SEED = 0
#: Features that occur less often say nothing of other prompts.
LEAST_OFTEN = 2
#: Weights are rounded to this share of the largest.
ROUNDED = 0.02


class Example(NamedTuple):
    """A sentence, and the tag of each of its words."""

    words: Sequence[str]
    tags: Sequence[str]


def main() -> None:
    """Train, and write or tell."""
    parser = command_line(__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    prompts = [list(examples_of(line)) for line in MARKED.read_text(encoding="utf-8").splitlines()]
    if options.check:
        right, of, known = accuracy(prompts)
        print(f"{right} of {of} tags right ({right / of:.1%}), by {known} features")
    else:
        save_text(trained_weights([example for prompt in prompts for example in prompt]), WEIGHTS_FILE)


def accuracy(prompts: Sequence[Sequence[Example]]) -> tuple[int, int, int]:
    """Of every fifth prompt the right tags and all, by weights that were trained on the others; and their features."""
    weights = json.loads(
        trained_weights([example for at, prompt in enumerate(prompts) if at % 5 for example in prompt])
    )
    pairs = [
        pair
        for prompt in prompts[::5]
        for example in prompt
        for pair in zip(example.tags, tagged(example.words, weights))
    ]
    return sum(tag == read for tag, read in pairs), len(pairs), len(weights)


def examples_of(line: str) -> Iterator[Example]:
    """The sentences of a prompt: ``{…}`` holds a noun phrase, ``~`` stands before a verb, `` ¶ `` is a line break."""
    prompt, starts, inside, verbs, within = "", set[int](), set[int](), set[int](), False
    for sign in line.replace(" ¶ ", "\n"):
        at = len(prompt)
        if sign in "{}":
            within = sign == "{"
            starts |= {at} if within else set()
        elif sign == "~":
            verbs.add(at)
        else:
            inside |= {at} if within else set()
            prompt += sign
    for words in split_into_sentences(prompt):
        tags, last = list[str](), 0
        for word in words:
            same = tags[-1:] in ([BEGINS], [GOES_ON]) and starts.isdisjoint(range(last, word.start + 1))
            if word.start in inside and same:
                tags.append(GOES_ON)
            elif word.start in inside and word.text != ",":
                tags.append(BEGINS)
            else:
                tags.append(VERB if word.start in verbs else OTHER)
            last = word.end
        yield Example(written(prompt, words), tags)


def trained_weights(examples: Sequence[Example]) -> str:
    """Averaged weights, as JSON. Tags before a word are as guessed, not as the tagger joins them then."""
    known = _often(examples)
    weights: dict[str, dict[str, int]] = {feature: {} for feature in known}
    totals, changed = defaultdict[tuple[str, str], float](float), defaultdict[tuple[str, str], int](int)
    at = 0

    def change(feature: str, tag: str, by: int) -> None:
        now = weights[feature].get(tag, 0)
        totals[feature, tag] += (at - changed[feature, tag]) * now
        changed[feature, tag] = at
        weights[feature][tag] = now + by

    shuffled = list(examples)
    order = random.Random(SEED)
    for _ in range(EPOCHS):
        order.shuffle(shuffled)
        for words, tags in shuffled:
            before = ("", "")
            for index, tag in enumerate(tags):
                at += 1
                found = [feature for feature in features(words, index, before) if feature in known]
                guess = best_tag(found, weights)
                for feature in found if guess != tag else ():
                    change(feature, tag, 1)
                    change(feature, guess, -1)
                before = (guess, before[0])
    return _as_json({
        feature: {tag: totals[feature, tag] + (at - changed[feature, tag]) * now for tag, now in of_tag.items()}
        for feature, of_tag in weights.items()
    })  # fmt: skip


def _often(examples: Sequence[Example]) -> set[str]:
    """Features that occur ``LEAST_OFTEN`` at least, where all tags before them are right."""
    counted = Counter[str]()
    for words, tags in examples:
        padded = ["", "", *tags]
        for index in range(len(words)):
            counted.update(features(words, index, (padded[index + 1], padded[index])))
    return {feature for feature, count in counted.items() if count >= LEAST_OFTEN}


def _as_json(weights: dict[str, dict[str, float]]) -> str:
    unit = ROUNDED * max(abs(weight) for of_tag in weights.values() for weight in of_tag.values())
    rounded = {
        feature: {tag: weight for tag in TAGS if (weight := round(weights[feature].get(tag, 0) / unit))}
        for feature in sorted(weights)
    }
    kept = {feature: of_tag for feature, of_tag in rounded.items() if of_tag}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    main()
