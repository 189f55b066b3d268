"""Which settings serve a loss best, on prompts after those that the other benchmarks measure.

python -m benchmarks.tune --losses gelu "gelu + 0.3 learned" --step-sizes 0.1 0.2 0.4
python -m benchmarks.tune --layers each "up.0 up.1"    every layer by itself, and two together
python -m benchmarks.tune --relations near             "next to", in place of left, right, above and below
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from diffusers import DiffusionPipeline

from benchmarks.command import add_drawing_options, add_guidance_option, drawing, refusing
from benchmarks.measuring import MEASURED_PROMPTS, Measurement, Sampling, chains_suite, draw_all, pairs_suite
from benchmarks.named_losses import named_loss
from benchmarks.tables import table
from benchmarks.ways import UNSTEERED, Way, check_ways, rows
from steering_core.backends.diffusers import load_pipeline
from steering_core.backends.diffusers.families import readable_network
from steering_core.backends.diffusers.pipelines import kind_of
from steering_core.classifier import MINIATURE_CLASSIFIER
from steering_core.cli.options import number, positive, whole
from steering_core.evaluation.suites import Suite
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.score import STEPS
from steering_core.relations.names import RELATION_NAMES
from steering_core.relations.relation import CARDINAL_RELATIONS, Relation
from steering_core.schedule import DESCENT, GUIDANCE, SteeringSchedule
from tools.command import command_line

_EACH, _TEXT, _ALL, _ONE, _OWN = "each", "text", "all", "one", "own"
_COLUMNS = ("oa", "visor_cond", "visor_uncond", "visor_4", "looks", "gradient_passes", "time_ratio")
#: Prompts of each relation of pairs, "next to" among them, that ``benchmarks.steering`` measures.
_MEASURED_OF_EACH = MEASURED_PROMPTS // len(CARDINAL_RELATIONS)


def main() -> None:
    """Measure and print."""
    parser = _parser()
    options = parser.parse_args()
    model = SHIPPED.get(options.model, options.model)
    sampling = Sampling(model, options.steps, options.guidance, options.alone)
    with drawing(options) as (out, pool):
        with refusing(parser):
            suite, numbers = _suite(options)
            pipeline = load_pipeline(model, "cpu")
            ways = [UNSTEERED, *_ways(options, pipeline)]
            check_ways(ways, suite.prompts[0], pipeline)
            measurement = Measurement.of(out, suite, numbers, ways, sampling)
        draw_all([measurement], pool)
        print(table(rows(measurement), _COLUMNS))


def _parser() -> argparse.ArgumentParser:
    """Of the command's options: each setting that can have several values takes them, to be combined."""
    parser = command_line(__doc__)
    parser.add_argument("--losses", nargs="+", default=["gelu"], help='such as gelu, learned, "gelu + 0.3 learned"')
    parser.add_argument("--model", default="miniature", help="its name or folder (default: %(default)s)")
    parser.add_argument(
        "--layers",
        nargs="+",
        default=[""],
        metavar="NAMES",
        help=f'sets of layers that are read, such as "up.0 up.1"; {_EACH}: every layer by itself (default: the '
        f"network's own)",
    )
    parser.add_argument("--softmax-over", choices=(_TEXT, _ALL), nargs="+", default=[_TEXT], help="the keys of a map")
    parser.add_argument("--steps", type=positive, default=STEPS, help="of the sampling (default: %(default)s)")
    add_guidance_option(parser)
    parser.add_argument("--update", choices=(DESCENT, GUIDANCE), default=DESCENT)
    parser.add_argument("--step-sizes", type=float, nargs="+", default=[None], help="(default: by strength)")
    parser.add_argument(
        "--strengths", type=float, nargs="+", default=[SteeringSchedule.strength], help="where no step size is given"
    )
    parser.add_argument(
        "--logit-scales",
        type=float,
        nargs="+",
        default=[Way.logit_scale],
        metavar="SCALE",
        help="of the attention that steering reads, as a stand-in for other models (default: 1)",
    )
    parser.add_argument(
        "--contrasts",
        choices=(_ONE, _OWN),
        nargs="+",
        default=[_ONE],
        help="of the maps that a centroid loss reads: one for all networks, or the network's own (default: one)",
    )
    parser.add_argument("--ends", type=float, nargs="+", default=[None], help="ends of the window, in few steps too")
    parser.add_argument(
        "--refinements", type=positive, nargs="+", default=[None], help="(default: as many as the steps want)"
    )
    parser.add_argument(
        "--every-other",
        action=argparse.BooleanOptionalAction,
        help="steer every other step of the window, four at least (default: as suits loss and relations)",
    )
    parser.add_argument(
        "--rests",
        type=int,
        nargs="+",
        default=[SteeringSchedule.rest],
        help="steps that are not looked at where all relations hold",
    )
    parser.add_argument("--alone", action="store_true", help="draw each picture by itself, not a prompt's four at once")
    parser.add_argument("--targets", type=float, nargs="+", default=[SteeringSchedule.target])
    parser.add_argument(
        "--bound",
        type=float,
        nargs="+",
        default=[SteeringSchedule.bound],
        metavar="SHARE",
        help="of the steps in which objects are bound to their regions (with --strengths 0 this alone)",
    )
    parser.add_argument(
        "--restarts", type=whole(0, 20), nargs="+", default=[0], help="of a picture at most (default: none)"
    )
    parser.add_argument(
        "--restart-overlaps", type=number(0, 1), nargs="+", default=[SteeringSchedule.restart_overlap], metavar="SHARE"
    )
    parser.add_argument("--classifier", type=Path, default=MINIATURE_CLASSIFIER, help="of the learned loss")
    parser.add_argument("--prompts", type=positive, default=20)
    parser.add_argument(
        "--after",
        type=whole(0, 100_000),
        help=f"prompts that are left out (default: {_MEASURED_OF_EACH} of each relation of pairs, {MEASURED_PROMPTS} "
        f"of chains)",
    )
    of_objects = parser.add_mutually_exclusive_group()
    of_objects.add_argument(
        "--relations",
        choices=RELATION_NAMES,
        nargs="+",
        default=[relation.value for relation in CARDINAL_RELATIONS],
        help="of pairs never seen together (default: %(default)s)",
    )
    of_objects.add_argument(
        "--chains", type=positive, nargs="+", metavar="N", help="objects of each chain, in place of pairs"
    )
    add_drawing_options(parser)
    return parser


