"""Memory that ran out is no fault of a file, and told as what it is."""

from __future__ import annotations

import zipfile

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

from steering_core.cli import parse
from steering_core.cli.main import main
from steering_core.files.hub import loading_from
from steering_core.files.pickled import read_pickled
from steering_core.miniature.optimise import Course, optimise
from steering_core.out_of_memory import is_out_of_memory
from steering_core.pictures import opened_picture

ERRORS = {
    "card": torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "older driver": RuntimeError("MPS backend out of memory"),
    "processor": RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    "on Windows": RuntimeError("[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: not enough memory"),
    "Python": MemoryError(),
}


@pytest.fixture(params=list(ERRORS))
def error(request):
    return ERRORS[request.param]


@pytest.fixture
def loading_fails(monkeypatch, error):
    """``torch.load`` finds no room."""

    def load(*args, **kwargs):
        raise error

    monkeypatch.setattr(torch, "load", load)


def test_it_is_told_from_other_errors():
    assert all(map(is_out_of_memory, ERRORS.values()))
    assert not any(map(is_out_of_memory, (RuntimeError("deliberate"), ValueError("out of memory"))))


def test_a_folder_that_does_not_fit_is_not_damaged(tmp_path, error):
    with pytest.raises(type(error)) as raised, loading_from(tmp_path, "a file is missing or damaged"):
        raise error
    assert raised.value is error


def test_a_checkpoint_that_does_not_fit_is_not_damaged(tmp_path, error, loading_fails):
    file = tmp_path / "a.pt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "")
    with pytest.raises(type(error)) as raised:
        read_pickled(file)
    assert raised.value is error


def test_a_picture_that_does_not_fit_is_not_damaged(tmp_path, error):
    file = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(file)
    with pytest.raises(type(error)) as raised, opened_picture(file, ["PNG"]):
        raise error
    assert raised.value is error


def test_a_stopped_training_that_does_not_fit_is_not_damaged(tmp_path, error, loading_fails):
    (tmp_path / "stage.pt").write_bytes(b"")
    modules, batches = nn.ModuleDict({"part": nn.Linear(2, 2)}), TensorDataset(torch.zeros(1, 2))
    with pytest.raises(type(error)) as raised:
        optimise("stage", modules, batches, lambda batch: batch[0].sum(), Course(1, 0.1), tmp_path, "cpu", print)
    assert raised.value is error


def test_the_command_line_tells_it_on_one_line(monkeypatch, capsys, error):
    def parsed(prompt):
        raise error

    monkeypatch.setattr(parse, "parse", parsed)
    assert main(["parse", "a cat above a dog"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("steer: error: the device's memory does not suffice, fewer seeds or a smaller model need ")
    assert said.endswith(str(error) or "MemoryError")


def test_the_command_line_lets_other_faults_through(monkeypatch):
    def parsed(prompt):
        raise RuntimeError("deliberate")

    monkeypatch.setattr(parse, "parse", parsed)
    with pytest.raises(RuntimeError, match="deliberate"):
        main(["parse", "a cat above a dog"])
