"""The command line: what cannot be done is one line and status 2, before the work, and nothing is left half done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from test_classifier import published
from toy_recording import record_toy

from steering_core.backends import diffusers as backend
from steering_core.cli.main import main
from steering_core.miniature import demo, start
from steering_core.miniature.folder import MINIATURE_DIR

ROOT = Path(__file__).parents[2]
GENERATE = ["generate", "a dog above a cat", "--steps", "4"]


def python(script: str, *arguments: str, **more) -> subprocess.CompletedProcess:
    """A script in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **more)


def errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if "error:" in line or "Traceback" in line]


def check_refusal(capsys, arguments, named) -> None:
    """Status 2, and one line that names what is wrong; nothing else is printed."""
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr()
    assert (status, said.out) == (2, "") and len(said.err.splitlines()) == 1, said
    assert "error:" in said.err and named in said.err, said.err


@pytest.fixture
def unloaded(monkeypatch):
    """Nothing may be loaded before what is wrong has been said."""

    def load(*_):
        pytest.fail("a model was loaded first")

    for module in (backend, demo, start):
        monkeypatch.setattr(module, "load_pipeline", load)


NUMBERS = [
    ("--steps", "10000000000000", "1 to 1000"),
    ("--steps", "0", "1 to 1000"),
    ("--steps", "9" * 5000, "1 to 1000"),
    ("--steps", "1e13", "1e13"),
    ("--cfg", "inf", "0 to 100"),
    ("--cfg", "nan", "0 to 100"),
    ("--cfg", "1e9", "0 to 100"),
    ("--step-size", "1e30", "0 to 100"),
    ("--step-size", "nan", "0 to 100"),
    ("--refinements", "1000000000", "1 to 100"),
    ("--target", "nan", "a number was expected"),
    ("--alpha", "inf", "a number was expected"),
    ("--orthogonal-weight", "-inf", "a number was expected"),
    ("--seed", str(2**64), "0 to 18446744073709551615"),
    ("--seed", "-1", "--seed"),
    ("--negative", "a\udcff", "UTF-8"),
]


@pytest.mark.parametrize(("option", "value", "named"), NUMBERS, ids=lambda part: part[:20])
def test_a_value_out_of_range_is_refused_at_once(capsys, tmp_path, unloaded, option, value, named):
    check_refusal(capsys, [*GENERATE, "--out", str(tmp_path / "x.png"), f"{option}={value}"], named)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([*GENERATE, "--out", "x.png", "--seed", *map(str, range(65))], "64 seeds"),
        (["generate", "a dog\ud800 above a cat", "--out", "x.png"], "UTF-8"),
        (["parse", "a dog\ud800 above a cat"], "UTF-8"),
        (["demo", "--prompts", "1000000000"], "1 to 200"),
        (["record", "--out", "x", "--steps", "10000000000000"], "1 to 1000"),
        (["record", "--out", "x", "--map-size", "1000000"], "1 to 256"),
        (["record", "--out", "x", "--objects", "d\udc80g", "--source", "generated"], "UTF-8"),
        (["miniature", "score", "--scenes", "10000000000000"], "1 to 100000"),
        (["miniature", "train", "--out", "x", "--seed", "-1"], "--seed"),
        (["miniature", "train", "--out", "x", "--count-shares", "nan"], "0 to 1"),
        (["train", "--epochs", "1e9"], "--epochs"),
        (["train", "--rate", "nan"], "a number was expected"),
        (["train", "--seed", str(2**40)], "--seed"),
    ],
)
def test_other_commands_refuse_as_well(capsys, monkeypatch, tmp_path, unloaded, arguments, named):
    monkeypatch.chdir(tmp_path)
    check_refusal(capsys, arguments, named)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", ["0", "7", "1000000000"])
def test_sizes_of_a_classifier_are_checked_before_memory_is_taken(capsys, tmp_path, width):
    data = str(record_toy(tmp_path / "data"))
    command = ["train", "--data", data, "--validation", data, "--out", str(tmp_path / "out"), "--width", width]
    check_refusal(capsys, command, "width must be")


