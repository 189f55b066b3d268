"""Relations put into English."""

from __future__ import annotations


def clause(subject: str, phrase: str, object: str | None) -> str:
    """What is said of a subject, and of an object if it needs one: "dog on the left", "dog above cat"."""
    return " ".join((subject, phrase) if object is None else (subject, phrase, object))


def with_article(name: str) -> str:
    """ "a dog", "an airplane"."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
