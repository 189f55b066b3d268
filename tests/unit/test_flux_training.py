from __future__ import annotations

import json
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, FluxPipeline
from PIL import Image
from safetensors.torch import load_file
from stopped_runs import check_goes_on
from transformers import T5TokenizerFast

from benchmarks.measuring import Measurement, Sampling, draw_all, pairs_suite
from benchmarks.ways import UNSTEERED, centroid_way, rows
from steering_core.backends.diffusers import ground_prompt, load_pipeline
from steering_core.cli.main import main
from steering_core.losses import CentroidLoss
from steering_core.miniature import flux_training, optimise
from steering_core.miniature.captions import caption
from steering_core.miniature.flux_training import FluxTrainingSettings, shown_objects, train_flux_miniature
from steering_core.miniature.folder import LATENT_PREVIEW_FILE, MINIATURE_DIR, read_config
from steering_core.miniature.muon import Muon
from steering_core.miniature.networks import T5_LENGTH
from steering_core.miniature.pictures import tokenizer_captions
from steering_core.miniature.prompts import chained_prompts, unseen_pair_prompts
from steering_core.miniature.score import sampled
from steering_core.miniature.world import IMAGE_SIZE, OBJECTS, Placement
from steering_core.schedule import GUIDANCE, SteeringSchedule
from steering_core.steering import Steering

