"""The command line of recording and training: ``steer record``, ``steer train``, ``steer classifier``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..classifier import ClassifierSettings, TransformerSettings, load_classifier, save_classifier
from ..described import brief, one_line
from ..layers import PUBLISHED_NETWORKS
from ..options import MOST_STEPS, check_place, guidance_scale, number, path_told, seed, steps, text, whole
from .settings import TrainingSettings

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
    from PIL import Image

    from .dataset import Manifest
    from .sources import Source

#: Names of the parts of a finished training, in the folder of --out.
CLASSIFIER_FILE = "classifier.safetensors"
#: Of the file of ``--config``, in bytes: it holds a line an option.
_LARGEST_CONFIG = 2**16
_DUAL, _TRUE_ONLY = "dual", "true_prompts_only"


def add_record_command(commands: argparse._SubParsersAction) -> None:
    """``steer record``."""
    record = commands.add_parser("record", help="record token maps of labelled pictures, for training a classifier")
    record.add_argument(
        "--out", type=Path, required=True, help="the dataset's folder; a stopped recording is continued"
    )
    record.add_argument(
        "--model",
        default="miniature",
        help="miniature, a diffusers pipeline's folder, or a name in the local cache of Hugging Face "
        "(default: %(default)s)",
    )
    record.add_argument("--device", default="cpu", help="torch device, such as cuda (default: %(default)s)")
    source = record.add_argument_group("pictures")
    source.add_argument(
        "--source",
        choices=("miniature", "coco", "gqa", "generated"),
        default="miniature",
        help="scenes of the miniature's world, photographs with boxes in COCO's JSON format, GQA, or pictures that "
        "the model draws and a detector labels (default: %(default)s)",
    )
    source.add_argument("--annotations", type=Path, metavar="FILE", help="JSON of coco, or scene graphs of gqa")
    source.add_argument("--pictures", type=Path, metavar="DIR", help="folder of the photographs")
    source.add_argument(
        "--count", type=whole(1, 10_000_000), help="miniature's scenes, or pictures to draw (default: 1000)"
    )
    source.add_argument("--unseen-pairs", action="store_true", help="scenes of pairs that the miniature never saw")
    source.add_argument("--without", type=text, nargs="+", metavar="NAME", help="objects that the scenes leave out")
    source.add_argument(
        "--others", type=whole(0, 3), help="at most so many more objects in a scene, 0 to 3 (default: 0)"
    )
    source.add_argument(
        "--objects", type=text, nargs="+", metavar="NAME", help="to draw (default: those of the miniature)"
    )
    source.add_argument(
        "--detector",
        metavar="DIR",
        help="miniature, or the folder of RT-DETR, OWLv2 or Grounding DINO (default: miniature)",
    )
    source.add_argument("--drawing-steps", type=steps, help="of each picture that is drawn (default: 25)")
    source.add_argument("--cfg", type=guidance_scale, help="guidance scale of the drawing (default: 5)")
    source.add_argument("--seed", type=seed, default=0, help="(default: %(default)s)")
    how = record.add_argument_group("recording; what is not given is as RecordingSettings has it")
    how.add_argument(
        "--layers",
        nargs="+",
        metavar="NAME",
        help="in the order of the stack (default: every layer up to the last that the centroid loss reads)",
    )
    how.add_argument("--map-size", type=whole(1, 256), help="side that maps are resized to")
    how.add_argument("--steps", type=steps, help="of the inversion")
    how.add_argument(
        "--recorded", type=whole(0, MOST_STEPS - 1), nargs="+", metavar="N", help="steps to record, 0 the noisiest"
    )
    how.add_argument("--method", choices=("inversion", "noise"), help="invert the picture, or put noise in it")
    how.add_argument("--refinements", type=whole(0, 100), help="of the inversion's fixed-point iteration")
    how.add_argument("--false-prompts", type=whole(0, 3), help="false relations each picture is inverted with")
    how.add_argument(
        "--shard-size", type=whole(1, 10_000), default=64, help="pictures in a file (default: %(default)s)"
    )
    how.add_argument("--batch", type=whole(1, 1024), default=4, help="pictures at a time (default: %(default)s)")
    record.set_defaults(run=_record)


def _record(options: argparse.Namespace) -> None:
    from accelerate import PartialState
    from tqdm import tqdm

    from ..backends.diffusers import load_pipeline
    from ..backends.diffusers.recording import RecordablePipeline
    from ..layers import layers_on_the_way
    from ..miniature.folder import MINIATURE_DIR
    from .dataset import write_dataset
    from .recording import RecordingSettings

    given = {field.name: getattr(options, field.name) for field in fields(RecordingSettings)}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    settings = RecordingSettings(
        **{"layers": (), **{name: value for name, value in given.items() if value is not None}}
    )

    @cache
    def load() -> StableDiffusionPipeline:
        return load_pipeline(MINIATURE_DIR if options.model == "miniature" else options.model, options.device)

    source = _source(options, load)
    model = RecordablePipeline(load())
    settings = replace(settings, layers=settings.layers or layers_on_the_way(model.network))
    state = PartialState(cpu=options.device == "cpu")
    shards = write_dataset(
        model,
        source,
        settings,
        options.out,
        options.shard_size,
        options.batch,
        state.process_index,
        state.num_processes,
    )
    with tqdm(total=-(-len(source) // state.num_processes), unit="picture", disable=not state.is_main_process) as bar:
        for done in shards:
            bar.update(done - bar.n)
    print(path_told(options.out))


_ANNOTATED, _DRAWN = ("coco", "gqa"), ("generated",)
#: Options that are not for all sources: which they are for, and what they are there when not given.
_SOURCE_OPTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "annotations": (_ANNOTATED, None),
    "pictures": (_ANNOTATED, None),
    "count": (("miniature", "generated"), 1000),
    "unseen_pairs": (("miniature",), False),
    "without": (("miniature",), ()),
    "others": (("miniature",), 0),
    "objects": (_DRAWN, None),
    "detector": (_DRAWN, "miniature"),
    "drawing_steps": (_DRAWN, 25),
    "cfg": (_DRAWN, 5.0),
}


def _source(options: argparse.Namespace, load: Callable[[], StableDiffusionPipeline]) -> Source:
    from .sources import MiniatureScenes, coco_pictures, gqa_pictures

    for name, (sources, default) in _SOURCE_OPTIONS.items():
        given = getattr(options, name)
        if given is None or given is False:
            setattr(options, name, default)
        elif options.source not in sources:
            raise ValueError(
                f"--{name.replace('_', '-')} belongs to --source {' or '.join(sources)}, not to {options.source}. "
                f"Leave it out, or give that source."
            )
    if options.source == "miniature":
        return MiniatureScenes(options.count, options.seed, options.unseen_pairs, options.without, options.others)
    if options.source == "generated":
        return _generated(options, load)
    if options.annotations is None or options.pictures is None:
        raise ValueError(f"--source {options.source} needs --annotations FILE and --pictures DIR.")
    read = coco_pictures if options.source == "coco" else gqa_pictures
    return read(options.annotations, options.pictures, options.seed)


def _generated(options: argparse.Namespace, load: Callable[[], StableDiffusionPipeline]) -> Source:
    from ..backends.diffusers import check_device, generate
    from ..miniature.world import OBJECTS
    from ..viz import check_finite, to_image
    from .generated import GeneratedPictures, MiniatureDetector, TransformersDetector

    def draw(prompt: str, seed: int) -> Image.Image:
        return to_image(check_finite(generate(load(), prompt, [seed], None, options.drawing_steps, options.cfg))[0])

    is_miniature = options.detector == "miniature"
    if is_miniature and options.model != "miniature":
        raise ValueError(
            f"The miniature's detector knows only the miniature's pictures, not those of {options.model}. Give "
            f"--detector DIR, the folder of RT-DETR, OWLv2 or Grounding DINO."
        )
    if options.model != "miniature" and not options.objects:
        raise ValueError(f"--objects NAME …, to be drawn by {options.model}, were expected.")
    check_device(options.device)
    detector = MiniatureDetector() if is_miniature else TransformersDetector(options.detector, options.device)
    objects = tuple(options.objects or OBJECTS)
    told = {"drawing_steps": options.drawing_steps, "cfg": options.cfg}
    return GeneratedPictures(draw, detector, objects, options.count, options.seed, told)


def add_train_command(commands: argparse._SubParsersAction) -> None:
    """``steer train``."""
    train = commands.add_parser("train", help="train a relation classifier on recorded maps")
    train.add_argument(
        "--config",
        action=_Config,
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
        told = f"{explained} (default: %(default)s)"
        if isinstance(default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=default, help=told)
        else:
            reads = _READERS.get(type(default), text)
            group.add_argument(flag, type=reads, default=default, metavar=name.upper(), help=told)


class _Config(argparse.Action):
    """Reads options from a YAML file, as if they stood on the command line."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        try:
            content = read_config(Path(values))
        except (OSError, ValueError) as error:
            parser.error(f"argument --config: {one_line(error)}")
        arguments: list[str] = []
        for name, value in content.items():
            flag = name.replace("_", "-")
            if flag in ("config", "help"):
                parser.error(f"argument --config: {values}: {flag} is for the command line alone")
            if isinstance(parser.get_default(flag.replace("-", "_")), bool):
                switched = _SWITCH.get(str(value).lower())
                if switched is None:
                    parser.error(f"argument --config: {values}: {flag}: true or false was expected, not {brief(value)}")
                arguments.append(f"--{flag}" if switched else f"--no-{flag}")
            elif isinstance(value, list):
                arguments += [f"--{flag}", *value]
            else:
                arguments.append(f"--{flag}={value}")
        parser.parse_args(arguments, namespace)


