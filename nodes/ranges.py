"""Numbers held to the ranges of their widgets: ComfyUI itself does not, where a number comes by a link."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

from comfy_api.latest import io


def in_ranges(execute: Callable[..., io.NodeOutput]) -> Callable[..., io.NodeOutput]:
    """A node's ``execute`` that refuses numbers beyond the ranges of its inputs, by a ``ValueError`` that names one."""

    signature = inspect.signature(execute)

    @wraps(execute)
    def checked(cls: type[io.ComfyNode], *args: Any, **named: Any) -> io.NodeOutput:
        values = {**signature.bind(cls, *args, **named).arguments, **named}
        if told := out_of_range(cls.define_schema().inputs, values):
            raise ValueError(told)
        return execute(cls, *args, **named)

    return checked


def out_of_range(inputs: Sequence[io.Input], values: Mapping[str, Any]) -> str:
    """What is wrong with the first number that is beyond its input's range, or is none; empty where all are within."""
    for one, value in with_values(inputs, values):
        if not isinstance(one, (io.Float.Input, io.Int.Input)) or value is None:
            continue
        if not isinstance(value, (int, float)) or not one.min <= value <= one.max:
            return f"{one.id} must be from {one.min} to {one.max}, not {value}."
    return ""


def with_values(inputs: Sequence[io.Input], values: Mapping[str, Any]) -> Iterator[tuple[io.Input, Any]]:
    """Each input with its value, those behind the choices made included; with none where it is not known."""
    for one in inputs:
        value = values.get(one.id)
        yield one, value
        if isinstance(one, io.DynamicCombo.Input) and value is not None:
            chosen = [option for option in one.options if option.key == value[one.id]]
            yield from (each for option in chosen for each in with_values(option.inputs, value))
