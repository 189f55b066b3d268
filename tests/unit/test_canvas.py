"""What the canvas says of a layout, by web/js, and what the server asks of it: the same, whatever the prompt."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from steering_core.front_end import prompt_as_json, vocabulary
from steering_core.layout import MOST_PLACED, TOUCHING_DISTANCE, laid_out, read_layout
from steering_core.object_names import LONGEST_PHRASE, UNSPACED
from steering_core.parser import objects, parse
from steering_core.relations.named import numbered
from steering_core.report.viz import object_colour

_SCRIPT = Path(__file__).with_name("canvas.mjs")
_WRITTEN = _SCRIPT.with_name("written.mjs")
_NAMES = ("cat", "dog", "bird", "red car", "tree", "Lamp", "lamp", "dog house", "car", "house")
_RELATIONS = ("to the left of", "above", "below", "next to", "above and to the right of")
_PLACES = ("on the left", "in the center", "at the top", "in the lower right corner")


def _prompt(rng: random.Random) -> str:
    def clause() -> str:
        one, other = (f"{rng.choice(('a ', 'a ', ''))}{rng.choice(_NAMES)}" for _ in range(2))
        told = [f"{one} {rng.choice(_RELATIONS)} {other}", f"{one} {rng.choice(_PLACES)}", f"{one}, {other}"]
        return rng.choice(told)

    return ", ".join(clause() for _ in range(rng.randint(1, 3)))


def _scene(prompt: str) -> dict:
    return {"prompt": prompt, **prompt_as_json(prompt), "vocabulary": vocabulary()}


def _case(rng: random.Random) -> dict:
    """A prompt, moves on its canvas, perhaps an object taken off and added again, and another prompt or the same."""
    one, another = rng.sample(_NAMES[:5], 2)
    is_related_later = rng.random() < 0.3
    prompt = f"a {one}, a {another}" if is_related_later else _prompt(rng)
    scene = _scene(prompt)
    moves = [[rng.randrange(6), [rng.random(), rng.random()]] for _ in range(rng.randint(0, 3))]
    taken_off = rng.randrange(len(scene["objects"])) if rng.random() < 0.3 else None
    other = rng.choice([prompt, prompt.lower(), _prompt(rng), f"{prompt}, {_prompt(rng)}"])
    if is_related_later:
        moves, taken_off = [[at, [rng.random(), rng.random()]] for at in (0, 1)], None
        other = f"a {one} {rng.choice(_RELATIONS)} a {another}"
    comes_back = taken_off is not None and rng.random() < 0.5
    return {"scene": scene, "moves": moves, "takenOff": taken_off, "comesBack": comes_back, "other": _scene(other)}


@pytest.fixture(scope="module")
def node():
    """One that tells by itself that a file is a module."""
    program = shutil.which("node")
    version = program and subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if not version or tuple(map(int, version.strip(" v\n").split(".")[:2])) < (20, 19):
        pytest.skip("needs node 20.19 or later, which runs the canvas's JavaScript")
    return program


def test_the_server_asks_what_the_canvas_says(node):
    rng = random.Random(3)
    cases = [_case(rng) for _ in range(160)]
    assert [case for case, line in zip(cases, _told(node, cases), strict=True) if not _agree(case, line)] == []


def _told(node: str, cases: list[dict], script: Path = _SCRIPT) -> list[str]:
    """What the canvas says of cases, a line each."""
    lines = "\n".join(map(json.dumps, cases))
    return subprocess.run(
        [node, str(script)], input=lines, capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.mark.parametrize(
    ("prompt", "index", "words"),
    [("an old tower to the left of a dog", 0, "tower"), ("a stone tower above a red car", 1, "car")],
)
def test_an_object_that_gets_fewer_of_its_own_words_is_those_words(node, prompt, index, words):
    scene = _scene(prompt)
    renamed = [index, {"name": words, "occurrence": 0}]
    case = {"scene": scene, "moves": [], "takenOff": None, "renamed": renamed, "other": scene}
    (line,) = _told(node, [case])
    (said,) = json.loads(line)["said"]
    assert words in said and _agree(case, line)


_GNOME = "a red giraffe above a small airplane, next to a garden gnome"
_TWO_CATS = (
    "\u5de6\u8fb9\u6709\u4e00\u53ea\u732b\u5728\u7761\u89c9\uff0c\u53f3\u8fb9\u6709\u4e00\u53ea\u732b\u5728\u8df3\u821e"
)
_CAT, _ONE_CAT = "\u732b", "\u4e00\u53ea\u732b"


def _written(node: str, prompt: str, *written: str, asked: tuple[int, ...] = ()) -> dict:
    """What comes of adding objects by these words to a canvas, one after the other."""
    (line,) = _told(node, [{"scene": _scene(prompt), "asked": asked, "written": written}], _WRITTEN)
    return json.loads(line)


@pytest.mark.parametrize(
    ("prompt", "written", "there"),
    [
        ("a giraffe above an airplane", "a giraffe", "giraffe"),
        ("\U0001f992 a giraffe above an airplane", "a giraffe", "giraffe"),
        (_GNOME, "red", "red giraffe"),
        (_GNOME, "red giraffe above", "red giraffe"),
        (_GNOME, "garden", "garden gnome"),
        (_GNOME, "gnome", "gnome"),
        ("a cat above another cat", "another cat", "cat 2"),
    ],
)
def test_the_words_of_an_object_are_no_other_objects(node, prompt, written, there):
    assert _written(node, prompt, written)["told"] == [{"there": there}]


def test_each_of_two_same_words_can_be_added_in_any_language(node):
    done = _written(node, _TWO_CATS, _CAT, _CAT, _CAT)
    assert done["told"] == [{"name": _CAT, "occurrence": 0}, {"name": _CAT, "occurrence": 1}, {"there": _CAT}]
    assert done["absent"] == []
    assert [str(one) for one in laid_out(parse(_TWO_CATS), read_layout(done["value"])).relations] == []
    assert _written(node, _TWO_CATS, _ONE_CAT, _CAT)["told"][1] == {"name": _CAT, "occurrence": 1}
    assert _written(node, "el perro y el otro perro", "perro", "perro")["told"][1] == {"name": "perro", "occurrence": 1}


def test_words_of_what_is_read_as_one_in_another_language_can_be_added_unless_it_is_asked_something(node):
    prompt = "un chat \u00e0 gauche d'un chien"
    names = [one["name"] for one in prompt_as_json(prompt)["objects"]]
    (clause,) = (at for at, name in enumerate(names) if "chien" in name)
    assert _written(node, prompt, "chien")["told"] == [{"name": "chien", "occurrence": 0}]
    assert _written(node, prompt, "chien", asked=(clause,))["told"] == [{"there": names[clause]}]


def test_objects_that_are_added_stand_apart(node):
    words = ["cup", "banana", "fork", "spoon", "plate", "knife", "candle", "vase"]
    done = _written(
        node, f"a table with {', '.join(words)} in warm light, oil, evening", "warm", "light", "oil", "evening"
    )
    points = done["points"]
    assert len(points) >= 8
    apart = [max(abs(a[0] - b[0]) / 0.3, abs(a[1] - b[1]) / 0.1) for b in points[-4:] for a in points if a is not b]
    assert min(apart) >= 0.5


def _constant(module: str, name: str) -> str:
    """The value of a constant of a module in web/js, as it is written there."""
    text = (_SCRIPT.parents[2] / "web" / "js" / f"{module}.js").read_text(encoding="utf-8")
    (value,) = re.findall(rf"^(?:export )?const {name} = (.*)$", text, re.MULTILINE)
    return value


def test_the_canvas_has_the_servers_limits_and_colours():
    assert int(_constant("damage", "MOST_PLACED")) == MOST_PLACED
    assert int(_constant("naming", "LONGEST")) == LONGEST_PHRASE
    assert float(_constant("vocabulary", "TOUCHING_DISTANCE")) == TOUCHING_DISTANCE
    letters = _constant("objects", "UNSPACED").removeprefix("/").removesuffix("/u")
    assert letters.encode().decode("unicode_escape") == UNSPACED.pattern
    colours = ["#{:02X}{:02X}{:02X}".format(*object_colour(number)) for number in range(8)]
    assert json.loads(_constant("field", "COLOURS")) == colours and object_colour(8) == object_colour(0)


def _agree(case: dict, line: str) -> bool:
    """Whether the server asks what a line of the canvas says."""
    canvas, prompt = json.loads(line), case["other"]["prompt"]
    scene = laid_out(parse(prompt), read_layout(canvas["value"]))
    names = {span: str(named) for span, named in numbered({*objects(prompt), *scene.objects}).items()}
    asked = [[names[r.subject], r.relation.value, r.object and names[r.object]] for r in scene.relations]
    said = [one for one in canvas["said"] if one not in asked] + [one for one in asked if one not in canvas["said"]]
    return not said and sorted(canvas["absent"]) == sorted(scene.absent)
