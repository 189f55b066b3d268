"""How well the relation that a prompt states can be read from a model's maps, whatever the picture shows.

    steer record --count 400 --false-prompts 3 --out maps/training
    steer record --count 100 --false-prompts 3 --seed 1 --out maps/validation
    python -m benchmarks.leak --data maps/training --validation maps/validation

Dual inversion teaches a classifier to look past the words (Learn-to-Steer). That is worth something only where the
words can be read: here a classifier learns them in place of the picture, and a right answer by chance is one of four.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.command import add_json_option, refusing
from steering_core.classifier import ClassifierSettings
from steering_core.cli.options import positive
from steering_core.relations.relation import CARDINAL_RELATIONS
from steering_core.training.dataset import Manifest, Records, check_alike, read_manifest, read_records
from steering_core.training.settings import TrainingSettings
from steering_core.training.train import evaluate, train_classifier
from tools.command import command_line

_WIDTH, _RATE = 64, 5e-4
_ALL_FALSE = len(CARDINAL_RELATIONS) - 1


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="maps to learn from")
    parser.add_argument("--validation", type=Path, required=True, metavar="DIR", help="maps to judge by")
    parser.add_argument("--epochs", type=positive, default=40, help="at most so many (default: %(default)s)")
    add_json_option(parser, "print one JSON object in place of the text")
    options = parser.parse_args()
    folders = (options.data, options.validation)
    with refusing(parser):
        manifests = [read_manifest(folder) for folder in folders]
        for folder, manifest in zip(folders, manifests):
            _check(folder, manifest)
        check_alike(options.data, manifests[0], options.validation, manifests[1])
        read = [read_records(folder, manifest) for folder, manifest in zip(folders, manifests)]
    shares = {}
    for name in ("picture", "prompt"):
        training, validation = (_labelled(records, name) for records in read)
        shares[name] = _accuracy(training, validation, manifests[0], options.epochs)
    if options.json:
        print(json.dumps({**shares, "chance": 1 / len(CARDINAL_RELATIONS)}))
        return
    for name, share in shares.items():
        print(f"the {name}'s relation, read from the maps: {share:.1%}")
    print(f"by chance: {1 / len(CARDINAL_RELATIONS):.1%}")


def _check(folder: Path, manifest: Manifest) -> None:
    if manifest.settings.false_prompts != _ALL_FALSE:
        raise ValueError(
            f"{folder}: a dataset whose prompts state each relation of each picture was expected, as recorded with "
            f"--false-prompts {_ALL_FALSE}: of others, who knows the picture can guess at the prompt."
        )


def _labelled(records: Records, name: str) -> Records:
    return replace(records, relation=records.stated) if name == "prompt" else records


def _accuracy(training: Records, validation: Records, manifest: Manifest, epochs: int) -> float:
    """Share of the validation records, at all recorded steps, of which a classifier tells the label."""
    sizes = ClassifierSettings(map_size=manifest.layout.map_size, steps=manifest.settings.steps, width=_WIDTH)
    # Mirrored maps would want another word.
    settings = TrainingSettings(epochs=epochs, rate=_RATE, augment=False)
    recorded = manifest.settings.recorded
    with tempfile.TemporaryDirectory() as folder:
        classifier = train_classifier(training, validation, manifest.layout, recorded, sizes, settings, Path(folder))
    predicted, _ = evaluate(classifier, validation, recorded)
    return (predicted == validation.relation[:, None]).float().mean().item()


if __name__ == "__main__":
    main()
