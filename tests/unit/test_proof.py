"""``benchmarks.proof``: its prompts, ways and page, and that its sessions add up."""

from __future__ import annotations

import shutil
import sys
from functools import partial

import pytest

from benchmarks import proof
from benchmarks.in_comfyui import ComfyUI, graph
from benchmarks.measuring import miniature_settings
from benchmarks.proof_page import in_equal_time
from benchmarks.proof_ways import OTHER_SEEDS, RENDERED, UNSTEERED, WAYS, rendered
from steering_core.evaluation.suites import ScenePrompt
from steering_core.evaluation.visor import judge
from steering_core.miniature.look import MiniatureDetector
from steering_core.miniature.prompts import chained_prompts
from steering_core.miniature.world import is_unseen_pair
from steering_core.pictures import to_image
from steering_core.relations.relation import Relation


def test_the_whole_is_a_thousand_pairs_and_three_hundred_of_each_kind():
    kinds = {name: suite.prompts for name, suite in proof.suites().items()}
    unseen, seen = kinds.pop("unseen_pairs"), kinds.pop("seen_pairs")
    assert len(unseen) + len(seen) == 1000 and not set(unseen) & set(seen)
    assert all(is_unseen_pair(*prompt.objects) for prompt in unseen)
    assert not any(is_unseen_pair(*prompt.objects) for prompt in seen)
    sizes = {name: {(len(one.objects), len(one.relations)) for one in prompts} for name, prompts in kinds.items()}
    assert sizes == {f"{a}_objects_{b}_relations": {(a, b)} for a, b in ((3, 2), (4, 2), (4, 3), (5, 3))}
    assert {len(prompts) for prompts in kinds.values()} == {300}


def test_rendered_scenes_show_what_a_prompt_says():
    detector = MiniatureDetector()
    for prompt in chained_prompts(2, (2, 3), seed=5):
        pictures = rendered(prompt, (0, 1))
        assert pictures.shape == (2, 3, 128, 128) and not pictures[0].equal(pictures[1])
        assert all(judge(prompt.relations, detector.find(to_image(one), prompt.objects)).correct for one in pictures)


def test_steering_is_held_against_as_many_seeds_as_its_time_pays_for():
    """Of 8 pictures 2 are right with one seed, 6 by the best of two, 5 steered; a quarter of another is paid."""
    first, best, steered = [1, 1], [3, 3], [2, 3]
    of_seeds, more = in_equal_time(0.25, first, best, steered, 4)
    assert of_seeds.value == pytest.approx((0.75 * 2 + 0.25 * 6) / 8)
    assert more.value == pytest.approx(5 / 8 - 3 / 8) and more.low == pytest.approx(1 / 8) == more.high - 2 / 8
    assert in_equal_time(-0.1, first, best, steered, 4)[0].value == pytest.approx(2 / 8)
    assert in_equal_time(1.7, first, best, steered, 4)[0].value == pytest.approx(6 / 8)


def test_a_graph_of_comfyui_gives_each_object_its_half():
    prompt = ScenePrompt((("dog", Relation.RIGHT_OF, "cat"),))
    nodes = graph("flux_miniature", prompt, (3, 4), 25, 3.5)
    assert nodes["model"]["inputs"] == {"shape": "FLUX"}
    places = {name: nodes[f"area {name}"]["inputs"] for name in ("dog", "cat")}
    assert {name: (one["x"], one["y"], one["width"], one["height"]) for name, one in places.items()} == {
        "dog": (0.5, 0.0, 0.5, 1.0),
        "cat": (0.0, 0.0, 0.5, 1.0),
    }
    assert nodes["alone dog"]["inputs"]["text"] == "a photo of a dog"
    samplers = [nodes[f"sampler_{seed}"]["inputs"] for seed in (3, 4)]
    assert [(one["seed"], one["positive"], one["scheduler"]) for one in samplers] == [
        (seed, ["with cat", 0], "simple") for seed in (3, 4)
    ]
    assert nodes["with cat"]["inputs"]["conditioning_1"] == ["with dog", 0]
    assert nodes["with dog"]["inputs"]["conditioning_1"] == ["whole", 0]


