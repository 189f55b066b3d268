"""``main``: runs a command, and tells its errors on one line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from safetensors import SafetensorError

from ..out_of_memory import is_out_of_memory
from ..steering import SteeringError
from .classifier import add_classifier_commands
from .demo import add_demo_command
from .evaluate import add_evaluate_command
from .generate import add_generate_command
from .miniature import add_miniature_commands
from .parse import add_parse_command
from .record import add_record_command
from .train import add_train_command
from .verify import add_verify_command

#: Modules that the command line's extras in pyproject.toml bring.
_EXTRAS = ("accelerate", "diffusers", "matplotlib", "tqdm", "yaml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: of the command line; those of the process when not given.

    Returns:
        Exit status: 0, or 2 after an error, which is told on one line of stderr.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()  # a full disk is an error of ours as well
        return 0
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise  # no package is missing: something is broken
        message = f'{error.name} is not installed. In the folder of the clone: pip install -e ".[cli]"'
    except (ValueError, OSError, SteeringError, SafetensorError) as error:
        message = str(error)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        cause = str(error) or type(error).__name__
        message = f"the device's memory does not suffice, fewer seeds or a smaller model need less: {cause}"
    print(f"steer: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


#: What begins with a dash and is a number all the same; argparse knows no exponents.
_NEGATIVE_NUMBER = re.compile(r"-(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|inf|nan)$", re.IGNORECASE)


class _Parser(argparse.ArgumentParser):
    """Tells errors on one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = _NEGATIVE_NUMBER

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="steer", description="Spatial relations in a prompt come true while the image is sampled.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_demo_command(commands)
    add_evaluate_command(commands)
    add_generate_command(commands)
    add_parse_command(commands)
    add_record_command(commands)
    add_train_command(commands)
    add_verify_command(commands)
    add_classifier_commands(commands)
    add_miniature_commands(commands)
    return parser