@pytest.mark.parametrize("device", ["meta", "meta:3", "hpu", "xla", "mkldnn", "cuda:99", "", "c\npu", "privateuseone"])
def test_a_device_that_cannot_compute_is_refused(capsys, tmp_path, device):
    check_refusal(capsys, [*GENERATE, "--out", str(tmp_path / "x.png"), "--device", device], "The device")
    train = ["miniature", "train", "--out", str(tmp_path / "m"), "--device", device or "meta"]
    check_refusal(capsys, train, "The device")


@pytest.mark.parametrize("suffix", [".xbm", ".msp", ".palm", ".h5", ".grib", ".bufr", ".wmf", ".psd", ".mp3", ""])
def test_formats_that_cannot_be_written_are_found_before_sampling(capsys, tmp_path, unloaded, suffix):
    check_refusal(capsys, [*GENERATE, "--out", str(tmp_path / f"x{suffix}")], f"x{suffix}")


def test_a_sheet_too_large_for_its_format_is_found_before_drawing(capsys, tmp_path, unloaded):
    check_refusal(capsys, ["demo", "--prompts", "100", "--out", str(tmp_path / "x.webp")], "x.webp")


def places(folder: Path) -> dict[str, Path]:
    (folder / "full.png").symlink_to("/dev/full")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "file").touch()
    (folder / "loop.png").symlink_to("loop.png")
    names = ("full.png", "folder.png", "pipe.png", "file/x.png", "no/x.png", f"{'x' * 240}.png")
    return {name[:20]: folder / name for name in names} | {"/proc/x.png": Path("/proc/x.png")}


PLACES = ["full.png", "folder.png", "pipe.png", "file/x.png", "no/x.png", "x" * 20, "/proc/x.png"]


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_place_for_a_file_is_found_before_sampling(capsys, tmp_path, unloaded, place):
    file = places(tmp_path)[place]
    check_refusal(capsys, [*GENERATE, "--out", str(file)], file.name[:10])
    check_refusal(capsys, [*GENERATE, "--out", str(tmp_path / "y.png"), "--maps", str(file)], file.name[:10])
    report = file.with_suffix(".json")
    if not report.parent.is_dir() or report.parent == Path("/proc"):
        check_refusal(capsys, [*GENERATE, "--out", str(tmp_path / "y.png"), "--report", str(report)], report.name)
    assert not (tmp_path / "y.png").exists()


@pytest.mark.parametrize(("seeds", "written"), [(["1"], "x.png"), (["1", "2"], "x_2.png")])
@pytest.mark.parametrize("spelled", ["{folder}", "../{folder.name}", "link"])
def test_maps_do_not_overwrite_a_picture_however_they_are_spelled(
    capsys, monkeypatch, tmp_path, unloaded, seeds, written, spelled
):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to(".")
    maps = Path(spelled.format(folder=tmp_path)) / written
    check_refusal(capsys, [*GENERATE, "--seed", *seeds, "--out", "x.png", "--maps", str(maps)], "was given for both")


TRAIN = ["train", "--data", "x", "--validation", "x", "--out"]
FOLDERS = [
    ["record", "--out"],
    TRAIN,
    ["miniature", "train", "--out"],
    ["miniature", "train", "--out", "new", "--work"],
]


@pytest.mark.parametrize("place", ["file", "file/folder", "loop"])
@pytest.mark.parametrize("command", FOLDERS, ids=lambda command: f"{command[0]} {command[-1]}")
def test_a_file_in_the_place_of_a_folder_is_named_before_the_work(
    capsys, monkeypatch, tmp_path, unloaded, command, place
):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("file").touch()
    check_refusal(capsys, [*command, place], f"{place}: a folder to write into was expected")


def test_a_file_in_the_place_of_a_trainings_part_is_named(capsys, tmp_path):
    part = tmp_path / "true_prompts_only"
    part.touch()
    check_refusal(capsys, [*TRAIN, str(tmp_path)], f"{part}: a folder to write into was expected")


