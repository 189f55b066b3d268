"""Options of losses and schedule, of all commands that steer, and what they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..classifier import CLASSIFIERS_DIR, MINIATURE_CLASSIFIER, UnknownNetworkError, load_classifier
from ..losses import CentroidLoss, CombinedLoss, LearnedLoss, PresenceLoss, SteeringLoss
from ..losses.centroid import FUNCTIONS, ORTHOGONAL_NORMS
from ..miniature.folder import SHIPPED
from ..schedule import BOUND, BOUND_MOVE, DESCENT, GUIDANCE, IN_TURN, MOST_BOUND, MOVE, TOGETHER, SteeringSchedule
from .options import naming, number, whole

#: What ``--loss`` offers; none only where a single picture is drawn.
_CENTROID, _LEARNED, _PRESENCE, NONE = "centroid", "learned", "presence", "none"
LOSSES = (_CENTROID, _LEARNED, _PRESENCE)
_FINITE = number()


def add_steering_options(parser: argparse.ArgumentParser, losses: Sequence[str]) -> None:
    """``--loss`` and all options of losses and schedule; those not given keep the defaults of the core."""
    which = parser.add_argument_group("losses")
    which.add_argument(
        "--loss",
        choices=losses,
        nargs="+",
        default=[_CENTROID],
        help="the loss to steer by, or several that are added up (default: centroid)",
    )
    which.add_argument(
        "--weights",
        type=_FINITE,
        nargs="+",
        metavar="W",
        help="where --loss names several losses, the factor of each in their sum, greater than 0 (default: 1 each)",
    )
    add_settings(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options of losses and schedule, whichever loss is chosen."""
    _add_learned_options(parser.add_argument_group("learned loss"))
    _add_centroid_options(parser.add_argument_group("centroid loss"))
    _add_schedule_options(parser.add_argument_group("schedule"))


def _add_learned_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--classifier",
        type=Path,
        metavar="FILE",
        help="the relation classifier that the learned loss asks, a .safetensors file (default: the one that ships for "
        "the miniature)",
    )


def _add_centroid_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--function",
        choices=FUNCTIONS,
        default=CentroidLoss.function,
        help="the function f that makes a loss of how far two objects' centres are apart (default: %(default)s)",
    )
    group.add_argument(
        "--alpha", type=_FINITE, help="factor of what f is taken of, greater than 0 (default: the paper's for f)"
    )
    group.add_argument(
        "--margin",
        type=_FINITE,
        help="distance that the centres should keep, in picture widths, from 0 to below 1 (default: the paper's for f)",
    )
    group.add_argument(
        "--leaky-slope",
        type=_FINITE,
        default=CentroidLoss.leaky_slope,
        help="slope of leaky_relu below 0, 0 or more (default: %(default)s)",
    )
    group.add_argument(
        "--orthogonal",
        choices=tuple(ORTHOGONAL_NORMS),
        default=CentroidLoss.orthogonal,
        help="norm of a term that keeps objects level across the relation's axis (default: %(default)s)",
    )
    for term, aim in {
        "orthogonal": "the orthogonal term",
        "presence": "the term that pulls each object's attention together",
        "balance": "the term that makes both objects' attention spread alike",
    }.items():
        default = getattr(CentroidLoss, f"{term}_weight")
        explained = f"factor of {aim}, 0 or more (default: %(default)s)"
        group.add_argument(f"--{term}-weight", type=_FINITE, default=default, help=explained)


def _add_schedule_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--update",
        choices=(DESCENT, GUIDANCE),
        default=SteeringSchedule.update,
        help=f"the rule: {DESCENT} moves the latent down the loss's gradient before a step, {GUIDANCE} adds the "
        "gradient to the predicted noise (default: %(default)s)",
    )
    group.add_argument(
        "--start",
        type=_FINITE,
        default=SteeringSchedule.start,
        help="where steering begins, as a share of the steps, from 0 to below --end (default: %(default)s)",
    )
    group.add_argument(
        "--end",
        type=_FINITE,
        default=SteeringSchedule.end,
        help="where steering stops, as a share of the steps, from above --start to 1; with a transformer, in fewer "
        "than 16 steps, later, at half of them at most (default: %(default)s)",
    )
    group.add_argument(
        "--strength",
        type=number(0, 100),
        default=SteeringSchedule.strength,
        help=f"how far the latent moves in a steered step, from 0 to 100, in units of {MOVE:g} of the noise in it, or "
        f"of {BOUND_MOVE:g} where a transformer's objects are bound (default: %(default)s)",
    )
    group.add_argument(
        "--step-size",
        type=number(0, 100),
        help=f"how far a step moves, from 0 to 100, in place of --strength: with {DESCENT} the latent, in units of the "
        f"noise in it, with {GUIDANCE} the predicted noise, in units of its own scale",
    )
    group.add_argument(
        "--refinements",
        type=whole(1, 100),
        help="most moves in a step, from 1 to 100 (default: 1; 4 where only 1 step is steered, and 2 in the first of "
        "2; with a UNet or bound objects, of one relation, by the centroid loss alone, 1 every other step)",
    )
    group.add_argument(
        "--target",
        type=_FINITE,
        default=SteeringSchedule.target,
        help="loss at which a relation is left alone, any number (default: %(default)s)",
    )
    group.add_argument(
        "--order",
        choices=(TOGETHER, IN_TURN),
        default=SteeringSchedule.order,
        help="whether a step works on all of several relations together or on one of them in turn (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--bound",
        type=number(0, 1),
        help="share of the steps, from 0 to 1 and from the first on, in which objects are bound to the parts of the "
        f"picture that their relations ask for; with --strength 0 this alone (default: {BOUND} with networks in which "
        f"text and image attend jointly, with up to {MOST_BOUND} objects and if the whole picture is sampled, else 0)",
    )
    group.add_argument(
        "--restarts",
        type=whole(0, 100),
        default=SteeringSchedule.restarts,
        help="how often a picture may begin again from new noise where two objects overlap, from 0 to 100 (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--restart-overlap",
        type=number(0, 1, below=True),
        default=SteeringSchedule.restart_overlap,
        metavar="SHARE",
        help="share of their attention that two objects must have in common for --restarts to begin a picture again, "
        "from 0 to below 1 (default: %(default)s)",
    )


