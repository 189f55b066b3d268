"""What each node with numbers says of one beyond its widget's range, as it can come by a link."""

import inspect

from comfy_api.latest import io
from setting import report
from spatial_steering.nodes import NODE_CLASS_MAPPINGS


def ways_to(inputs):
    """Of each number among the inputs: itself, and the values that lead to it, given its own."""
    for one in inputs:
        if isinstance(one, (io.Float.Input, io.Int.Input)):
            yield one, lambda value, one=one: {one.id: value}
        for option in getattr(one, "options", None) or [] if isinstance(one, io.DynamicCombo.Input) else []:
            for number, path in ways_to(option.inputs):
                yield number, lambda value, one=one, key=option.key, path=path: {one.id: {one.id: key, **path(value)}}


def said(node, values):
    """By its ``execute``; nothing where it runs."""
    parameters = inspect.signature(node.execute).parameters.values()
    required = {one.name: None for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD}
    try:
        node.execute(**{**required, **values})
    except ValueError as error:
        return str(error)


result = {}
for name, node in NODE_CLASS_MAPPINGS.items():
    for number, path in ways_to(node.define_schema().inputs):
        beyond = [number.min - 1, number.max * 2 + 1, "many", float("nan")]
        told = [said(node, path(value)) for value in beyond]
        result[f"{name} {number.id}"] = [told, number.id, number.min, number.max]
report(result)