_SWITCH = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}


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
        told = yaml.load(content, yaml.BaseLoader)
    except RecursionError:
        raise ValueError(f"{file} cannot be read: it is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {one_line(error)}") from error
    if not isinstance(told, dict):
        raise ValueError(f"{file}: lines like 'epochs: 50' were expected.")
    for name, value in told.items():
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(name, str) or not isinstance(part, str) or not part or part.startswith("--"):
                raise ValueError(
                    f"{file}: {brief(name)}: a value or a list of values was expected, not {brief(value)}."
                )
    return told


def _train(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from .dataset import check_alike, read_manifest, read_records, together
    from .report import make_report, write_report
    from .train import Progress, train_classifier

    for name in ("data", "validation", "out"):
        if getattr(options, name) is None:
            raise ValueError(f"--{name} DIR was expected, or {name} in the file of --config.")
    settings = TrainingSettings(**{name: getattr(options, name) for name in _TRAINING_HELP})
    first, test_folder = options.data[0], options.test or options.validation
    manifest = read_manifest(first)
    sizes = _classifier_settings(options, manifest)
    manifests = {folder: read_manifest(folder) for folder in (*options.data, options.validation, test_folder)}
    for folder, there in manifests.items():
        check_alike(first, manifest, folder, there)
    records = {folder: read_records(folder, there) for folder, there in manifests.items()}
    for shard in sorted({shard for read in records.values() for shard in read.damaged}):
        print(f"left out, damaged: {shard}")
    training = together([records[folder] for folder in options.data])
    validation, test = records[options.validation], records[test_folder]
    if options.without:
        unknown = set(options.without) - {name for read in records.values() for pair in read.objects for name in pair}
        if unknown:
            raise ValueError(f"--without: no dataset shows {', '.join(sorted(unknown))}.")
        training, validation = (part.without(options.without) for part in (training, validation))
    recorded = manifest.settings.recorded

    def trained(name: str, training: Any, validation: Any) -> Any:
        with tqdm(total=settings.epochs, unit="epoch", desc=name) as bar:

            def show(told: Progress) -> None:
                bar.set_postfix(loss=f"{told.validation_loss:.4f}", accuracy=f"{told.validation_accuracy:.1%}")
                bar.update(told.epoch - bar.n)

            folder = options.out if name == _DUAL else options.out / name
            return train_classifier(training, validation, manifest.layout, recorded, sizes, settings, folder, show)

    classifier = trained(_DUAL, training, validation)
    leaked = None
    if options.leakage_test:
        leaked = trained(_TRUE_ONLY, training.with_true_prompts(), validation.with_true_prompts())
        save_classifier(leaked, options.out / _TRUE_ONLY / CLASSIFIER_FILE)
    save_classifier(classifier, options.out / CLASSIFIER_FILE)
    report = make_report(classifier, test, recorded, leaked, options.without)
    write_report(report, options.out)
    print(report)
    print(path_told(options.out / CLASSIFIER_FILE))


def _classifier_settings(options: argparse.Namespace, manifest: Manifest) -> ClassifierSettings:
    given: dict[str, Any] = {name: getattr(options, name) for name in _CLASSIFIER_HELP}
    for part in _PARTS:
        given[part] = TransformerSettings(**{name: getattr(options, f"{part}_{name}") for name in _TRANSFORMER_HELP})
    return ClassifierSettings(map_size=manifest.layout.map_size, steps=manifest.settings.steps, **given)


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
    classifier = load_classifier(options.file, options.network)
    print(f"relations: {', '.join(classifier.relations)}")
    print(f"reads: {classifier.layout}")
    steps = ", ".join(map(str, classifier.trained_steps))
    print(f"trained at steps {steps} of {classifier.settings.steps}, 0 the noisiest")


def _convert(options: argparse.Namespace) -> None:
    if options.out.suffix != ".safetensors":
        raise ValueError(f"{options.out}: a name that ends in .safetensors was expected.")
    check_place(options.out)
    save_classifier(load_classifier(options.file, options.network), options.out)
    print(path_told(options.out))
