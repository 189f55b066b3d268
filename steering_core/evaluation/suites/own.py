"""Prompts of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...files.described import described, parse_json
from ...parser import parse
from ...relations.place import Place
from ...relations.relation import Relation
from ...wording import brief, unencodable
from .prompt_files import suite_of_file
from .suite import ScenePrompt, Suite, stated

#: What the name of a file of JSON lines ends in.
_OF_JSON = (".jsonl", ".json")


@dataclass(frozen=True)
class _Line:
    """A line of JSON: a prompt, and its relations where they are not to be read from it."""

    prompt: str
    relations: tuple[tuple[str, Relation | Place, str | None], ...] | None = None


def own_suite(file: Path, seeds: tuple[int, ...]) -> Suite:
    """The prompts of a text file, one a line, or of JSON lines, whose file's name ends in ``.jsonl`` or ``.json``.

    A line of JSON is an object with ``prompt``, and with ``relations`` where these are not to be read from it: a list
    of subject, relation and object, such as ``["dog", "left_of", "cat"]``, or ``["dog", "at_left", null]``.

    Raises:
        ValueError, OSError: as ``suite_of_file``; a line states no relation, or is one of JSON in a file of another
            name.
    """
    read = _from_json if file.suffix.lower() in _OF_JSON else _from_text
    return suite_of_file(file, read, file.stem, seeds)


def _from_text(line: str, source: str) -> ScenePrompt:
    if _is_entry(line):
        raise ValueError(
            f"{source}: a prompt in words was expected, not {brief(line)}. Give a file of JSON lines a name that ends "
            f"in {' or '.join(_OF_JSON)}."
        )
    return _parsed(line, source)


def _is_entry(line: str) -> bool:
    """Whether a line of text is one of JSON; a prompt may begin with a brace, too, as ``{a|b}`` does."""
    try:
        value = parse_json(line, "a line")
    except ValueError:
        return False
    return isinstance(value, dict) and "prompt" in value


def _parsed(line: str, source: str) -> ScenePrompt:
    scene = parse(line)
    if not scene.relations:
        raise ValueError(f"{source}: a prompt with a spatial relation was expected, not {brief(line)}.")
    names = [span.text for span in scene.objects]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{source}: objects with names of their own were expected, and {twice!r} is two of them.")
    return ScenePrompt(tuple((one.subject.text, one.relation, one.object_text) for one in scene.relations), line)


def _from_json(line: str, source: str) -> ScenePrompt:
    entry = described(_Line, parse_json(line, source), source, strict=False)
    if complaint := unencodable(entry.prompt):
        raise ValueError(f"{source}: {complaint}")
    if entry.relations is None:
        return _parsed(entry.prompt, source)
    if not entry.relations or not entry.prompt.strip():
        raise ValueError(f"{source}: a prompt and one or more relations were expected, not {brief(line)}.")
    return stated(entry.relations, entry.prompt, source)
