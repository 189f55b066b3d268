from __future__ import annotations

import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from stopped_runs import check_goes_on
from transformers import CLIPTokenizer

from steering_core.backends.diffusers import load_pipeline
from steering_core.miniature import training
from steering_core.miniature.folder import LATENT_PREVIEW_FILE, read_config
from steering_core.miniature.training import TrainingSettings, train_miniature

pytestmark = pytest.mark.usefixtures("quick_sheets")
SETTINGS = TrainingSettings(autoencoder_steps=2, autoencoder_batch=2, pictures=8, denoiser_steps=3, denoiser_batch=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder of the pipeline, work folder) of a run of a few steps."""
    root = tmp_path_factory.mktemp("training")
    train_miniature(SETTINGS, root / "work", root / "out", "cpu")
    return root / "out", root / "work"


def test_run_writes_a_pipeline_that_draws(trained):
    pipeline = load_pipeline(trained[0], "cpu")
    picture = pipeline("a dog above a cat", num_inference_steps=2, output_type="pt").images
    assert picture.shape == (1, 3, 128, 128) and picture.isfinite().all()


def test_weights_are_safetensors_in_half_precision(trained):
    files = list(trained[0].rglob("*.safetensors"))
    assert len(files) == 3
    for file in files:
        assert {weight.dtype for weight in load_file(file).values() if weight.is_floating_point()} == {torch.float16}
    assert not list(trained[0].rglob("*.bin"))
    assert {file.stat().st_mode for file in files} == {(trained[0] / LATENT_PREVIEW_FILE).stat().st_mode}


def test_older_readers_find_the_vocabulary(trained):
    folder = trained[0] / "tokenizer"
    assert {"vocab.json", "merges.txt"} <= {file.name for file in folder.iterdir()}
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    ids = tokenizer("a giraffe above an airplane")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True).split() == ["a", "giraffe", "above", "an", "airplane"]


def test_latent_preview_maps_latents_to_colours(trained):
    preview = read_config(trained[0] / LATENT_PREVIEW_FILE)
    assert torch.tensor(preview["factors"]).shape == (4, 3)
    assert torch.tensor(preview["bias"]).shape == (3,)


def test_sheets_are_written_on_the_way(trained):
    assert {file.stem for file in trained[1].glob("*.png")} == {"autoencoder_2", "denoiser_3"}
    assert Image.open(trained[1] / "denoiser_3.png").size == (8 * 128, 2 * 128)


def test_a_stopped_run_ends_as_the_unbroken_one_does(trained, tmp_path, monkeypatch):
    def train(work, out):
        train_miniature(SETTINGS, work, out, "cpu")

    check_goes_on(monkeypatch, train, trained[0], tmp_path, stopped_at=4)


def test_checkpoints_of_another_run_are_refused(trained, tmp_path):
    settings = TrainingSettings(autoencoder_steps=5, pictures=8)
    with pytest.raises(ValueError, match=r"autoencoder_steps: 2 there, 5 here.*another work folder"):
        train_miniature(settings, trained[1], tmp_path / "out", "cpu")


def test_a_damaged_checkpoint_is_named(trained, tmp_path):
    work = shutil.copytree(trained[1], tmp_path / "work")
    (work / "autoencoder.pt").write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"autoencoder\.pt is damaged"):
        train_miniature(SETTINGS, work, tmp_path / "out", "cpu")


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(ValueError, match="no pipeline's folder"):
        train_miniature(SETTINGS, tmp_path / "work", tmp_path, "cpu")
    assert not (tmp_path / "work").exists()


def test_training_goes_on_from_a_miniature_and_keeps_its_autoencoder(trained, tmp_path):
    settings = TrainingSettings(
        seed=1, pictures=8, denoiser_steps=2, denoiser_batch=2, count_shares=(0.0, 1.0, 0.0, 0.0, 0.0)
    )
    train_miniature(settings, tmp_path / "work", tmp_path / "out", "cpu", start=trained[0])
    assert not list((tmp_path / "work").glob("autoencoder*"))
    assert not [file for file in (tmp_path / "out").rglob("*.json") if str(trained[0]) in file.read_text()]
    for part, is_kept in {"vae": True, "unet": False, "text_encoder": False}.items():
        (file,) = (trained[0] / part).glob("*.safetensors")
        before, after = load_file(file), load_file(tmp_path / "out" / part / file.name)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before) == is_kept


def test_a_training_does_not_go_on_from_other_weights_that_lie_where_the_first_ones_lay(trained, tmp_path):
    settings = TrainingSettings(seed=1, pictures=4, denoiser_steps=1, denoiser_batch=1)
    start = tmp_path / "start"
    shutil.copytree(trained[0], start)
    train_miniature(settings, tmp_path / "work", tmp_path / "out", "cpu", start=start)
    moved = start.rename(tmp_path / "moved")
    train_miniature(settings, tmp_path / "work", tmp_path / "out", "cpu", start=moved)

    file = moved / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({name: weight + 1 for name, weight in weights.items()}, file)
    with pytest.raises(ValueError, match="belongs to another run"):
        train_miniature(settings, tmp_path / "work", tmp_path / "out", "cpu", start=moved)


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.5, 0.5, 0.0, 0.0), (2.0, -1.0, 0.0, 0.0, 0.0)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="count_shares"):
        TrainingSettings(count_shares=shares)


def test_timesteps_cover_the_schedule_evenly():
    times = training._stratified_times(40, 1000)
    assert torch.equal(times // 25, torch.arange(40))


def test_a_missing_file_of_the_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"unet.config\.json"):
        read_config(tmp_path / "unet" / "config.json")