def test_an_address_without_a_comfyui_is_told():
    with pytest.raises(ValueError, match=r"http://127.0.0.1:9: a running ComfyUI was expected there"):
        ComfyUI("http://127.0.0.1:9")


def run(monkeypatch, *options):
    command = ["--model", "miniature", "--suite", "unseen_pairs", "5_objects_3_relations", *options]
    monkeypatch.setattr(sys, "argv", ["proof", *command])
    proof.main()


@pytest.fixture(scope="module")
def one_prompt(tmp_path_factory):
    """What a session leaves that draws a prompt, and its page beside."""
    out = tmp_path_factory.mktemp("proof") / "out"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(proof, "miniature_settings", partial(miniature_settings, steps=2))
        page = out.with_name("page.md")
        run(monkeypatch, "--out", str(out), "--prompts", "1", "--several", "0", "--page", str(page))
    return out


def test_a_session_without_time_draws_nothing(tmp_path, monkeypatch, capsys):
    run(monkeypatch, "--out", str(tmp_path), "--minutes", "0")
    assert "unseen pairs: 0 of 384 prompts" in capsys.readouterr().out and not list(tmp_path.rglob("*.png"))


def test_sessions_add_up_and_the_page_is_of_what_all_ways_have_drawn(one_prompt, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "miniature_settings", partial(miniature_settings, steps=2))
    shutil.copytree(one_prompt.parent, tmp_path, dirs_exist_ok=True)
    out, page = tmp_path / "out", tmp_path / "page.md"
    told = page.read_text()
    assert "### unseen pairs: 1 of 384 prompts" in told and "### 5 objects 3 relations: 0 of 300 prompts" in told
    for way in WAYS:
        assert (f"| {way.replace('_', ' ')} | 4 |" in told) == (not way.startswith("comfyui")), way
    drawn = {file: file.stat().st_mtime_ns for file in out.rglob("*.png")}
    folder = out / "miniature" / "unseen_pairs" / "arms"
    assert len(drawn) == 4 * 7 and {file.parts[-3] for file in drawn} == {one.name for one in folder.iterdir()}
    assert "best of N in its time" in told

    run(monkeypatch, "--out", str(out), "--prompts", "2", "--several", "0", "--page", str(page))
    assert "### unseen pairs: 2 of 384 prompts" in page.read_text()
    assert {file: file.stat().st_mtime_ns for file in drawn} == drawn

    (folder / RENDERED / "found" / "000000.json").unlink()
    run(monkeypatch, "--out", str(out), "--minutes", "0", "--page", str(page))
    assert "### unseen pairs: 1 of 384 prompts" in page.read_text()


