"""What steering costs: a probe over one of the research way, and a picture over an unsteered one.

python -m benchmarks.cost                   the table
python -m benchmarks.cost --quick           each thing measured once, in two minutes on 2 cores
python -m benchmarks.cost --json            one object with all rows
python -m benchmarks.cost --plot FILE       and a picture of the ratios
python -m benchmarks.cost --device cpu      not on the card, where there is one

Networks with the layouts of SD 1.5, SDXL, FLUX.1 and Z-Image and random weights; nothing is downloaded. On a card they
have their full size and precision; on the CPU they are smaller, in float32, and run on one thread. A probe is what
moves the latent once: a forward, a backward to the latent and what is looked at between. Ours steers at its defaults,
in every step of its window, as where no relation comes true before that ends. The research way, which is in
``benchmarks.research``, is not run for whole pictures: they are counted from its probes.
"""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks import research
from benchmarks.bars import Bars, bar_chart
from benchmarks.clock import clock_of
from benchmarks.command import add_json_option, add_quick_option, refusing
from benchmarks.measuring import drawing_processes
from benchmarks.memory import peak_memory
from benchmarks.shapes import SHAPES, Case, Shape, made
from steering_core.backends.diffusers import check_device, steered
from steering_core.backends.diffusers.families import readable_network
from steering_core.backends.diffusers.pipelines import kind_of
from steering_core.backends.diffusers.probe import probe_network
from steering_core.care import frugal
from steering_core.cli.options import check_picture
from steering_core.losses import CentroidLoss
from steering_core.pictures import save_picture
from steering_core.schedule import GUIDANCE, SamplingStep, SteeringSchedule
from steering_core.steering import Steering
from steering_core.token_maps import TokenMaps
from tools.command import command_line

_REPETITIONS = 3
#: Steps and guidance scale of a picture, by the key of its ratio: as the first two models are used, and as those are
#: that were distilled to few steps.
_PICTURES = {"image_time": (25, 5.0), "image_time_few_steps": (8, 1.0)}
#: Of the research way's pictures, whose ratio is told beside ours.
_RESEARCH = "image_time"
#: The defaults, but that no relation comes true before the window ends: then a picture is dearest.
_SCHEDULE = SteeringSchedule(target=-math.inf)
#: Likewise by the other rule, whose look and conditional prediction one forward serves where nothing guides.
_BENDING = SteeringSchedule(GUIDANCE, target=-math.inf)
#: Titles of the ratios, and the most that each should be.
_RATIOS = {
    "probe_time": ("time of a probe, over the research way", 0.35),
    "probe_memory": ("memory of a probe, over the research way", 0.2),
    "image_time": ("time of a picture of 25 steps with guidance, over unsteered", 1.15),
    "image_time_few_steps": ("time of a picture of 8 steps without guidance, over unsteered", 1.5),
}
#: Titles of what is told beside them. A frugal probe is made where memory has run out.
_BESIDE = {
    "bent_image_time_few_steps": "time of a picture of 8 steps without guidance by noise guidance, over unsteered",
    "frugal_probe_time": "time of a frugal probe, over ours",
    "frugal_probe_memory": "memory of a frugal probe, over the research way",
    "research_image_time_counted": "the research way's picture, counted",
}


def main() -> None:
    """Measure and print."""
    parser = command_line(__doc__)
    parser.add_argument("--device", help="(default: cuda where there is some, else cpu)")
    add_quick_option(parser, "measure each thing once")
    add_json_option(parser, "print one JSON object in place of the table")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture to write")
    options = parser.parse_args()
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    with refusing(parser):
        check_device(device)
        if options.plot:
            check_picture(options.plot)
    measure = partial(_measured_if_it_fits, device=device, repetitions=1 if options.quick else _REPETITIONS)
    # A card is measured by one process, and a CPU by one a core.
    with drawing_processes(None, device) as pool:
        rows = list(tqdm(pool.map(measure, SHAPES), total=len(SHAPES), unit="shape", file=sys.stderr))
    measured = [row for row in rows if row is not None]
    left_out = [shape.name for shape, row in zip(SHAPES, rows) if row is None]
    if options.plot:
        bars = [Bars(title, aim, {row["shape"]: row[key] for row in measured}) for key, (title, aim) in _RATIOS.items()]
        save_picture(bar_chart(bars), options.plot)
    setting = {"device": _device_name(device), "torch": torch.__version__, "does_not_fit": left_out}
    if options.json:
        print(json.dumps({**setting, "rows": measured}))
        return
    print(f"{setting['device']}, PyTorch {setting['torch']}\n\n{_table(measured)}")
    if left_out:
        print(f"\nDoes not fit into the memory: {', '.join(left_out)}")


def _device_name(device: str) -> str:
    return platform.processor() or platform.machine() if device == "cpu" else torch.cuda.get_device_name(device)


def _measured_if_it_fits(shape: Shape, device: str, repetitions: int) -> dict[str, Any] | None:
    """The row of a shape; none where a card has no room for it, or for the research way's probe of it."""
    try:
        return _measured(made(shape, shape.reduced if device == "cpu" else shape.full, device), device, repetitions)
    except torch.OutOfMemoryError:
        return None