def loss_of(options: argparse.Namespace, model: str) -> SteeringLoss:
    """What ``--loss`` and its weights ask for; with ``--loss none`` a centroid loss, by which nothing is steered.

    Args:
        model: the name or folder of the one to be steered.
    """
    wanted = [name for name in options.loss if name != NONE] or [_CENTROID]
    if len(set(wanted)) < len(options.loss):
        raise ValueError(f"--loss {' '.join(options.loss)}: each loss was expected once, and none by itself.")
    check_settings(options.loss, options)
    if options.weights and len(wanted) == 1:
        raise ValueError("--weights belong to several losses that add up, not to a single one. Leave them out.")
    weights = options.weights or [1.0] * len(wanted)
    if len(weights) != len(wanted):
        raise ValueError(f"--weights: {len(wanted)} were expected, one for each loss, not {len(weights)}.")
    return losses_added_up(wanted, weights, options, model)


def check_settings(names: Collection[str], options: argparse.Namespace) -> None:
    """Refuse settings that none of the losses with these names reads, and those that want another beside them.

    Raises:
        ValueError: there is one; names it.
    """
    given = [(_LEARNED, "classifier")] if options.classifier else []
    given += [(_CENTROID, name) for name in _changed(CentroidLoss, options)]
    for owner, setting in given:
        if owner not in names:
            raise ValueError(
                f"--{setting.replace('_', '-')} belongs to --loss {owner}, not to {' '.join(names)}. Leave it out, or "
                f"add that loss."
            )
    if set(names) == {NONE} and (steers := _changed(SteeringSchedule, options)):
        raise ValueError(
            f"--{steers[0].replace('_', '-')} says how to steer, and --loss {NONE} does not. Leave one out."
        )
    _check_beside(options)


def _given(settings: type, options: argparse.Namespace) -> dict[str, Any]:
    """Those of a dataclass's settings that are options too, by their names."""
    given = vars(options)
    return {one.name: given[one.name] for one in fields(settings) if one.name in given}


def _changed(settings: type, options: argparse.Namespace) -> list[str]:
    """Names of those that options have otherwise than by default."""
    return [name for name, value in _given(settings, options).items() if value != getattr(settings, name)]


def _check_beside(options: argparse.Namespace) -> None:
    """Refuse settings that are read only beside another.

    Raises:
        ValueError: there is one without it; names both.
    """
    beside = (
        (CentroidLoss, "leaky_slope", "--function leaky_relu", options.function == "leaky_relu"),
        (CentroidLoss, "orthogonal_weight", "--orthogonal l1 or l2", options.orthogonal != "none"),
        (SteeringSchedule, "refinements", f"--update {DESCENT}", options.update == DESCENT),
        (SteeringSchedule, "restart_overlap", "--restarts", options.restarts > 0),
    )
    for owner, setting, other, is_there in beside:
        if not is_there and setting in _changed(owner, options):
            raise ValueError(f"--{setting.replace('_', '-')} is read beside {other} only. Leave it out, or add that.")


def losses_added_up(
    names: Sequence[str], weights: Sequence[float], options: argparse.Namespace, model: str
) -> SteeringLoss:
    """Losses by their names, with the settings of the options."""
    losses = [_LOSS_MAKERS[name](options, model) for name in names]
    return losses[0] if len(losses) == 1 else CombinedLoss(tuple(zip(losses, weights)))


def _centroid_loss(options: argparse.Namespace, model: str) -> CentroidLoss:
    return CentroidLoss(**_given(CentroidLoss, options))


def _learned_loss(options: argparse.Namespace, model: str) -> LearnedLoss:
    shipped = CLASSIFIERS_DIR / f"{model}.safetensors" if model in SHIPPED else MINIATURE_CLASSIFIER
    with naming("--classifier"), naming("steer classifier convert --network", UnknownNetworkError):
        return LearnedLoss(load_classifier(options.classifier or shipped))


_LOSS_MAKERS: dict[str, Callable[[argparse.Namespace, str], SteeringLoss]] = {
    _CENTROID: _centroid_loss,
    _LEARNED: _learned_loss,
    _PRESENCE: lambda options, model: PresenceLoss(),
}


def schedule_of(options: argparse.Namespace) -> SteeringSchedule:
    """What the options of the schedule ask for."""
    return SteeringSchedule(**_given(SteeringSchedule, options))
