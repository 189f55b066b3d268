from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image
from pipelines import probe_unet
from toy_recording import SETTINGS as TOY_SETTINGS
from toy_recording import ToyModel, ToySource, content, record_toy

from steering_core.backends.diffusers import ground_prompt
from steering_core.backends.diffusers.recording import recordable
from steering_core.classifier import MapLayout
from steering_core.relations.scene import relation_scene
from steering_core.training.dataset import read_manifest, read_records, shard_file, write_dataset
from steering_core.training.recording import INVERSION, NOISE, NoiseLevel, RecordingSettings, noise_of, record
from steering_core.training.sources import MiniatureScenes

LAYERS = ("down.0", "up.0")
SETTINGS = RecordingSettings(LAYERS, map_size=8, steps=4, recorded=(0, 2), method=NOISE)


@pytest.fixture
def model(pipeline):
    return recordable(pipeline)


class NamedScenes(MiniatureScenes):
    """Scenes of objects that the random pipeline's small vocabulary knows."""

    def _names(self, rng):
        return ["dog", "giraffe"]


def records(model, settings=SETTINGS, count=3, first=0):
    scenes = NamedScenes(first + count, seed=0)
    return list(record(model, [scenes[index] for index in range(first, first + count)], settings, first))


def test_recording_imports_none_of_the_packages_that_training_needs():
    recording = ("dataset", "recording", "settings", "sources")
    script = (
        "import sys; sys.modules.update(accelerate=None, matplotlib=None)",
        *(f"import steering_core.training.{module}" for module in recording),
    )
    subprocess.run([sys.executable, "-c", "; ".join(script)], check=True)