def _ways(options: argparse.Namespace, pipeline: DiffusionPipeline) -> Iterator[Way]:
    """Every combination of the settings."""
    settings = {
        "loss": options.losses,
        "layers": list(_sets_of_layers(options.layers, pipeline)),
        "softmax_over": options.softmax_over,
        "step_size": options.step_sizes,
        "strength": options.strengths,
        "end": options.ends,
        "refinements": options.refinements,
        "target": options.targets,
        "rest": options.rests,
        "bound": options.bound,
        "contrast": options.contrasts,
        "logit_scale": options.logit_scales,
        "restarts": options.restarts,
        "restart_overlap": options.restart_overlaps,
    }
    for values in itertools.product(*settings.values()):
        yield _way(argparse.Namespace(**dict(zip(settings, values))), options)


def _way(one: argparse.Namespace, options: argparse.Namespace) -> Way:
    """One combination."""
    schedule = SteeringSchedule(
        update=options.update,
        step_size=one.step_size,
        strength=one.strength,
        end=SteeringSchedule.end if one.end is None else one.end,
        spread=None if one.end is None else False,
        refinements=one.refinements,
        every_other=options.every_other,
        target=one.target,
        rest=one.rest,
        bound=one.bound,
        restarts=one.restarts,
        restart_overlap=one.restart_overlap,
    )
    name = ", ".join(
        (
            one.loss,
            f"strength {one.strength}" if one.step_size is None else f"step size {one.step_size}",
            f"end {'by default' if one.end is None else one.end}",
            f"target {one.target}",
            f"rest {one.rest}",
            *([] if options.every_other is None else ["every other step" if options.every_other else "each step"]),
            f"refinements {one.refinements or 'by default'}",
            f"bound {'by default' if one.bound is None else one.bound}",
            f"layers {' '.join(one.layers) or 'by default'}",
            f"softmax over {one.softmax_over}",
            f"{one.contrast} contrast",
            f"logits times {one.logit_scale}",
            *([f"at most {one.restarts} restarts above {one.restart_overlap}"] if one.restarts else []),
        )
    )
    reading = {"over_all_keys": one.softmax_over == _ALL, "standardised": one.contrast == _ONE}
    make_loss = partial(named_loss, one.loss, options.classifier, one.layers, **reading)
    return Way(name, make_loss, schedule, one.logit_scale)


def _sets_of_layers(sets: Sequence[str], pipeline: DiffusionPipeline) -> Iterator[tuple[str, ...]]:
    for names in sets:
        if names == _EACH:
            for layer in readable_network(kind_of(pipeline).network_of(pipeline)).layers:
                yield (layer.name,)
        else:
            yield tuple(names.split())


def _suite(options: argparse.Namespace) -> tuple[Suite, range]:
    """All prompts, and the numbers of those after the ones that are left out."""
    relations = tuple(Relation(name) for name in dict.fromkeys(options.relations))
    measured_elsewhere = MEASURED_PROMPTS if options.chains else _MEASURED_OF_EACH * len(relations)
    after = measured_elsewhere if options.after is None else options.after
    suite = chains_suite(options.chains) if options.chains else pairs_suite(relations)
    return suite, range(after, after + options.prompts)


if __name__ == "__main__":
    main()
