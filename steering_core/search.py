"""Finds many phrases in one text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


def occurrences(text: str, phrases: Iterable[str]) -> dict[str, list[int]]:
    """Where each phrase begins in a text, in ascending order, overlaps included.

    One pass finds all of them (Aho and Corasick 1975), so that time grows with the length of the text and of the
    phrases, and not with their product.

    Args:
        phrases: none of them empty.
    """
    found: dict[str, list[int]] = {phrase: [] for phrase in phrases}
    # A state is the longest beginning of a phrase that the letters read so far end in. Every list has a row a state.
    steps: list[dict[str, int]] = [{}]
    ends: list[str | None] = [None]
    for phrase in found:
        state = 0
        for letter in phrase:
            if letter not in steps[state]:
                steps[state][letter] = len(steps)
                steps.append({})
                ends.append(None)
            state = steps[state][letter]
        ends[state] = phrase
    shorter = _shorter_states(steps)
    #: The longest shorter state in which a phrase ends.
    also = [0] * len(steps)
    for state in _breadth_first(steps):
        also[state] = shorter[state] if ends[shorter[state]] is not None else also[shorter[state]]
    state = 0
    for position, letter in enumerate(text, 1):
        state = _step(steps, shorter, state, letter)
        ending = state
        while ending:
            ended = ends[ending]
            if ended is not None:
                found[ended].append(position - len(ended))
            ending = also[ending]
    return found


def _step(steps: list[dict[str, int]], shorter: list[int], state: int, letter: str) -> int:
    while state and letter not in steps[state]:
        state = shorter[state]
    return steps[state].get(letter, 0)


def _shorter_states(steps: list[dict[str, int]]) -> list[int]:
    """For each state the next shorter one that the same letters end in."""
    shorter = [0] * len(steps)
    for state in _breadth_first(steps):
        for letter, following in steps[state].items():
            shorter[following] = _step(steps, shorter, shorter[state], letter) if state else 0
    return shorter


def _breadth_first(steps: list[dict[str, int]]) -> Iterable[int]:
    waiting = deque([0])
    while waiting:
        state = waiting.popleft()
        waiting.extend(steps[state].values())
        yield state
