"""Damage, drawn from a seeded generator: of bytes, of JSON values, of words."""

from __future__ import annotations

import copy
import random
from typing import Any

ODD_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e308, float("nan"),
               float("inf"), -float("inf"))  # fmt: skip
ODD_TEXTS = ("", " ", "\0", "\n", "a\nb", "..", "../../etc/passwd", "/etc/passwd", "NaN", "null", "x" * 5000, "\ud800",
             "e\u0301" * 40, "\N{GIRAFFE FACE}", "<img src=x onerror=alert(1)>", "{}", "%s%n", "-1", "--out",
             "__class__")  # fmt: skip

_WORDS = """a an the dog cat teddy bear giraffe airplane it them her and or , . ! ? ; : ( ) [ ] { } < > \\( \\) above
    below left right of to the next near between in on at upper lower corner side hand not over under which that is
    are with photo group pair BREAK :1.2) (( )) embedding:x <lora:a:1> left-hand above-left one's st. dr. 12 1,000 —
    | & + looking facing image picture years sky all very far directly NEWLINE""".split()  # noqa: SIM905
_LETTERS = ("\0", "\ud800", "\udfff", "e\u0301", "\u200b", "\u202e", "\N{GIRAFFE FACE}", "ﬀ", "İ", "\u3002", "'", "’",
            "-", "_", ".", ":", "\\", "0", "A", "left", "of")  # fmt: skip


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """One to three of: bits flipped, a part cut, doubled, zeroed or replaced."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(changed) + 1)
        length = min(len(changed) - start, rng.choice((1, 1, 2, 4, 8, 64, len(changed))))
        end = start + length
        how = rng.randrange(5)
        if how == 0 and length:
            changed[start] ^= 1 << rng.randrange(8)
        elif how == 1:
            del changed[start:end]
        elif how == 2:
            changed[start:start] = changed[start:end]
        elif how == 3:
            changed[start:end] = bytes(length)
        else:
            changed[start:end] = rng.randbytes(length)
    return bytes(changed)


def damaged_value(rng: random.Random, value: Any) -> Any:
    """A copy of a JSON value with one to three of its parts taken away, doubled, or put in another's place."""
    changed = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        if not isinstance(changed, (dict, list)) or rng.random() < 0.02:
            return _odd_value(rng)
        places = list(_places(changed))
        if not places:
            return changed
        parent, key = rng.choice(places)
        how = rng.randrange(4)
        if how == 0:
            del parent[key]
        elif how == 1 and isinstance(parent, dict):
            parent[rng.choice(ODD_TEXTS)] = parent[key]
        elif how == 1:
            parent.insert(key, copy.deepcopy(parent[key]))
        elif how == 2:
            parent[key] = copy.deepcopy(rng.choice([other[place] for other, place in places]))
        else:
            parent[key] = _odd_value(rng)
    return changed


def odd_text(rng: random.Random) -> str:
    """Words of a prompt and of its markup, in no order, with letters between them that are hardly any."""
    length = rng.choice((1, 3, 10, 40))
    words = [rng.choice(_WORDS if rng.random() < 0.85 else _LETTERS) for _ in range(length)]
    text = rng.choice(("", " ", " ", " ")).join(words).replace("NEWLINE", "\n" * rng.randint(1, 2))
    return text * rng.choice((1, 1, 1, 5))


def _odd_value(rng: random.Random) -> Any:
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice(ODD_NUMBERS)
    if kind == 1:
        return rng.choice(ODD_TEXTS)
    if kind == 2:
        return rng.choice((None, True, False))
    if kind == 3:
        return rng.choice(([], {}, [[]], {"": []}, [None] * 5, list(ODD_NUMBERS[:3]), {"id": {}}))
    deep: Any = []
    for _ in range(rng.choice((3, 100))):
        deep = [deep]
    return deep


def _places(value: Any) -> Any:
    """Every part that can be changed: what holds it, and where."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])
