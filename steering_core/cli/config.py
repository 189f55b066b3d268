"""A file of options, in place of those on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from ..wording import brief, one_line

#: Of the file, in bytes: it holds a line an option.
_LARGEST_CONFIG = 2**16
_SWITCH = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}


class ReadConfig(argparse.Action):
    """Reads options from a YAML file, as if they stood on the command line."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Parse what the file says into the namespace."""
        try:
            content = read_config(Path(values))
        except (OSError, ValueError) as error:
            parser.error(f"argument --config: {one_line(error)}")
        arguments: list[str] = []
        for name, value in content.items():
            flag = name.replace("_", "-")
            # Of argparse an unambiguous beginning would do, help and this very option among what it might mean.
            action = None if flag.startswith("no-") else parser._option_string_actions.get(f"--{flag}")
            if action is None:
                parser.error(f"argument --config: {values}: there is no option {brief(name)}")
            if flag in ("config", "help"):
                parser.error(f"argument --config: {values}: {flag} is for the command line alone")
            if isinstance(parser.get_default(flag.replace("-", "_")), bool):
                switched = _SWITCH.get(str(value).lower())
                if switched is None:
                    parser.error(f"argument --config: {values}: {flag}: true or false was expected, not {brief(value)}")
                arguments.append(f"--{flag}" if switched else f"--no-{flag}")
            elif isinstance(value, list):
                if action.nargs is None:
                    parser.error(f"argument --config: {values}: {flag}: one value was expected, not {brief(value)}")
                arguments += [f"--{flag}", *value]
            else:
                arguments.append(f"--{flag}={value}")
        parser.parse_args(arguments, namespace)


def read_config(file: Path) -> dict[str, str | list[str]]:
    """Options and their values, each as it stands in a YAML file of lines like ``epochs: 50`` or ``data: [a, b]``.

    Raises:
        ValueError: the file is larger than such a file, no YAML, or has something else in it; names it.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        content = opened.read(_LARGEST_CONFIG + 1)
    if len(content) > _LARGEST_CONFIG:
        raise ValueError(f"{file} is larger than the {_LARGEST_CONFIG} bytes that a file of options may have.")
    try:
        # Everything as text: what a value is, the option says. So no tag is followed either.
        values = yaml.load(content, yaml.BaseLoader)
    except RecursionError:
        raise ValueError(f"{file} cannot be read: it is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {one_line(error)}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{file}: lines like 'epochs: 50' were expected.")
    for name, value in values.items():
        for part in value if isinstance(value, list) else [value]:
            # In a list, what begins with one dash would be taken for an option as well, such as -h.
            dashes = "-" if isinstance(value, list) else "--"
            if not isinstance(name, str) or not isinstance(part, str) or not part or part.startswith(dashes):
                raise ValueError(
                    f"{file}: {brief(name)}: a value or a list of values was expected, not {brief(value)}."
                )
    return values