@pytest.mark.parametrize("content", [None, b"one\n"], ids=["missing", "text"])
def test_a_font_that_is_none_is_named(capsys, tmp_path, content):
    font = tmp_path / "one.txt"
    if content:
        font.write_bytes(content)
    command = ["miniature", "glyphs", "--font", str(font), "--out", str(tmp_path / "x.png")]
    check_refusal(capsys, command, f"{font}: the font NotoColorEmoji.ttf was expected")


@pytest.mark.parametrize("command", [GENERATE, ["verify"], ["demo"]], ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--classifier", "no.pth"], "--classifier belongs to --loss learned, not to centroid"),
        (["--loss", "presence", "--classifier", "no.pth"], "not to presence"),
        (["--loss", "presence", "--function", "sigmoid"], "--function belongs to --loss centroid, not to presence"),
        (["--loss", "learned", "presence", "--balance-weight", "1"], "--balance-weight belongs to --loss centroid"),
        (["--weights", "-1"], "--weights belong to several losses"),
        (["--loss", "learned", "--weights", "1", "2"], "--weights belong to several losses"),
        (["--leaky-slope", "0.5"], "--leaky-slope is read beside --function leaky_relu only"),
        (["--orthogonal-weight", "2"], "--orthogonal-weight is read beside --orthogonal l1 or l2 only"),
        (["--restart-overlap", "0.7"], "--restart-overlap is read beside --restarts only"),
        (["--update", "guidance", "--refinements", "2"], "--refinements is read beside --update descent only"),
    ],
)
def test_options_of_losses_that_are_not_asked_for_are_refused(capsys, tmp_path, unloaded, command, options, named):
    check_refusal(capsys, [*command, "--out", str(tmp_path / "x.png"), *options], named)


def test_all_of_their_attention_is_refused_as_an_overlap(capsys, tmp_path):
    command = [*GENERATE, "--out", str(tmp_path / "x.png"), "--restarts", "1", "--restart-overlap", "1"]
    named = "argument --restart-overlap: a number from 0 to less than 1 was expected, not '1'"
    check_refusal(capsys, command, named)


@pytest.mark.parametrize(
    "options",
    [["--loss", "none"], ["--strength", "0"], ["--strength", "0", "--bound", "1"]],
    ids=["no loss", "no strength", "objects are bound alone"],
)
def test_maps_of_what_is_not_steered_are_refused_before_the_model_is_loaded(capsys, tmp_path, unloaded, options):
    command = [*GENERATE, "--out", str(tmp_path / "x.png"), "--maps", str(tmp_path / "m.png"), *options]
    check_refusal(capsys, command, "m.png: maps are recorded where steering looks")


def test_maps_of_a_prompt_without_relations_are_refused_before_the_model_is_loaded(capsys, tmp_path, unloaded):
    command = ["generate", "a dog", "--out", str(tmp_path / "x.png"), "--maps", str(tmp_path / "m.png")]
    check_refusal(capsys, command, "m.png: maps are recorded where steering looks")


def test_settings_of_a_loss_are_refused_where_nothing_is_steered(capsys, tmp_path, unloaded):
    for setting in (["--strength", "3"], ["--restarts", "2"], ["--bound", "1"], ["--end", "0.5"]):
        assert main([*GENERATE, "--loss", "none", *setting, "--out", str(tmp_path / "x.png")]) == 2
        assert f"{setting[0]} says how to steer, and --loss none does not" in capsys.readouterr().err
    options = ["--loss", "none", "--margin", "0.4", "--out", str(tmp_path / "x.png")]
    check_refusal(capsys, [*GENERATE, *options], "--margin belongs to --loss centroid, not to none")


def test_a_picture_that_is_no_picture_is_an_error(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "generate", lambda *_: torch.full((2, 3, 8, 8), float("nan")))
    assert main([*GENERATE, "--seed", "1", "2", "--out", str(tmp_path / "x.png")]) == 2
    assert "number 1, 2 came out with values that are no finite numbers" in errors(capsys.readouterr().err)[0]
    assert list(tmp_path.iterdir()) == []


