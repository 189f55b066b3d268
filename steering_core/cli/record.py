"""``steer record``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..miniature.folder import SHIPPED
from ..pictures import check_finite, to_image
from ..training.recording import MOST_STEPS, RecordingSettings, first_half
from .models import (
    add_detector_option,
    add_model_options,
    load_detector,
    load_model,
    own_process,
    scale_of,
    try_on_blank,
)
from .options import MOST_SIDE, check_folder, guidance_scale, number, printable, seed, steps, text, whole

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL import Image

    from ..training.sources import Source


def add_record_command(commands: argparse._SubParsersAction) -> None:
    """``steer record``."""
    record = commands.add_parser("record", help="record token maps of labelled pictures, for training a classifier")
    record.add_argument(
        "--out", type=Path, required=True, help="the dataset's folder; a stopped recording is continued"
    )
    add_model_options(record, single_files=False)
    source = record.add_argument_group("pictures")
    source.add_argument(
        "--source",
        choices=("miniature", "coco", "gqa", "generated"),
        default="miniature",
        help="scenes of the miniatures' world, photographs with boxes in COCO's JSON format, GQA, or pictures that "
        "the model draws and a detector labels (default: %(default)s)",
    )
    source.add_argument("--annotations", type=Path, metavar="FILE", help="JSON of coco, or scene graphs of gqa")
    source.add_argument("--pictures", type=Path, metavar="DIR", help="folder of the photographs")
    source.add_argument(
        "--count", type=whole(1, 10_000_000), help="the miniatures' scenes, or pictures to draw (default: 1000)"
    )
    source.add_argument("--unseen-pairs", action="store_true", help="scenes of pairs that the miniatures never saw")
    source.add_argument("--without", type=text, nargs="+", metavar="NAME", help="objects that the scenes leave out")
    source.add_argument(
        "--others", type=whole(0, 3), help="at most so many more objects in a scene, 0 to 3 (default: 0)"
    )
    source.add_argument(
        "--objects", type=text, nargs="+", metavar="NAME", help="to draw (default: those of the miniatures)"
    )
    add_detector_option(source)
    source.add_argument("--drawing-steps", type=steps, help="of each picture that is drawn (default: 25)")
    source.add_argument("--cfg", type=guidance_scale, help="guidance scale of the drawing (default: 5, for FLUX.1 3.5)")
    source.add_argument("--seed", type=seed, default=0, help="(default: %(default)s)")
    how = record.add_argument_group("recording; what is not given is as RecordingSettings has it")
    how.add_argument(
        "--layers",
        nargs="+",
        metavar="NAME",
        help="in the order of the stack (default: every layer up to the last that the centroid loss reads)",
    )
    how.add_argument(
        "--size",
        type=whole(16, MOST_SIDE),
        help="side that pictures are cut and scaled to, in pixels (default: the model's own; 512 for FLUX.1)",
    )
    how.add_argument("--map-size", type=whole(1, 256), help="side that maps are resized to")
    how.add_argument("--steps", type=steps, help="of the inversion")
    how.add_argument(
        "--recorded",
        type=whole(0, MOST_STEPS - 1),
        nargs="+",
        metavar="N",
        help="steps to record, 0 the noisiest (default: the first half)",
    )
    how.add_argument("--method", choices=("inversion", "noise"), help="invert the picture, or put noise in it")
    how.add_argument("--refinements", type=whole(0, 100), help="of the inversion's fixed-point iteration")
    how.add_argument(
        "--least-psnr",
        type=number(0, 100),
        metavar="DB",
        help="leave out pictures to which the sampler comes back from their inversion less well than this; 0: none",
    )
    how.add_argument("--false-prompts", type=whole(0, 3), help="false relations each picture is inverted with")
    how.add_argument(
        "--shard-size", type=whole(1, 10_000), default=64, help="pictures in a file (default: %(default)s)"
    )
    how.add_argument("--batch", type=whole(1, 1024), default=4, help="pictures at a time (default: %(default)s)")
    record.set_defaults(run=_record)


def _record(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from ..backends.diffusers.recording import recordable
    from ..layers import layers_on_the_way
    from ..training.dataset import read_manifest, write_dataset

    check_folder(options.out)
    given = {field.name: getattr(options, field.name) for field in fields(RecordingSettings)}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if options.steps and not options.recorded:
        given["recorded"] = first_half(options.steps)
    settings = RecordingSettings(
        **{"layers": (), **{name: value for name, value in given.items() if value is not None}}
    )

    state = own_process(options)

    @cache
    def load() -> DiffusionPipeline:
        return load_model(options)

    source = _source(options, load)
    model = recordable(load(), _size(options))
    settings = replace(settings, layers=settings.layers or layers_on_the_way(model.network))
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
    state.wait_for_everyone()
    if state.is_main_process:
        if message := read_manifest(options.out).left_out_message:
            print(message)
        print(printable(options.out))


def _size(options: argparse.Namespace) -> int | None:
    """Side of the pictures in pixels; none where the pipeline knows it."""
    from ..miniature.world import IMAGE_SIZE

    return options.size or (IMAGE_SIZE if options.model in SHIPPED else None)


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
    "detector": (_DRAWN, None),
    "drawing_steps": (_DRAWN, 25),
    "cfg": (_DRAWN, None),
}


def _source(options: argparse.Namespace, load: Callable[[], DiffusionPipeline]) -> Source:
    from ..training.sources import MiniatureScenes, coco_pictures, gqa_pictures

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


def _generated(options: argparse.Namespace, load: Callable[[], DiffusionPipeline]) -> Source:
    from ..backends.diffusers import generate
    from ..miniature.world import OBJECTS
    from ..training.generated import GeneratedPictures

    if options.model not in SHIPPED and options.detector and not options.objects:
        raise ValueError(f"--objects NAME …, to be drawn by {options.model}, were expected.")
    detector = load_detector(options)
    objects = tuple(options.objects or OBJECTS)
    side = _size(options)
    size = None if side is None else (side, side)
    try_on_blank(lambda blank: detector.find(blank, ()), size)
    pipeline = load()
    scale = scale_of(options, pipeline)
    drawing = {"drawing_steps": options.drawing_steps, "cfg": scale}

    def draw(prompt: str, seed: int) -> Image.Image:
        drawn = generate(pipeline, prompt, [seed], None, options.drawing_steps, scale, size=size)
        return to_image(check_finite(drawn)[0])

    return GeneratedPictures(draw, detector, objects, options.count, options.seed, drawing)