class _EqualLevels(ToyModel):
    """As ComfyUI's schedules have them where they are given more steps than the model knows."""

    def noise_levels(self, steps):
        return [NoiseLevel(float(1 + step // 2), 1 - (step + 1) / steps) for step in range(steps)]

    def derivative(self, latent, level):
        return torch.linspace(0, 1, 16).view(4, 4).expand_as(latent)

    def decode(self, latent):
        return latent.expand(-1, 3, -1, -1).clamp(0, 1)

    def prepared(self, pictures):
        return torch.zeros(len(pictures), 3, 4, 4)


@pytest.mark.parametrize("method", [NOISE, INVERSION])
def test_levels_of_equal_noise_are_steps_of_their_own(method):
    settings = RecordingSettings(("up.0",), map_size=4, steps=4, recorded=(0, 1, 2, 3), method=method)
    rows = list(record(_EqualLevels(), [ToySource()[0]], settings, 0))
    assert [len(row.maps) for row in rows] == [4, 4]
    for row in rows:
        assert torch.equal(row.maps[0], row.maps[1]) and torch.equal(row.maps[2], row.maps[3])
        assert not torch.equal(row.maps[1], row.maps[2])


def test_every_picture_is_recorded_with_its_true_and_a_false_relation(model):
    rows = records(model)
    assert [row.key.split("-")[0] for row in rows] == [f"{n:07d}" for n in (0, 0, 1, 1, 2, 2)]
    assert all(row.stated is row.relation for row in rows[::2])
    assert all(row.stated is not row.relation for row in rows[1::2])
    assert len({row.key for row in rows}) == 6
    for row in rows:
        assert row.maps.shape == (2, 2, 4, 8, 8) and row.maps.dtype == torch.float16
        torch.testing.assert_close(row.maps.float().sum(dim=(-2, -1)), torch.full((2, 2, 4), 64.0), rtol=2e-3, atol=0)


@pytest.mark.parametrize("method", [INVERSION, NOISE])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_schedule_that_leaves_nothing_of_the_picture_is_recorded(pipeline, monkeypatch, method, prediction):
    options = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": prediction}
    monkeypatch.setattr(pipeline, "scheduler", DDIMScheduler.from_config(pipeline.scheduler.config, **options))
    settings = dataclasses.replace(SETTINGS, method=method, least_psnr=0.0)
    rows = records(recordable(pipeline), settings, count=1)
    assert len(rows) == 2 and all(row.maps.isfinite().all() for row in rows)


def test_false_prompts_are_as_many_as_wanted(model):
    rows = records(model, dataclasses.replace(SETTINGS, false_prompts=3), count=1)
    assert len({row.stated for row in rows}) == 4
    assert len(records(model, dataclasses.replace(SETTINGS, false_prompts=0), count=1)) == 1


@pytest.mark.parametrize("method", ["inversion", "noise"])
def test_maps_are_those_of_the_pictures_own_objects(model, pipeline, method):
    """Read one by one, as steering reads them, from the latents that the settings lead to."""
    settings = dataclasses.replace(SETTINGS, method=method, false_prompts=0, least_psnr=0.0)
    together = records(model, settings, count=2)
    example = NamedScenes(2, seed=0)[1]
    scene = relation_scene(example.subject, example.relation, example.object)
    with torch.no_grad():
        (alone,) = record(model, [example], settings, first=1)
        torch.testing.assert_close(together[1].maps, alone.maps, rtol=1e-2, atol=1e-4)
        if method == NOISE:
            level = model.noise_levels(4)[-1]
            z = (model.encode([example.picture]) + level.sigma * noise_of((4, 16, 16), 0, 1)) / (
                1 + level.sigma**2
            ) ** 0.5
            context, _ = pipeline.encode_prompt([scene.prompt], "cpu", 1, False)
            tokens = ground_prompt(pipeline, scene.prompt, scene).tokens
            maps = probe_unet(pipeline.unet, z, torch.tensor(751), context, tokens, LAYERS)
            expected = MapLayout(model.network, LAYERS, 8, 64.0).stack(maps, (0, 1))[0]
            torch.testing.assert_close(alone.maps[0].float(), expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("method", "guess"),
        ("recorded", (2, 1)),
        ("recorded", (4,)),
        ("recorded", ()),
        ("false_prompts", 4),
        ("steps", 10**13),
    ],
)
def test_settings_outside_their_range_are_named(setting, value):
    with pytest.raises(ValueError, match=setting):
        dataclasses.replace(SETTINGS, **{setting: value})


def write(model, folder, stop_after=None, count=5, **options):
    for done in write_dataset(model, NamedScenes(count, seed=0), SETTINGS, folder, shard_size=2, **options):
        if done == stop_after:
            return


def test_a_dataset_comes_back_as_it_was_recorded(model, tmp_path):
    write(model, tmp_path / "data", batch=1)
    manifest = read_manifest(tmp_path / "data")
    assert (manifest.shards, manifest.examples, manifest.settings) == (3, 5, SETTINGS)
    assert [shard.records for shard in manifest.index.values()] == [4, 4, 2]
    assert manifest.layout == MapLayout(model.network, LAYERS, 8, 64.0)
    read = read_records(tmp_path / "data", manifest)
    expected = [row for first in range(5) for row in records(model, count=1, first=first)]
    assert len(read.maps) == len(expected)
    for stored, row in zip(read.maps, expected):
        torch.testing.assert_close(torch.stack(list(stored)), row.maps, rtol=0, atol=0)
    assert read.relation.tolist() == [index % 4 for index in range(5) for _ in range(2)]
    assert (read.stated != read.relation).tolist() == [False, True] * 5
    assert read.damaged == ()


def test_a_stopped_recording_and_two_processes_give_the_same_files(model, tmp_path):
    write(model, tmp_path / "whole")
    write(model, tmp_path / "stopped", stop_after=2)
    assert not shard_file(tmp_path / "stopped", 1).exists()
    write(model, tmp_path / "stopped")
    for process in (1, 0):
        write(model, tmp_path / "shared", process=process, processes=2)
    assert content(tmp_path / "stopped") == content(tmp_path / "whole") == content(tmp_path / "shared")


def test_a_damaged_shard_is_named_and_left_out(model, tmp_path):
    write(model, tmp_path)
    file = shard_file(tmp_path, 1)
    file.write_bytes(file.read_bytes()[:3000])
    read = read_records(tmp_path, read_manifest(tmp_path))
    assert [shard.file for shard in read.damaged] == [file]
    assert len(read.maps) == 6


def test_an_incomplete_or_wholly_damaged_dataset_is_refused(model, tmp_path):
    write(model, tmp_path)
    shard_file(tmp_path, 2).unlink()
    with pytest.raises(ValueError, match=r"1 of 3 shards are missing, 000002\.tar"):
        read_records(tmp_path, read_manifest(tmp_path))
    for number in range(3):
        shard_file(tmp_path, number).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="None of the 3 shards"):
        read_records(tmp_path, read_manifest(tmp_path))


def test_another_dataset_is_not_written_over(model, tmp_path):
    write(model, tmp_path)
    before = content(tmp_path)
    with pytest.raises(ValueError, match=r"manifest\.json differs in source\..*: \d+ there, 6 here"):
        write(model, tmp_path, count=6)
    assert content(tmp_path) == before


def test_a_folder_without_a_manifest_is_no_dataset(tmp_path):
    with pytest.raises(ValueError, match="is no dataset"):
        read_manifest(tmp_path)


class HalfSeenModel(ToyModel):
    """Draws black pictures alone, so that it comes back to black ones and to no others."""

    def derivative(self, latent, level):
        return torch.zeros_like(latent)

    def prepared(self, pictures):
        return torch.stack([torch.full((3, 8, 8), picture.getpixel((0, 0))[0] / 255) for picture in pictures])

    def decode(self, latent):
        return torch.zeros(len(latent), 3, 8, 8)


class GreyPictures(ToySource):
    """Each lighter than the one before: 0, 51, 102 … of 255, which black differs from by 14 dB, 8 dB …"""

    def __getitem__(self, index):
        picture = Image.new("RGB", (8, 8), (51 * index,) * 3)
        return dataclasses.replace(super().__getitem__(index), picture=picture)


@pytest.mark.parametrize(("least_psnr", "kept"), [(20.0, 1), (10.0, 2), (0.0, 4)])
def test_pictures_that_inversion_does_not_come_back_to_are_left_out(tmp_path, least_psnr, kept):
    settings = dataclasses.replace(TOY_SETTINGS, method=INVERSION, least_psnr=least_psnr)
    manifest = read_manifest(record_toy(tmp_path, HalfSeenModel(), GreyPictures(4), settings))
    assert manifest.left_out == 4 - kept
    assert len(read_records(tmp_path, manifest).maps) == 2 * kept


def test_a_dataset_whose_pictures_were_all_left_out_is_refused(tmp_path):
    settings = dataclasses.replace(TOY_SETTINGS, method=INVERSION, least_psnr=100.0)

    class WhitePictures(ToySource):
        def __getitem__(self, index):
            return dataclasses.replace(super().__getitem__(index), picture=Image.new("RGB", (8, 8), "white"))

    manifest = read_manifest(record_toy(tmp_path, HalfSeenModel(), WhitePictures(4), settings))
    with pytest.raises(ValueError, match=r"holds no picture to learn from\. 4 of the pictures were left out") as told:
        read_records(tmp_path, manifest)
    assert str(tmp_path) in str(told.value) and "a lower least_psnr" in str(told.value)
    shard_file(tmp_path, 1).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"holds no picture to learn from\. 4 .* Damaged is .*000001\.tar"):
        read_records(tmp_path, manifest)


def test_any_seed_of_64_bits_is_held(tmp_path):
    settings = dataclasses.replace(TOY_SETTINGS, seed=2**64 - 1)
    manifest = read_manifest(record_toy(tmp_path, source=ToySource(seed=2**64 - 1), settings=settings))
    assert (manifest.settings.seed, manifest.source["seed"]) == (2**64 - 1, 2**64 - 1)
    with pytest.raises(ValueError, match=r"settings\.seed: a whole number of at most 64 bits"):
        told = json.loads((tmp_path / "manifest.json").read_text())
        told["settings"]["seed"] = 2**64
        (tmp_path / "manifest.json").write_text(json.dumps(told))
        read_manifest(tmp_path)


def test_noise_leaves_out_no_picture(tmp_path):
    assert read_manifest(record_toy(tmp_path, HalfSeenModel(), GreyPictures(4))).left_out == 0


def test_a_dataset_from_before_there_was_a_choice_left_out_nothing(tmp_path):
    record_toy(tmp_path)
    told = json.loads((tmp_path / "manifest.json").read_text())
    del told["settings"]["least_psnr"]
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    assert read_manifest(tmp_path).settings.least_psnr == 0