def test_what_was_seen_is_known_where_the_pictures_are_gone(one_prompt, tmp_path, monkeypatch):
    """The page is the same, nothing is drawn again but what is not known, and that is added."""
    monkeypatch.setattr(proof, "miniature_settings", partial(miniature_settings, steps=2))
    out, records, page = tmp_path / "out", tmp_path / "records", tmp_path / "page.md"
    shutil.copytree(one_prompt, out)
    monkeypatch.setattr(proof, "draw_and_look", None)  # not called
    run(monkeypatch, "--out", str(out), "--minutes", "0", "--records", str(records), "--page", str(page))
    told, kept = page.read_text(), (records / "miniature" / "unseen_pairs.csv").read_text()
    assert told == one_prompt.with_name("page.md").read_text() and len(kept.splitlines()) == 1 + 7

    shutil.rmtree(out)
    again = "--prompts", "1", "--several", "0", "--records", str(records), "--page", str(page)
    run(monkeypatch, "--out", str(out), *again)
    assert page.read_text() == told and not list(out.rglob("*.png"))

    monkeypatch.undo()
    monkeypatch.setattr(proof, "miniature_settings", partial(miniature_settings, steps=2))
    without = [line for line in kept.splitlines(keepends=True) if RENDERED not in line]
    (records / "miniature" / "unseen_pairs.csv").write_text("".join(without))
    run(monkeypatch, "--out", str(out), *again)
    assert page.read_text() == told and len(list(out.rglob("*.png"))) == 4
    assert len((records / "miniature" / "unseen_pairs.csv").read_text().splitlines()) == 1 + 7


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0,unsteered,1111,0110,4.25,0123456789ab", "'unsteered' was drawn with other settings or weights"),
        ("0,unsteered,111,011,4.25,0123456789ab", "and 4 pictures was expected"),
        ("0,unsteered,1111,0110,soon,0123456789ab", "and 4 pictures was expected"),
        ("", "and 4 pictures was expected"),
        ("999,unsteered,1111,0110,4.25,0123456789ab", "of one of 384 prompts"),
        ("0,unsteered,1011,0110,4.25,0123456789ab", "a picture is right, 0110, in which not all objects are, 1011"),
        ("0,other,1111,0110,4.25,a\n0,other,1111,0110,4.25,a", "prompt 0 was drawn by 'other' above already"),
    ],
)
def test_records_that_do_not_fit_are_refused(line, message, tmp_path, monkeypatch, capsys):
    file = tmp_path / "records" / "miniature" / "unseen_pairs.csv"
    file.parent.mkdir(parents=True)
    file.write_text(f"number,way,present,right,seconds,settings\n{line}\n")
    with pytest.raises(SystemExit):
        run(monkeypatch, "--out", str(tmp_path / "out"), "--minutes", "0", "--records", str(file.parent.parent))
    told = capsys.readouterr().err
    assert f"{file}, line " in told and message in told


def test_a_damaged_file_of_records_is_named(tmp_path, monkeypatch, capsys):
    file = tmp_path / "records" / "miniature" / "unseen_pairs.csv"
    file.parent.mkdir(parents=True)
    for content in (b"", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(SystemExit):
            run(monkeypatch, "--out", str(tmp_path / "out"), "--minutes", "0", "--records", str(file.parent.parent))
        assert f"{file}: 'number,way" in capsys.readouterr().err


def test_a_way_that_has_to_be_drawn_again_leaves_a_page(one_prompt, tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "miniature_settings", partial(miniature_settings, steps=2))
    records, page = tmp_path / "records", tmp_path / "page.md"
    asked = "--minutes", "0", "--records", str(records), "--page", str(page)
    run(monkeypatch, "--out", str(one_prompt), *asked)
    file = records / "miniature" / "unseen_pairs.csv"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "combined" not in line))
    run(monkeypatch, "--out", str(tmp_path / "out"), *asked)
    assert "unseen pairs: 0 of 384 prompts" in page.read_text()


def test_other_settings_are_noticed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(proof, "miniature_settings", partial(miniature_settings, steps=2))
    run(monkeypatch, "--out", str(tmp_path), "--prompts", "1", "--several", "0")
    monkeypatch.setattr(proof, "miniature_settings", partial(miniature_settings, steps=3))
    with pytest.raises(SystemExit):
        run(monkeypatch, "--out", str(tmp_path), "--minutes", "0")
    assert "run.json was made with other settings: sampling.steps: 2 there, 3 here" in capsys.readouterr().err


def test_the_best_of_two_is_one_of_the_two(one_prompt):
    pictures = one_prompt / "miniature" / "unseen_pairs" / "arms"

    def of(way: str, seed: int) -> bytes:
        return (pictures / way / "pictures" / f"000000_{seed}.png").read_bytes()

    for seed in range(4):
        assert of("best_of_2", seed) in (of(UNSTEERED, seed), of(OTHER_SEEDS, seed))
        assert of(UNSTEERED, seed) != of(OTHER_SEEDS, seed)
