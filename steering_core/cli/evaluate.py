"""``steer evaluate``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.suites import CHAINS
from ..evaluation.visor import LEAST_SCORE
from ..files.whole import remove_abandoned, save_text
from ..wording import brief
from .models import (
    add_detector_option,
    add_model_options,
    add_sampling_options,
    load_detector,
    load_model,
    own_process,
    scale_of,
    size_of,
    try_on_blank,
)
from .options import MOST_SEEDS, check_folder, naming, positive, printable, seed, text, whole
from .steering import LOSSES, NONE, add_settings, check_settings, losses_added_up, schedule_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from ..detection.boxes_file import BoxesFile
    from ..detection.detectors import ObjectDetector
    from ..evaluation.arms import Arm
    from ..evaluation.encoders import Encoder
    from ..evaluation.folder import EvaluationFolder
    from ..evaluation.suites import Suite
    from ..losses import SteeringLoss

_VISOR, _GENEVAL, _T2I, _OWN, _MINIATURE = "visor", "geneval", "t2i_compbench", "own", "miniature"
_FILES = (_GENEVAL, _T2I, _OWN)
#: For ``--features``.
_AUTOENCODER = "autoencoder"
#: What is between the losses of an arm that adds several up.
_PLUS = "+"
_COUNT, _OWN_SEEDS = 200, (0, 1, 2, 3)
#: Pictures of each way on the page.
_GALLERY = 48
#: Options that ``--only-draw`` has no use for.
_JUDGING = ("detector", "rule", "features", "gallery")


def add_evaluate_command(commands: argparse._SubParsersAction) -> None:
    """``steer evaluate``."""
    evaluate = commands.add_parser(
        "evaluate",
        help="draw a suite of prompts in several ways, look for the objects, and score",
        description="Stages that can be stopped: the same command goes on. torchrun shares prompts among processes.",
    )
    evaluate.add_argument("--out", type=Path, required=True, help="folder of pictures and results")
    add_model_options(evaluate, single_files=True)
    what = evaluate.add_argument_group("prompts")
    what.add_argument(
        "--suite",
        choices=(_VISOR, *_FILES, *CHAINS, _MINIATURE),
        default=_MINIATURE,
        help="of the field, generated, one's own, or pairs that the miniatures never saw (default: %(default)s)",
    )
    what.add_argument(
        "--file",
        type=Path,
        help="GenEval's evaluation_metadata.jsonl, T2I-CompBench's spatial_val.txt, or prompts of one's own: a line "
        "each, or JSON lines with prompt and relations (name ending in .jsonl or .json)",
    )
    what.add_argument("--count", type=positive, help=f"prompts of a suite that has more (default: {_COUNT})")
    what.add_argument(
        "--suite-seed", type=seed, help="seed by which --count prompts are chosen from the suite (default: 0)"
    )
    what.add_argument(
        "--seed", type=seed, nargs="+", help="seeds of each prompt's pictures, one picture each (default: the suite's)"
    )
    how = evaluate.add_argument_group("sampling")
    how.add_argument(
        "--loss",
        type=_arms,
        default=(NONE, LOSSES[0]),
        metavar="A,B,C",
        help=f"ways to be held against the first: {', '.join((NONE, *LOSSES))}, or several that add up, such as "
        f"{LOSSES[0]}{_PLUS}{LOSSES[2]} (default: {NONE},{LOSSES[0]})",
    )
    add_sampling_options(how)
    how.add_argument("--negative", type=text, default="", metavar="PROMPT", help="what no picture should show")
    how.add_argument(
        "--batch", type=whole(1, MOST_SEEDS), default=4, help="pictures of a prompt at a time (default: %(default)s)"
    )
    judging = evaluate.add_argument_group("judging")
    add_detector_option(judging, ", or a file with the boxes that another program found")
    judging.add_argument(
        "--only-draw", action="store_true", help="draw, and stop: for a program of yours that looks at the pictures"
    )
    judging.add_argument(
        "--rule",
        choices=(_VISOR, _GENEVAL, _T2I),
        help="what counts as right (default: the suite's own, else visor)",
    )
    judging.add_argument(
        "--features",
        metavar="DIR",
        help=f"also measure how far each way's pictures are from those of the first, by the features of a vision model "
        f"such as CLIP or DINOv2, or of the model's own autoencoder ({_AUTOENCODER})",
    )
    judging.add_argument(
        "--gallery", type=whole(0, 1000), help=f"pictures of each way on the page (default: {_GALLERY})"
    )
    add_settings(evaluate)
    evaluate.set_defaults(run=_evaluate)


def _arms(value: str) -> tuple[str, ...]:
    """Names of ways, each of losses that differ."""
    arms = tuple(value.split(","))
    for arm in arms:
        parts = arm.split(_PLUS)
        known = arm == NONE or all(part in LOSSES for part in parts)
        if not known or len(set(parts)) < len(parts) or arms.count(arm) > 1:
            raise argparse.ArgumentTypeError(
                f"ways that differ were expected, each of {', '.join((NONE, *LOSSES))} or several of these with "
                f"{_PLUS} between, not {value}"
            )
    return arms


def _evaluate(options: argparse.Namespace) -> None:
    from ..detection.boxes_file import BoxesFile
    from ..evaluation.detecting import check_boxes
    from ..evaluation.rules import RULES, check_rule

    check_folder(options.out)
    check_settings(list(dict.fromkeys(part for name in options.loss for part in name.split(_PLUS))), options)
    _check_judging(options)
    suite = _suite(options)
    _check_variety(options, suite)
    rule = options.rule or (options.suite if options.suite in RULES else _VISOR)
    with naming("--rule"):
        check_rule(rule, suite)
    state = own_process(options)
    detector = None if options.only_draw else _detector(options, suite)
    pipeline = load_model(options)
    encoder = _encoder(options, pipeline)
    if encoder is not None:
        try_on_blank(lambda blank: encoder([blank]), size_of(options))
    folder, arms = _folder_and_arms(options, suite, pipeline)
    names = [arm.name for arm in arms]
    if isinstance(detector, BoxesFile):
        with naming("--detector or --only-draw"):
            check_boxes(folder, names, detector)
    folder.claim(arms, detector)
    if state.is_main_process:
        remove_abandoned(options.out)
    numbers = range(state.process_index, len(suite.prompts), state.num_processes)
    for arm in arms:
        _draw_and_look(folder, arm, numbers, options.batch, detector, state.is_main_process)
    state.wait_for_everyone()
    if detector is not None and state.is_main_process:
        gallery = _GALLERY if options.gallery is None else options.gallery
        _write_results(folder, names, rule, encoder, gallery)


def _draw_and_look(
    folder: EvaluationFolder,
    arm: Arm,
    numbers: range,
    batch: int,
    detector: ObjectDetector | BoxesFile | None,
    has_bar: bool,
) -> None:
    """Draw what is not there of an arm's prompts, and let the detector look at it; a bar shows how far it is."""
    from tqdm import tqdm

    from ..detection.boxes_file import BoxesFile
    from ..evaluation.detecting import detect_objects, take_boxes
    from ..evaluation.drawing import draw_pictures

    def run(stage: str, done: Iterator[int]) -> None:
        for _ in tqdm(done, stage, len(numbers), unit="prompt", disable=not has_bar):
            pass

    run(f"drawing {arm.name}", draw_pictures(folder, arm, numbers, batch))
    if isinstance(detector, BoxesFile):
        run(f"reading the boxes of {arm.name}", take_boxes(folder, arm.name, detector, numbers))
    elif detector is not None:
        run(f"looking at {arm.name}", detect_objects(folder, arm.name, detector, numbers))