pytestmark = pytest.mark.usefixtures("quick_sheets")
SETTINGS = FluxTrainingSettings(pictures=8, denoiser_steps=3, denoiser_batch=2, few_objects_steps=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder of the pipeline, work folder) of a run of a few steps."""
    root = tmp_path_factory.mktemp("flux")
    train_flux_miniature(SETTINGS, root / "work", root / "out", "cpu", MINIATURE_DIR)
    return root / "out", root / "work"


def test_run_writes_a_folder_that_diffusers_loads_and_draws_with(trained):
    pipeline = FluxPipeline.from_pretrained(trained[0], local_files_only=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline(
        "a dog above a cat",
        height=IMAGE_SIZE,
        width=IMAGE_SIZE,
        num_inference_steps=2,
        max_sequence_length=T5_LENGTH,
        output_type="pt",
    ).images
    assert picture.shape == (1, 3, IMAGE_SIZE, IMAGE_SIZE) and picture.isfinite().all()


def test_folder_is_small_and_in_half_precision(trained):
    files = [file for file in trained[0].rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 25e6
    weights = [file for file in files if file.suffix == ".safetensors"]
    assert len(weights) == 4 and not {file.suffix for file in files} & {".bin", ".pt", ".ckpt", ".pkl"}
    for file in weights:
        assert {weight.dtype for weight in load_file(file).values() if weight.is_floating_point()} == {torch.float16}


def test_autoencoder_is_the_first_miniatures(trained):
    name = "vae/diffusion_pytorch_model.safetensors"
    taken, shipped = load_file(trained[0] / name), load_file(MINIATURE_DIR / name)
    assert taken.keys() == shipped.keys() and all(torch.equal(taken[key], shipped[key]) for key in taken)
    config = AutoencoderKL.load_config(trained[0] / "vae")
    assert config["shift_factor"] == 0.0  # without one, FluxPipeline fails
    assert torch.tensor(read_config(trained[0] / LATENT_PREVIEW_FILE)["factors"]).shape == (4, 3)


@pytest.mark.parametrize(
    "text",
    ["a teddy bear to the left of an airplane", "A Teddy Bear, and a Dog above A ZEBRA", "a xylophone & 7 owls!"],
)
def test_t5_tokenizer_keeps_every_character(trained, text):
    tokenizer = T5TokenizerFast.from_pretrained(trained[0] / "tokenizer_2", local_files_only=True)
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids and ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_t5_tokenizer_has_a_piece_for_each_word_of_the_world(trained):
    tokenizer = T5TokenizerFast.from_pretrained(trained[0] / "tokenizer_2", local_files_only=True)
    for text in tokenizer_captions(1):
        assert len(tokenizer(text)["input_ids"]) == len(text.replace(",", " ,").split()) + 1 <= T5_LENGTH
        assert len(tokenizer(text.title())["input_ids"]) == len(text.replace(",", " ,").split()) + 1
    for prompt in (*unseen_pair_prompts(48, 0), *chained_prompts(50, (2, 3), 0)):
        assert len(tokenizer(prompt.text)["input_ids"]) <= T5_LENGTH


def test_nothing_of_the_folder_is_warned_about(trained, caplog):
    with caplog.at_level(logging.WARNING):
        pipeline = load_pipeline(trained[0], "cpu")
        pipeline.encode_prompt("a dog above a cat", None, max_sequence_length=T5_LENGTH)
    assert [record.getMessage() for record in caplog.records if "truncated" in record.getMessage()] == []


def test_a_stopped_run_ends_as_the_unbroken_one_does(trained, tmp_path, monkeypatch):
    def train(work, out):
        train_flux_miniature(SETTINGS, work, out, "cpu", MINIATURE_DIR)

    check_goes_on(monkeypatch, train, trained[0], tmp_path, stopped_at=3)


def test_a_run_goes_on_longer_and_in_larger_batches_but_not_as_another(trained, tmp_path):
    with pytest.raises(ValueError, match="another work folder"):
        settings = FluxTrainingSettings(seed=1, pictures=8, denoiser_steps=3, denoiser_batch=2, few_objects_steps=1)
        train_flux_miniature(settings, trained[1], tmp_path / "out", "cpu", MINIATURE_DIR)
    settings = FluxTrainingSettings(pictures=8, denoiser_steps=4, denoiser_batch=3, few_objects_steps=1)
    train_flux_miniature(settings, trained[1], tmp_path / "out", "cpu", MINIATURE_DIR)
    assert (trained[1] / "denoiser_4.png").exists()
    assert Image.open(trained[1] / "denoiser_3.png").size == (8 * 128, 2 * 128)


def test_a_miniature_of_this_shape_is_trained_on(trained, tmp_path):
    settings = FluxTrainingSettings(pictures=8, denoiser_steps=1, denoiser_batch=2, denoiser_rate=1e-9)
    train_flux_miniature(settings, tmp_path / "work", tmp_path / "out", "cpu", trained[0])
    parts = ("transformer/diffusion_pytorch_model", "text_encoder/model", "text_encoder_2/model")
    for name in (f"{part}.safetensors" for part in parts):
        before, after = load_file(trained[0] / name), load_file(tmp_path / "out" / name)
        assert before.keys() == after.keys()
        for key, weight in before.items():
            torch.testing.assert_close(after[key], weight, rtol=1e-3, atol=1e-6)


def test_a_training_by_the_command_line(tmp_path):
    few = ["--pictures", "4", "--denoiser-steps", "1", "--denoiser-batch", "2"]
    shares = ["--count-shares", "0", "0.5", "0.5", "0", "0"]
    out = tmp_path / "out"
    assert main(["miniature", "train", "--shape", "flux", "--out", str(out), "--device", "cpu", *few, *shares]) == 0
    assert json.loads((tmp_path / "out.work" / "run.json").read_text())["count_shares"] == [0, 0.5, 0.5, 0, 0]
    assert load_pipeline(out, "cpu").transformer.config.num_layers == 3


def test_batches_are_the_same_in_another_process(trained):
    """Where processes are spawned, what makes batches is pickled."""
    pipeline = load_pipeline(trained[0], "cpu")
    batches = flux_training._Batches(SETTINGS, pipeline.tokenizer, pipeline.tokenizer_2)
    there = pickle.loads(pickle.dumps(batches))
    for step in range(3):
        assert all(torch.equal(one, other) for one, other in zip(batches[step], there[step]))


def test_rate_rises_stays_and_falls():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = optimise.plateau(optimizer, 1.0, 1000)
    rates = []
    for _ in range(1001):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(1 / 200) and rates[199] == rates[800] == 1.0
    assert rates[900] == pytest.approx(0.5) and rates[1000] == 0.0


def test_a_step_of_muon_is_orthogonal_and_of_adamws_size():
    torch.manual_seed(0)
    matrices = [torch.nn.Parameter(torch.zeros(*shape)) for shape in ((8, 32), (32, 8), (8, 8))]
    other = torch.nn.Parameter(torch.zeros(5))
    optimizer = Muon(matrices, [other], 0.1, weight_decay=0.0)
    for parameter in (*matrices, other):
        parameter.grad = torch.randn_like(parameter) * 1e-3
    optimizer.step()
    for matrix in matrices:
        singular = torch.linalg.svdvals(matrix) / (0.1 * 0.2 * max(matrix.shape) ** 0.5)
        assert singular.min() > 0.3 and singular.max() < 1.3
    torch.testing.assert_close(other.abs(), torch.full((5,), 0.1), rtol=1e-3, atol=0)


def test_muon_fits_a_linear_map_in_few_steps():
    torch.manual_seed(0)
    wanted, matrix = torch.randn(8, 8), torch.nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([matrix], [], 0.1, weight_decay=0.0)
    for _ in range(200):
        inputs = torch.randn(32, 8)
        optimizer.zero_grad()
        (inputs @ (matrix - wanted)).square().mean().backward()
        optimizer.step()
    assert (matrix - wanted).norm() < 0.2 * wanted.norm()


def test_times_cover_their_distribution_evenly():
    times = flux_training._times(40)
    assert torch.equal((torch.special.ndtr(times.logit()) * 40).floor(), torch.arange(40.0))


def test_tokens_are_named_by_what_covers_them():
    shown = shown_objects((Placement("dog", 24.0, 8.0, 16, 16), Placement("cat", 100.0, 100.0, 8, 24)))
    assert shown.shape == (64, len(OBJECTS) + 1)
    torch.testing.assert_close(shown.sum(dim=1), torch.ones(64))
    assert shown[1, OBJECTS.index("dog")] == 1 and shown[0, -1] == 1
    assert shown[:, OBJECTS.index("cat")].sum() * 16**2 == pytest.approx(8 * 24)


def test_captions_that_always_agree_never_lie():
    rng = np.random.default_rng(0)
    dog, cat = Placement("dog", 30.0, 30.0, 40, 40), Placement("cat", 90.0, 90.0, 40, 40)
    texts = {caption(rng, (dog, cat), 1.0) for _ in range(200)}
    assert any("dog above" in text for text in texts)
    assert not any("cat above" in text or "dog below" in text for text in texts)


def test_sample_and_score_take_it(trained, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["miniature", "sample", "--model", str(trained[0]), "--out", str(sheet), "--count", "2"]) == 0
    assert Image.open(sheet).size == (2 * 128, 128)
    assert main(["miniature", "score", "--model", str(trained[0]), "--prompts", "1", "--scenes", "1"]) == 0
    assert '"unsteered"' in capsys.readouterr().out


def test_it_is_steered_by_the_tokens_of_its_t5_encoder(trained):
    pipeline = load_pipeline(trained[0], "cpu")
    torch.manual_seed(0)
    for weight in pipeline.transformer.parameters():  # after three steps it is still blind to the text
        weight.data += 0.05 * torch.randn_like(weight)
    grounded = ground_prompt(pipeline, "a dog above a teddy bear")
    assert grounded.tokens == ((1,), (4, 5))
    pictures = []
    for loss in (None, CentroidLoss("gelu")):
        steering = loss and Steering(grounded, loss, SteeringSchedule())
        pictures.append(sampled(pipeline, "a dog above a teddy bear", [0, 1], steering, 4))
    assert pictures[0].shape == (2, 3, IMAGE_SIZE, IMAGE_SIZE) and not torch.equal(*pictures)


def test_the_benchmarks_draw_with_it(trained, tmp_path):
    ways = UNSTEERED, centroid_way("gelu", SteeringSchedule(GUIDANCE))
    measurement = Measurement.of(tmp_path, pairs_suite(), range(1), ways, Sampling(trained[0], 2, 2.0))
    with ThreadPoolExecutor(1) as pool:
        draw_all([measurement], pool)
    told = rows(measurement)
    assert [(row["loss"], row["images"]) for row in told] == [("none", 4), ("gelu", 4)]
    assert [row["gradient_passes"] > 0 for row in told] == [False, True]


def test_an_autoencoder_is_not_trained(capsys, tmp_path):
    options = ["--shape", "flux", "--out", str(tmp_path / "out"), "--autoencoder-steps", "1"]
    assert main(["miniature", "train", *options]) == 2
    assert "--autoencoder-steps" in capsys.readouterr().err