#: A disk that is full after 4 kB, as far as the process can tell; commands come as lists in JSON.
FULL = """
import json, resource, signal, sys
from steering_core.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for command in json.loads(sys.argv[1]):
    print(main(command), flush=True)
    print("---", file=sys.stderr, flush=True)
"""


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    torch.save(published(), tmp_path / "a.pth")
    data = str(record_toy(tmp_path / "data"))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    small = ["--width", "16", "--epochs", "1", "--no-leakage-test"]
    few = ["--count", "8", "--steps", "2", "--recorded", "0", "--method", "noise"]
    commands = [
        [*GENERATE, "--loss", "none", "--out", str(tmp_path / "x.png")],
        ["classifier", "convert", str(tmp_path / "a.pth"), "--out", str(tmp_path / "a.safetensors")],
        ["train", "--data", data, "--validation", data, "--out", str(tmp_path / "out"), *small],
        ["record", *few, "--out", str(tmp_path / "new")],
        ["miniature", "sample", "--data", "--count", "8", "--out", str(tmp_path / "sheet.png")],
    ]
    done = python(FULL, json.dumps(commands))
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["2"] * len(commands), done.stderr
    assert "Traceback" not in done.stderr
    for said, command in zip(done.stderr.split("---\n")[:-1], commands, strict=True):
        assert len(errors(said)) == 1 and said.splitlines()[-1].startswith("steer: error: "), said
        assert str(tmp_path) in errors(said)[0] or command[0] == "miniature", said
    left = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file() and ".lock" not in file.name}
    assert {file.name for file in left.keys() - before.keys()} <= {"metrics.csv", "manifest.json"}
    assert all(left[file] == content for file, content in before.items() if ".lock" not in file.name)


def test_output_that_cannot_be_printed_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "steering_core", "parse", "a dog above a cat"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("steer: error:") and "Traceback" not in done.stderr


def test_a_sign_that_the_terminal_lacks_is_told_by_its_number():
    command = [sys.executable, "-m", "steering_core", "parse", "a café above a dog"]
    said = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=said)
    assert (done.returncode, done.stdout) == (0, "caf\\xe9 above dog\n"), done.stderr