def _write_results(
    folder: EvaluationFolder, arms: Sequence[str], rule: str, encoder: Encoder | None, gallery: int
) -> None:
    """Judge the pictures, and write the results into the folder: JSON, tables, a page.

    Args:
        gallery: so many pictures of each arm are on the page.
    """
    from ..evaluation.page import html_page
    from ..evaluation.results import arm_results
    from ..evaluation.rules import RULES
    from ..evaluation.tables import markdown, tables_of

    results = arm_results(folder, arms, RULES[rule])
    distances = {} if encoder is None else _distances(folder, arms, encoder)
    tables = tables_of(results, rule == _T2I, distances)
    text = markdown(tables)
    summary = {
        "suite": folder.suite.name,
        "rule": rule,
        "arms": [result.as_json() for result in results],
        "frechet_distance": distances or None,
    }
    save_text(json.dumps(summary, indent=1) + "\n", folder.folder / "results.json")
    save_text(text, folder.folder / "results.md")
    save_text(html_page(folder, results, tables, RULES[rule], gallery), folder.folder / "index.html")
    print(text)
    print(printable(folder.folder / "index.html"))


def _check_judging(options: argparse.Namespace) -> None:
    """Refuse what is for looking at pictures where nobody looks.

    Raises:
        ValueError: names the option.
    """
    if options.only_draw and (given := [name for name in _JUDGING if getattr(options, name) is not None]):
        raise ValueError(
            f"--{given[0]} is for looking at the pictures, and --only-draw looks at none. Leave one of the two out."
        )


def _check_variety(options: argparse.Namespace, suite: Suite) -> None:
    """Refuse a distance between ways of which each draws one picture.

    Raises:
        ValueError: it names ``--features``.
    """
    if options.features is not None and len(suite.prompts) * len(suite.seeds) < 2:
        raise ValueError(
            "--features: two pictures of each way or more were expected, since a distance is between their spreads; "
            "there is one prompt with one seed. Give more prompts or seeds, or leave --features out."
        )


