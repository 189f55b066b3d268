"""What a miniature's training refuses before it marks a folder, and how its folder is put in place."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from steering_core.backends.diffusers import load_pipeline
from steering_core.miniature.export import export
from steering_core.miniature.flux_training import FluxTrainingSettings, train_flux_miniature
from steering_core.miniature.folder import FLUX_MINIATURE_DIR, LATENT_PREVIEW_FILE, MINIATURE_DIR
from steering_core.miniature.pictures import PictureSettings, random_layout
from steering_core.miniature.training import TrainingSettings, train_miniature

PREVIEW = {"factors": []}


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline(MINIATURE_DIR, "cpu")


@pytest.fixture
def folder(tmp_path, pipeline):
    """One that a training wrote, with a card that somebody wrote."""
    folder = tmp_path / "miniature"
    export(pipeline, PREVIEW, folder)
    (folder / "README.md").write_text("a card")
    return folder


def check_exported(folder: Path) -> None:
    assert (folder / "README.md").read_text() == "a card" and (folder / LATENT_PREVIEW_FILE).exists()
    assert [path.name for path in folder.resolve().parent.iterdir() if not path.is_symlink()] == [folder.resolve().name]


def test_a_folder_is_replaced_and_its_card_kept(folder, pipeline):
    (folder / LATENT_PREVIEW_FILE).unlink()
    export(pipeline, PREVIEW, folder)
    check_exported(folder)


def test_copies_beside_it_are_nobodys_but_the_users(tmp_path, pipeline):
    copies = [tmp_path / f"miniature{ending}" for ending in (".before", ".partial")]
    for copy in copies:
        copy.mkdir()
        (copy / "kept").touch()
    for _ in range(2):
        export(pipeline, PREVIEW, tmp_path / "miniature")
    assert all((copy / "kept").exists() for copy in copies)


def test_a_link_stays_one(folder, pipeline):
    link = folder.with_name("link")
    link.symlink_to(folder.name)
    export(pipeline, PREVIEW, link)
    assert link.is_symlink()
    check_exported(link)


@pytest.mark.parametrize("last", [1, 2])
def test_an_export_that_is_stopped_while_it_puts_the_folder_in_place_loses_no_card(folder, pipeline, monkeypatch, last):
    """Stopped at its last or last but one renaming, and then begun again."""
    rename, renamed = os.replace, []

    def stopping(source, target):
        if len(renamed) == 2 - last:
            raise KeyboardInterrupt
        renamed.append(target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopping)
        with pytest.raises(KeyboardInterrupt):
            export(pipeline, PREVIEW, folder)
    export(pipeline, PREVIEW, folder)
    check_exported(folder)


def test_a_start_of_another_shape_is_refused_and_marks_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"holds a FluxPipeline.*folder of a StableDiffusionPipeline was expected"):
        train_miniature(TrainingSettings(), tmp_path / "work", tmp_path / "out", "cpu", FLUX_MINIATURE_DIR)
    assert not list(tmp_path.iterdir())


def test_a_training_without_a_picture_to_begin_with_is_refused_and_marks_no_folder(tmp_path):
    settings = FluxTrainingSettings(pictures=8, count_shares=(0, 0, 0.4, 0.3, 0.3))
    with pytest.raises(ValueError, match="Pictures of one or two objects were expected"):
        train_flux_miniature(settings, tmp_path / "work", tmp_path / "out", "cpu", MINIATURE_DIR)
    assert not list(tmp_path.iterdir())


def test_shares_that_add_up_to_one_but_for_rounding_draw_layouts():
    settings = PictureSettings(count_shares=(0.3333333, 0.3333333, 0.3333333, 0, 0))
    layout = random_layout(np.random.default_rng(0), settings.count_shares)
    assert 1 <= len(layout.placements) <= 3
