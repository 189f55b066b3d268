"""``steer train``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..classifier import ClassifierSettings, TransformerSettings, save_classifier
from ..training.settings import TrainingSettings
from .config import ReadConfig
from .options import check_folder, naming, number, printable, text, whole

if TYPE_CHECKING:
    from ..training.dataset import Manifest

_Read = TypeVar("_Read")

#: Names of the parts of a finished training, in the folder of --out.
CLASSIFIER_FILE = "classifier.safetensors"
_DUAL, _TRUE_ONLY = "dual", "true_prompts_only"


def add_train_command(commands: argparse._SubParsersAction) -> None:
    """``steer train``."""
    train = commands.add_parser("train", help="train a relation classifier on recorded maps")
    train.add_argument(
        "--config",
        action=ReadConfig,
        metavar="FILE",
        help="YAML with options, named as here without the dashes; those after it on the command line win",
    )
    train.add_argument(
        "--data", type=Path, nargs="+", metavar="DIR", help="datasets of steer record to learn from, one or more"
    )
    train.add_argument("--validation", type=Path, metavar="DIR", help="dataset that decides when to stop")
    train.add_argument("--test", type=Path, metavar="DIR", help="dataset of the report (default: the validation's)")
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for classifier, log and report; a stopped training is continued"
    )
    train.add_argument(
        "--without",
        type=text,
        nargs="+",
        default=[],
        metavar="NAME",
        help="objects that it does not learn from, to see what it makes of unseen ones in the test",
    )
    train.add_argument(
        "--leakage-test",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also train on true prompts alone, and hold both against each other (default: %(default)s)",
    )
    _add_settings(train.add_argument_group("training"), TrainingSettings(), _TRAINING_HELP)
    _add_settings(train.add_argument_group("classifier"), ClassifierSettings(), _CLASSIFIER_HELP)
    for part in _PARTS:
        group = train.add_argument_group(f"transformer of the {part}")
        _add_settings(group, getattr(ClassifierSettings(), part), _TRANSFORMER_HELP, prefix=f"{part}_")
    train.set_defaults(run=_train)


_PARTS = ("extractor", "classifier")
_TRAINING_HELP = {
    "epochs": "at most so many",
    "batch": "examples a step",
    "rate": "learning rate of AdamW",
    "weight_decay": "of AdamW",
    "rate_factor": "what the rate is multiplied with on a plateau of the validation loss",
    "rate_patience": "epochs that make a plateau",
    "patience": "epochs without a lower validation loss that end the training",
    "augment": "also learn from mirrored maps and swapped objects",
    "seed": "of weights, order and dropout",
}
_CLASSIFIER_HELP = {
    "width": "of both transformers",
    "aggregation_heads": "of the attention that gathers an object's maps into one",
    "time_before": "where the extractor sees the time: every_layer, first_layer or none",
    "mean_maps": "take the mean of an object's maps in place of the extractor",
    "time_width": "of the time's embedding that the last part sees; 0 for none",
}
_TRANSFORMER_HELP = {
    "heads": "attention heads",
    "layers": "how many",
    "feed_forward": "width of the feed-forward part",
    "dropout": "share of values that are left out in training",
}


#: Of a setting, by its type; what it may be in its range is said by the dataclass.
_READERS: dict[type, Callable[[str], Any]] = {int: whole(0, 2**32 - 1), float: number()}


def _add_settings(group: argparse._ArgumentGroup, defaults: Any, helps: dict[str, str], prefix: str = "") -> None:
    """An option for each of the settings that is explained."""
    for name, explained in helps.items():
        flag, default = f"--{(prefix + name).replace('_', '-')}", getattr(defaults, name)
        explanation = f"{explained} (default: %(default)s)"
        if isinstance(default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=default, help=explanation)
        else:
            reads = _READERS.get(type(default), text)
            group.add_argument(flag, type=reads, default=default, metavar=name.upper(), help=explanation)


def _train(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from ..training.checkpoint import METRICS, Progress, check_owned
    from ..training.dataset import check_alike, read_manifest, read_records, together
    from ..training.report import CONFUSION, CURVES, REPORT, make_report, write_report
    from ..training.train import train_classifier

    for name in ("data", "validation", "out"):
        if getattr(options, name) is None:
            raise ValueError(f"--{name} DIR was expected, or {name} in the file of --config.")
    for folder in (options.out, *([options.out / _TRUE_ONLY] if options.leakage_test else [])):
        check_folder(folder)
        check_owned(folder, [CLASSIFIER_FILE, METRICS, REPORT, CONFUSION, CURVES])
    settings = TrainingSettings(**{name: getattr(options, name) for name in _TRAINING_HELP})
    first, test_folder = options.data[0], options.test or options.validation
    manifests = _of_each_dataset(options, read_manifest)
    manifest = manifests[first]
    sizes = _classifier_settings(options, manifest)
    for folder, there in manifests.items():
        check_alike(first, manifest, folder, there)
    records = _of_each_dataset(options, lambda folder: read_records(folder, manifests[folder]))
    for shard in sorted({shard for read in records.values() for shard in read.damaged}):
        print(f"left out, damaged: {shard}")
    training = together([records[folder] for folder in options.data])
    validation, test = records[options.validation], records[test_folder]
    if seen := validation.count_in(training):
        print(
            f"--validation: {seen} of its {len(validation.maps)} records are in --data too, so that nothing tells when "
            f"the training learns by heart. Record it with another --seed, or of other pictures."
        )
    if options.without:
        unknown = set(options.without) - {name for read in records.values() for pair in read.objects for name in pair}
        if unknown:
            raise ValueError(f"--without: no dataset shows {', '.join(sorted(unknown))}.")
        training, validation = (part.without(options.without) for part in (training, validation))
    recorded = manifest.settings.recorded

    def trained(name: str, training: Any, validation: Any) -> Any:
        with tqdm(total=settings.epochs, unit="epoch", desc=name) as bar:

            def show(progress: Progress) -> None:
                bar.set_postfix(loss=f"{progress.validation_loss:.4f}", accuracy=f"{progress.validation_accuracy:.1%}")
                bar.update(progress.epoch - bar.n)

            folder = options.out if name == _DUAL else options.out / name
            return train_classifier(training, validation, manifest.layout, recorded, sizes, settings, folder, show)

    classifier = trained(_DUAL, training, validation)
    leaked = None
    if options.leakage_test:
        leaked = trained(_TRUE_ONLY, training.with_true_prompts(), validation.with_true_prompts())
        save_classifier(leaked, options.out / _TRUE_ONLY / CLASSIFIER_FILE)
    save_classifier(classifier, options.out / CLASSIFIER_FILE)
    report = make_report(classifier, test, recorded, leaked, options.without, training)
    write_report(report, options.out)
    print(report)
    print(printable(options.out / CLASSIFIER_FILE))


def _of_each_dataset(options: argparse.Namespace, read: Callable[[Path], _Read]) -> dict[Path, _Read]:
    """What is read of each dataset that is given, once of each folder.

    Raises:
        ValueError: one cannot be read; names its option.
    """
    given = [("--data", folder) for folder in options.data]
    given += [("--validation", options.validation), ("--test", options.test or options.validation)]
    contents: dict[Path, _Read] = {}
    for option, folder in given:
        if folder not in contents:
            with naming(option):
                contents[folder] = read(folder)
    return contents


def _classifier_settings(options: argparse.Namespace, manifest: Manifest) -> ClassifierSettings:
    given: dict[str, Any] = {name: getattr(options, name) for name in _CLASSIFIER_HELP}
    for part in _PARTS:
        given[part] = TransformerSettings(**{name: getattr(options, f"{part}_{name}") for name in _TRANSFORMER_HELP})
    return ClassifierSettings(map_size=manifest.layout.map_size, steps=manifest.settings.steps, **given)