def _measured(case: Case, device: str, repetitions: int) -> dict[str, Any]:
    """The row of a shape: ratios, and what they are made from."""
    probes = (*probes_of(case), _frugal(_our_probe(case)))
    for probe in probes:
        probe()  # to warm up
    seconds = _least_seconds(probes, device, repetitions)
    row = {
        "shape": case.shape.name,
        "side": case.size.side,
        "text_tokens": case.size.text,
        "parameters": sum(parameter.numel() for parameter in case.network.parameters()),
        "dtype": str(case.network.dtype).removeprefix("torch."),
        "probe_time": seconds[0] / seconds[1],
        "probe_seconds": seconds[0],
        "research_probe_seconds": seconds[1],
        "frugal_probe_time": seconds[2] / seconds[0],
    }
    for key, (steps, guidance) in _PICTURES.items():
        case.draw(2, guidance)  # to warm up
        steered_ways = [partial(_draw_steered, case, steps, guidance, schedule) for schedule in (_SCHEDULE, _BENDING)]
        ways: list[Callable[[], object]] = [partial(case.draw, steps, guidance), *steered_ways]
        unsteered, moved, bent = _least_seconds(ways, device, repetitions)
        row |= {key: moved / unsteered, f"bent_{key}": bent / unsteered, f"unsteered_{key}_seconds": unsteered}
        if key == _RESEARCH:
            row["research_image_time_counted"] = 1 + research.probes(steps) * seconds[1] / unsteered
    # Last, since from here on memory that is freed is given back, which takes time.
    ours, theirs, run_again = (peak_memory(probe, device) for probe in probes)
    bytes = {"probe_bytes": ours, "research_probe_bytes": theirs, "frugal_probe_bytes": run_again}
    return {**row, **bytes, "probe_memory": ours / theirs, "frugal_probe_memory": run_again / theirs}


def probes_of(case: Case) -> tuple[Callable[[], object], Callable[[], object]]:
    """Ours and the research way's, from the same latent."""
    return _our_probe(case), _research_probe(case)


def _our_probe(case: Case) -> Callable[[], object]:
    """One descent at the defaults from the first step's latent."""
    network, inputs, name = case.network, case.network_inputs(), kind_of(case.pipeline).latent
    steering = Steering(case.scene, CentroidLoss(), _SCHEDULE).for_network(readable_network(network).layers)
    latent = torch.stack(inputs[name]) if case.shape.listed else inputs[name]

    def probe(moved: torch.Tensor) -> TokenMaps:
        moved = moved.to(latent.dtype)
        given = {**inputs, name: list(moved) if case.shape.listed else moved}
        return probe_network(network, given, steering.request)

    @torch.no_grad()
    def descend() -> None:
        steering.descend(latent, probe, noise_level=1.0, step=SamplingStep(0, 25, 0.0))
        _check_steered(steering, steering.schedule, steps=25)

    return descend


def _frugal(probe: Callable[[], object]) -> Callable[[], object]:
    """The probe as it is made once memory has run out."""

    def run() -> None:
        with frugal():
            probe()

    return run


def _research_probe(case: Case) -> Callable[[], object]:
    """One refinement."""
    name = kind_of(case.pipeline).latent
    return partial(research.refined, case.network, case.network_inputs(), name, case.scene)


def _draw_steered(case: Case, steps: int, guidance: float, schedule: SteeringSchedule) -> None:
    with steered(case.pipeline, Steering(case.scene, CentroidLoss(), schedule)) as steering:
        case.draw(steps, guidance)
    network = readable_network(case.network)
    tied = steering.for_network(network.layers, spreads=network.spreads, binds=network.is_joint)
    _check_steered(steering, tied.schedule, steps)


def _check_steered(steering: Steering, schedule: SteeringSchedule, steps: int) -> None:
    """A step that fails, or has nowhere to move to, would cost too little.

    Args:
        schedule: the steering's, tied to the network.
    """
    *_, before_last = (None, *steering.trace[:-1])
    # After the last of few moves comes a look, in its own step or in a later one.
    looks_back = before_last is not None and schedule.is_last_of_few(SamplingStep(before_last.step, steps, 0.0))
    moves = steering.trace[:-1] if looks_back and not schedule.uses_guidance else steering.trace
    if steering.unsteered or not moves or not all((entry.gradient_norm > 0).all() for entry in moves):
        raise RuntimeError(f"Not every step was steered: {[str(step) for step in steering.unsteered]}.")


def _least_seconds(runs: Sequence[Callable[[], object]], device: str, repetitions: int) -> list[float]:
    """Of each run the least of so many times, the runs taken in turn."""
    return [min(of_run) for of_run in zip(*([_seconds(run, device) for run in runs] for _ in range(repetitions)))]


def _seconds(run: Callable[[], object], device: str) -> float:
    clock = clock_of(device)
    begin = clock()
    run()
    return clock() - begin


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown, with what is aimed at in the last line."""
    head = ["", *(title for title, _ in _RATIOS.values()), *_BESIDE.values()]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in rows:
        lines.append(" | ".join([row["shape"], *(f"{row[key]:.2f} ×" for key in (*_RATIOS, *_BESIDE))]))
    lines.append(" | ".join(["aim, at most", *(f"{aim:g} ×" for _, aim in _RATIOS.values()), *("" for _ in _BESIDE)]))
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    main()