def test_what_is_drawn_well_says_nothing_on_stderr(tmp_path):
    """Neither warnings nor loading bars of the libraries beneath."""
    command = [sys.executable, "-m", "steering_core", *GENERATE, "--out", str(tmp_path / "x.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_user_stops_it(tmp_path):
    command = [sys.executable, "-u", "-m", "steering_core", "generate", "a dog above a cat", "--steps", "900",
               "--out", str(tmp_path / "never.png")]  # fmt: skip
    # A shell lets what it runs in the background ignore interrupts, tests too, and a child would inherit that.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    running = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeding
    )
    assert running.stdout.readline() == "dog above cat\n"
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert said.splitlines()[-1] == "steer: interrupted" and "Traceback" not in said


@pytest.mark.parametrize("command", [["generate", "a dog above a cat", "--out", "x.png"], ["record", "--out", "x"]])
def test_more_steps_than_the_schedule_has_are_refused_before_sampling(capsys, tmp_path, monkeypatch, command):
    """It begins one step later than at the strongest noise, so that a thousand would begin beyond it."""
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--steps", "1000"]) == 2
    assert errors(capsys.readouterr().err) == [
        "steer: error: steps: 1000 are too many for DDIMScheduler, which would begin at the time 1000 of a schedule "
        "that ends at 999. Take fewer."
    ]


#: Ends the process with a status of its own at the first try to reach another machine.
WATCH = """
import os, sys
def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto"):
        print("NETWORK", event, arguments, file=sys.stderr, flush=True)
        os._exit(77)
sys.addaudithook(watch)
"""
NAMES = ["org/name", "../name", "name"]
COMMANDS = [
    *([*GENERATE, "--out", "x.png", "--model", name] for name in NAMES),
    *(["record", "--out", "x", "--source", "generated", "--objects", "dog", "cat", "--model", "x", "--detector", name]
      for name in NAMES),
]  # fmt: skip


def watched(script: str, folder: Path, *arguments: str, input: str = "", **said: str) -> subprocess.CompletedProcess:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    return python(WATCH + script, *arguments, input=input, env={**kept, "HF_HOME": str(folder / "cache"), **said})


def test_the_watch_sees_the_network(tmp_path):
    assert watched("import socket; socket.create_connection(('192.0.2.1', 9), 1)", tmp_path).returncode == 77


MAIN = """
import json
from steering_core.__main__ import main
for command in json.loads(sys.stdin.read()):
    sys.argv[1:] = command
    print(main())
"""


def test_a_name_that_is_not_here_is_not_looked_up_elsewhere(tmp_path):
    done = watched(MAIN, tmp_path, input=json.dumps(COMMANDS))
    assert done.stdout.split() == ["2"] * len(COMMANDS), done.stderr
    for said, command in zip(errors(done.stderr), COMMANDS, strict=True):
        assert f"'{command[-1]}' is neither a folder nor in the Hugging Face cache" in said


LIBRARY = """
from pathlib import Path
from steering_core.backends.diffusers import load_pipeline
from steering_core.detection.detectors import TransformersDetector
refused = 0
for load in (load_pipeline, TransformersDetector):
    for name in ("org/other", "../x", "x", "org/name/x", ""):
        try:
            load(name, "cpu")
        except ValueError as error:
            refused += "neither a folder nor" in str(error) or "was expected in this folder" in str(error)
print(refused, type(load_pipeline("org/name", "cpu")).__name__, type(load_pipeline(sys.argv[1], "cpu")).__name__)
TransformersDetector(sys.argv[2], "cpu")
TransformersDetector("org/detector", "cpu")
"""


def cached(folder: Path, name: str, model: Path) -> None:
    """As the hub's own library keeps a model."""
    place = folder / "cache" / "hub" / f"models--{name.replace('/', '--')}"
    shutil.copytree(model, place / "snapshots" / ("0" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)


def test_the_library_asks_nobody_even_where_the_hub_is_allowed(tmp_path):
    from test_generated import rt_detr

    rt_detr(tmp_path / "detector")
    cached(tmp_path, "org/name", MINIATURE_DIR)
    cached(tmp_path, "org/detector", tmp_path / "detector")
    done = watched(LIBRARY, tmp_path, str(MINIATURE_DIR), str(tmp_path / "detector"), HF_HUB_OFFLINE="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["10", "StableDiffusionPipeline", "StableDiffusionPipeline"]


def test_a_damaged_model_is_named(capsys, tmp_path):
    shutil.copytree(MINIATURE_DIR, tmp_path / "model")
    for file, content in {
        "model_index.json": "[]",
        "unet/config.json": '{"block_out_channels": "wide"}',
        "scheduler/scheduler_config.json": "{",
        "unet/diffusion_pytorch_model.safetensors": "",
        "text_encoder/config.json": "[]",
    }.items():
        (tmp_path / "model" / file).write_text(content)
        assert main([*GENERATE, "--out", str(tmp_path / "x.png"), "--model", str(tmp_path / "model")]) == 2, file
        said = errors(capsys.readouterr().err)
        assert len(said) == 1 and str(tmp_path / "model") in said[0], said
        shutil.copy(MINIATURE_DIR / file, tmp_path / "model" / file)


def test_options_of_a_file_do_not_call_themselves_or_ask_for_help(capsys, tmp_path):
    file = tmp_path / "a.yaml"
    numbers = ("epochs: 99999999999999999999", "rate: .nan", "epochs: --out", "epochs:", "leakage_test: [a]")
    loops = (f"config: {file}", "help: true", "data: &a [*a]", "data: {a: b}", "a: [" * 5000, "x" * 70_000)
    for content in (*numbers, *loops, "data: [a, -h]"):
        file.write_text(content)
        check_refusal(capsys, ["train", "--config", str(file)], "")


@pytest.mark.parametrize("key", ["hel", "h", "con", "epoch", "val", "c=x", "no_leakage", "run"])
def test_an_option_of_a_file_is_named_whole(capsys, tmp_path, key):
    file = tmp_path / "a.yaml"
    file.write_text(f"{key}: [{file}]")
    check_refusal(capsys, ["train", "--config", str(file)], f"there is no option '{key}'")
