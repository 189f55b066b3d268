"""What a file says, as JSON has it, to the dataclasses that describe it: every type checked, nothing guessed.

A dataclass's fields say what is expected: ``bool``, ``int``, ``float``, ``str``, an enum, another dataclass,
``tuple[X, ...]``, ``tuple[X, Y]``, ``dict[str, X]``, a union of these, None among them, or ``Any``. What the values
may be is for its ``__post_init__`` to say, by a ValueError.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from ..wording import brief, one_line

T = TypeVar("T")

#: Of 64 bits, with or without a sign: seeds are without one.
_LEAST_WHOLE, _LARGEST_WHOLE = -(2**63), 2**64 - 1


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ValueError: it is no JSON file; names it.
        OSError: it cannot be read.
    """
    return parse_json(file.read_bytes(), str(file))


def parse_json(text: str | bytes, source: str) -> Any:
    """The content of a JSON text, in which NaN and Infinity are no numbers.

    Args:
        source: what the text is, to begin an error with.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"{source} is no JSON that can be read: it is nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{source} is no JSON that can be read: {one_line(error)}") from error


def described(kind: type[T], value: Any, source: str, strict: bool = True) -> T:
    """A dataclass from plain values.

    Args:
        source: what the values were read from, to begin an error with.
        strict: every field is to be given, and nothing else; otherwise defaults stand in, and more is passed over.

    Raises:
        ValueError: names the source, the entry, what was expected and what is there, on one line.
    """
    reader: _Reader = _reader(kind, strict)  # type: ignore[arg-type]  # a class can be hashed
    try:
        return reader(value)
    except _UnfitError as unfit:
        raise ValueError(f"{source}: {''.join(unfit.path).lstrip('.') or 'its content'}: {unfit}") from None


class _UnfitError(Exception):
    """A value is not what its place asks for; ``path`` leads there, outermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []

    def within(self, step: str) -> _UnfitError:
        self.path.insert(0, step)
        return self


_Reader = Callable[[Any], Any]


@cache
def _reader(kind: Any, strict: bool) -> _Reader:
    if kind in _PLAIN:
        return _PLAIN[kind]
    parts = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        if NoneType in parts:
            given: Any = Union[tuple(part for part in parts if part is not NoneType)]  # noqa: UP007, not known before
            return _optional(_reader(given, strict))
        return _union([_reader(part, strict) for part in parts], _names_of(parts))
    if get_origin(kind) is tuple:
        several = parts[-1] is Ellipsis
        return _tuple([_reader(part, strict) for part in parts if part is not Ellipsis], several)
    if get_origin(kind) is dict:
        return _dict(_reader(parts[1], strict))
    if is_dataclass(kind):
        return _dataclass(kind, strict)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    raise TypeError(f"{kind} is none of the types that can be described.")


def _names_of(kinds: tuple[Any, ...]) -> str:
    """Of several kinds what a person is to write for one of them."""
    if all(issubclass(kind, Enum) for kind in kinds):
        return f"one of {', '.join(str(member.value) for kind in kinds for member in kind)}"
    return " or ".join(kind.__name__ for kind in kinds)


def _expected(what: str, value: Any) -> NoReturn:
    raise _UnfitError(f"{what} was expected, not {brief(value)}.")


def _boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else _expected("true or false", value)


def _whole_number(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and _LEAST_WHOLE <= value <= _LARGEST_WHOLE:
        return value
    _expected("a whole number of at most 64 bits", value)


def _number(value: Any) -> float:
    # NaN is not at most anything, and a whole number may be too large for a float.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value)
    _expected("a finite number", value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _expected("text", value)


_PLAIN: dict[Any, _Reader] = {
    Any: lambda value: value,
    bool: _boolean,
    int: _whole_number,
    float: _number,
    str: _text,
}


def _union(readers: list[_Reader], names: str) -> _Reader:
    def read(value: Any) -> Any:
        for reader in readers:
            try:
                return reader(value)
            except _UnfitError:
                continue
        _expected(names, value)

    return read


def _optional(reader: _Reader) -> _Reader:
    return lambda value: None if value is None else reader(value)


def _tuple(readers: list[_Reader], several: bool) -> _Reader:
    def read(value: Any) -> tuple:
        if not isinstance(value, (list, tuple)) or (not several and len(value) != len(readers)):
            _expected("a list" if several else f"a list of {len(readers)}", value)
        each = readers * len(value) if several else readers
        place = 0
        try:
            done = []
            for place, item in enumerate(value):
                done.append(each[place](item))
            return tuple(done)
        except _UnfitError as unfit:
            raise unfit.within(f"[{place}]") from None

    return read


def _dict(reader: _Reader) -> _Reader:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            _expected("an object", value)
        key = None
        try:
            done = {}
            for key, item in value.items():
                done[_text(key)] = reader(item)
            return done
        except _UnfitError as unfit:
            raise unfit.within(f"[{brief(key)}]") from None

    return read


def _enum(kind: type[Enum]) -> _Reader:
    known = {member.value: member for member in kind}

    def read(value: Any) -> Enum:
        if isinstance(value, str) and value in known:
            return known[value]
        _expected(_names_of((kind,)), value)

    return read


def _dataclass(kind: Any, strict: bool) -> _Reader:
    types = get_type_hints(kind)
    readers = {field.name: _reader(types[field.name], strict) for field in fields(kind)}
    needed = {
        field.name
        for field in fields(kind)
        if strict or (field.default is MISSING and field.default_factory is MISSING)
    }

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            _expected(f"an object with {', '.join(readers)}", value)
        if missing := needed.difference(value):
            raise _UnfitError(f"{', '.join(sorted(missing))} was expected in it.")
        if strict and (unknown := set(value).difference(readers)):
            raise _UnfitError(f"only {', '.join(readers)} was expected in it, not {brief(sorted(map(str, unknown)))}.")
        given, name = {}, ""
        try:
            for name, reader in readers.items():
                if name in value:
                    given[name] = reader(value[name])
        except _UnfitError as unfit:
            raise unfit.within(f".{name}") from None
        try:
            return kind(**given)
        except ValueError as error:
            raise _UnfitError(one_line(error)) from None

    return read


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON.")
