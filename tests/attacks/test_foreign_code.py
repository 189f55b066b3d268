"""No Python of a model's folder is run, and nobody is asked whether it may be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import dynamic_module_utils

from steering_core.backends.diffusers import load_pipeline
from steering_core.detection.detectors import TransformersDetector
from steering_core.detection.segmenter import Segmenter
from steering_core.evaluation.encoders import TransformersEncoder
from steering_core.files.hub import loading_from
from steering_core.miniature.folder import MINIATURE_DIR

#: Of a kind that transformers does not have …
UNKNOWN = {"model_type": "stranger", "auto_map": {name: "evil.Evil" for name in ("AutoConfig", "AutoModel")}}
#: … and image processors of none, beside a kind that it has.
PROCESSOR = {"image_processor_type": "Stranger", "auto_map": {"AutoImageProcessor": "evil.Evil"}}


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """What folders with the code of ``write`` leave where it was run; whoever is asked says yes."""
    questions = []
    monkeypatch.setattr("builtins.input", lambda *asked: questions.append(asked) or "y")
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    mark = tmp_path / "mark"
    yield mark
    assert not mark.exists() and not questions


def write(folder: Path, mark: Path, **configurations) -> Path:
    """A folder with configurations, by the stems of their files, and the code that they name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\n\n\nclass Evil:\n    pass\n")
    for name, content in configurations.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_a_detectors_folder_runs_nothing(tmp_path, ran):
    folder = write(tmp_path / "detector", ran, config=UNKNOWN)
    with pytest.raises(ValueError, match=rf"{folder} wants Python of its own"):
        TransformersDetector(str(folder), "cpu")


@pytest.mark.parametrize("kind", ["rt_detr", "mask2former"])
def test_nor_does_the_backbone_of_a_known_detector(tmp_path, ran, kind):
    folder = tmp_path / "detector"
    backbone = {"model_type": "bert", "auto_map": {"AutoBackbone": "evil.Evil"}, "_name_or_path": str(folder)}
    processor = {"image_processor_type": "Mask2FormerImageProcessor"}
    write(folder, ran, config={"model_type": kind, "backbone_config": backbone}, preprocessor_config=processor)
    save_file({"weight": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=rf"{folder} wants Python of its own"):
        TransformersDetector(str(folder), "cpu")


@pytest.mark.parametrize(
    ("config", "processor"),
    [(UNKNOWN, {"image_processor_type": "BitImageProcessor"}), ({"model_type": "dinov2"}, PROCESSOR)],
    ids=["model", "processor"],
)
def test_a_vision_models_folder_runs_nothing(tmp_path, ran, config, processor):
    folder = write(tmp_path / "features", ran, config=config, preprocessor_config=processor)
    with pytest.raises(ValueError, match=rf"{folder} wants Python of its own"):
        TransformersEncoder(str(folder), "cpu")


def test_a_segmenter_by_itself_runs_nothing(tmp_path, ran):
    folder = write(tmp_path / "masks", ran, config={"model_type": "stranger"}, preprocessor_config=PROCESSOR)
    with pytest.raises(ValueError, match=str(folder)):
        Segmenter(folder, "cpu")


@pytest.mark.parametrize("component", [("transformers", "CLIPProcessor"), ("evil", "Evil")], ids=["part", "module"])
def test_a_pipelines_folder_runs_nothing(tmp_path, ran, component):
    """Neither the part of a component, whose configuration names it, nor a component that is a module beside it."""
    folder = tmp_path / "model"
    shutil.copytree(MINIATURE_DIR, folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "tokenizer": component}))
    write(folder / "tokenizer", ran, preprocessor_config=PROCESSOR, config={})
    with pytest.raises(ValueError, match=rf"{folder} wants Python of its own"):
        load_pipeline(folder, "cpu")


def test_what_else_loads_in_the_same_process_is_left_as_it_was(tmp_path):
    patience = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    with pytest.raises(ValueError, match=r"^It failed: another fault$"), loading_from(tmp_path, "It failed"):
        raise ValueError("another fault")
    assert dynamic_module_utils.TIME_OUT_REMOTE_CODE == patience > 0
