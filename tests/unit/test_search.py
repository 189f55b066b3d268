from __future__ import annotations

import random

from steering_core.search import occurrences


def test_every_phrase_is_found_where_it_begins():
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(rng.choices("ab", k=rng.randrange(30)))
        phrases = {"".join(rng.choices("ab", k=rng.randint(1, 5))) for _ in range(rng.randrange(8))}
        assert occurrences(text, phrases) == {
            phrase: [start for start in range(len(text)) if text.startswith(phrase, start)] for phrase in phrases
        }