def _suite(options: argparse.Namespace) -> Suite:
    from ..evaluation.suites import Suite, geneval_suite, own_suite, several_suite, t2i_compbench_suite, visor_suite
    from ..miniature.prompts import unseen_pair_prompts

    name, is_file = options.suite, options.suite in _FILES
    if is_file != (options.file is not None):
        raise ValueError(
            f"--suite {name} needs --file FILE." if is_file else f"--file is for {', '.join(_FILES)}, not for {name}."
        )
    if is_file and (options.count, options.suite_seed) != (None, None):
        raise ValueError(f"--count and --suite-seed: {name} is drawn whole. Give a shorter file.")
    count, of_seed = options.count or _COUNT, options.suite_seed or 0
    makers: dict[str, Callable[[], Suite]] = {
        _VISOR: lambda: visor_suite(count, of_seed),
        _GENEVAL: lambda: geneval_suite(options.file),
        _T2I: lambda: t2i_compbench_suite(options.file),
        _OWN: lambda: own_suite(options.file, _OWN_SEEDS),
        _MINIATURE: lambda: Suite(
            f"miniature_{count}_{of_seed}", tuple(unseen_pair_prompts(count, of_seed)), _OWN_SEEDS
        ),
        **{kind: partial(several_suite, kind, count, of_seed) for kind in CHAINS},
    }
    suite = makers[name]()
    seeds = tuple(dict.fromkeys(options.seed)) if options.seed else suite.seeds
    return Suite(suite.name, suite.prompts, seeds)


def _detector(options: argparse.Namespace, suite: Suite) -> ObjectDetector | BoxesFile:
    """What ``--detector`` names.

    Raises:
        ValueError: as ``load_detector`` and ``BoxesFile``, it does not know an object of the suite, or cannot look at
            pictures of this size.
    """
    from ..detection.boxes_file import BoxesFile

    if options.detector is not None and Path(options.detector).is_file():
        with naming("--detector"):
            return BoxesFile(Path(options.detector))
    detector = load_detector(options, LEAST_SCORE)  # the lowest that a rule asks for
    detector.check([name for prompt in suite.prompts for name in prompt.objects])
    try_on_blank(lambda blank: detector.find(blank, ()), size_of(options))
    return detector


def _encoder(options: argparse.Namespace, pipeline: DiffusionPipeline) -> Encoder | None:
    from ..evaluation.encoders import AutoencoderEncoder, TransformersEncoder

    if options.features is None:
        return None
    if options.features == _AUTOENCODER:
        return AutoencoderEncoder(pipeline.vae)
    with naming("--features"):
        return TransformersEncoder(options.features, options.device)


def _distances(folder: EvaluationFolder, arms: Sequence[str], encoder: Encoder) -> dict[str, float]:
    """Of each arm's pictures from the first arm's."""
    from tqdm import tqdm

    from ..evaluation.encoders import features_of
    from ..evaluation.variety import Moments, frechet_distance

    def moments(arm: str) -> Moments:
        read = features_of(folder, arm, encoder, range(len(folder.suite.prompts)))
        return Moments.of(tqdm(read, f"comparing {arm}", len(folder.suite.prompts), unit="prompt"))

    of_arms = {arm: moments(arm) for arm in arms}
    return {arm: frechet_distance(of_arms[arms[0]], one) for arm, one in of_arms.items()}


def _folder_and_arms(
    options: argparse.Namespace, suite: Suite, pipeline: DiffusionPipeline
) -> tuple[EvaluationFolder, list[Arm]]:
    from ..backends.diffusers import check_steering, ground_prompt
    from ..backends.diffusers.arms import sampling_of, steered_arm, unsteered_arm
    from ..backends.diffusers.sampling import layers_of
    from ..evaluation.folder import EvaluationFolder
    from ..relations.place import Place
    from ..relations.relation import Relation
    from ..steering import Steering

    settings: dict[str, Any] = {
        "steps": options.steps,
        "guidance_scale": scale_of(options, pipeline),
        "negative_prompt": options.negative,
        "size": size_of(options),
    }
    losses = {name: _loss(name, options) for name in options.loss if name != NONE}
    schedule = schedule_of(options)
    for loss in losses.values():  # one that cannot read this network at all is no prompt's fault
        loss.for_network(layers_of(pipeline), ())
    if losses:  # what cannot be steered is told before anything is drawn
        kinds = set[Relation | Place]()
        for prompt in suite.prompts:
            scene = ground_prompt(pipeline, prompt.text, prompt.scene)
            of_scene = {relation.relation for relation in scene.relations}
            if not kinds or of_scene - kinds:  # one prompt of each kind of relation tells of all
                with naming(f"prompt {brief(prompt.text)}"):
                    for loss in losses.values():
                        check_steering(pipeline, Steering(scene, loss, schedule))
            kinds |= of_scene
    folder = EvaluationFolder(options.out, suite, sampling_of(pipeline, settings))
    arms = [
        steered_arm(name, pipeline, settings, losses[name], schedule)
        if name in losses
        else unsteered_arm(name, pipeline, settings)
        for name in options.loss
    ]
    return folder, arms


def _loss(name: str, options: argparse.Namespace) -> SteeringLoss:
    """Of an arm."""
    names = name.split(_PLUS)
    return losses_added_up(names, [1.0] * len(names), options, options.model)
