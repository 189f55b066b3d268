"""``steer classifier``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..classifier import RelationClassifier, UnknownNetworkError, load_classifier, save_classifier
from ..layers import PUBLISHED_NETWORKS
from .options import check_place, naming, printable


def add_classifier_commands(commands: argparse._SubParsersAction) -> None:
    """``steer classifier``."""
    classifier = commands.add_parser("classifier", help="look at relation classifiers, and convert released ones")
    actions = classifier.add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("show", help="what a classifier reads and knows")
    show.add_argument("file", type=Path, help="a .safetensors file of ours, or a released checkpoint")
    convert = actions.add_parser("convert", help="write a released checkpoint of Learn-to-Steer as safetensors")
    convert.add_argument("file", type=Path, help="the released checkpoint")
    convert.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors file to write")
    for action in (show, convert):
        action.add_argument(
            "--network",
            choices=tuple(PUBLISHED_NETWORKS),
            help="what a released checkpoint was made for (default: what it says itself)",
        )
    show.set_defaults(run=_show)
    convert.set_defaults(run=_convert)


def _show(options: argparse.Namespace) -> None:
    classifier = _loaded(options)
    print(f"relations: {', '.join(classifier.relations)}")
    print(f"reads: {classifier.layout}")
    steps = ", ".join(map(str, classifier.trained_steps))
    print(f"trained at steps {steps} of {classifier.settings.steps}, 0 the noisiest")


def _convert(options: argparse.Namespace) -> None:
    if options.out.suffix != ".safetensors":
        raise ValueError(f"{options.out}: a name that ends in .safetensors was expected.")
    check_place(options.out)
    save_classifier(_loaded(options), options.out)
    print(printable(options.out))


def _loaded(options: argparse.Namespace) -> RelationClassifier:
    """The classifier of the file.

    Raises:
        ValueError, OSError: as ``load_classifier``; names ``--network`` where that is what is missing.
    """
    with naming("--network", UnknownNetworkError):
        return load_classifier(options.file, options.network)
