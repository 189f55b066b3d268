"""Pipelines of the diffusers library, loaded from a folder or a single file."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.utils import is_accelerate_available
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...files.described import described, read_json
from ...files.hub import HERE, loading_from, local_folder
from ...files.weights import weights_hash
from ...wording import brief, one_line
from .pipelines import PIPELINES, PipelineKind, kind_named

_INDEX = "model_index.json"
#: Whose networks a pipeline's folder names.
_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
#: Names of tensors that ComfyUI's quantised files have beside their weights.
_SCALES = (".scale_weight", ".weight_scale", ".comfy_quant")


def load_pipeline(source: str | Path, device: str, components: str | Path | None = None) -> DiffusionPipeline:
    """Load a pipeline without its safety checker and without asking the network.

    On the CPU it computes in float32, elsewhere in the precision that its kind is made to run in.

    Args:
        source: a pipeline's folder, or the name of one in the Hugging Face cache of this machine; or a single file,
            a .safetensors checkpoint of Stable Diffusion or SDXL, or the network of another kind.
        components: where source is a file, the folder or name of a pipeline of its kind, which gives what the file
            lacks: configurations, tokenizers and, but for Stable Diffusion and SDXL, text encoders and autoencoder.

    Raises:
        ValueError: there is none, it is of another kind or damaged, wants Python of its folder to be run, or the
            device cannot be used.
    """
    check_device(device)
    file = Path(source) if Path(source).is_file() else None
    if file is None and components is not None:
        raise ValueError(f"{source} is no file, so that it needs no components of {components}. Give one of the two.")
    if file is not None:
        _check_single_file(file, components)
    folder = local_folder(source if components is None else components, _INDEX)
    index = read_json(folder / _INDEX)
    name = described(_ModelIndex, index, str(folder), strict=False)._class_name
    kind = kind_named(name)
    if kind is None or not hasattr(diffusers, name):
        expected = ", ".join(kind.pipelines[0] for kind in PIPELINES)
        raise ValueError(
            f"{folder} holds a {brief(name)}; one that can be steered was expected: {expected} or one of their kinds "
            f"(docs/models.md)."
        )
    dtype = torch.float32 if torch.device(device).type == "cpu" else kind.dtype
    with loading_from(folder, f"{source} cannot be loaded, a file is missing or damaged"):
        pipeline = _load(getattr(diffusers, name), kind, folder, index, file, dtype)
        for part, made in pipeline.components.items():
            _check_tokens(folder / part, getattr(made, "tokenizer", made))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _load(
    of: type[DiffusionPipeline],
    kind: PipelineKind,
    folder: Path,
    index: dict[str, Any],
    file: Path | None,
    dtype: torch.dtype,
) -> DiffusionPipeline:
    """From a folder with this index, and a single file if there is one."""
    options: dict[str, Any] = {"local_files_only": True, "dtype": dtype}
    if "safety_checker" in inspect.signature(of.__init__).parameters:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    if file is not None and kind.network == "unet":
        return of.from_single_file(str(file), config=str(folder), torch_dtype=options.pop("dtype"), **options)
    if file is not None:
        network = getattr(diffusers, index[kind.network][1])
        options[kind.network] = network.from_single_file(
            str(file), config=str(folder), subfolder=kind.network, local_files_only=True, dtype=dtype
        )
    options |= _networks(folder, index, options)
    return of.from_pretrained(folder, low_cpu_mem_usage=is_accelerate_available(), trust_remote_code=False, **options)


def _networks(folder: Path, index: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, nn.Module]:
    """The networks of a pipeline's folder, each with all of its weights.

    Loaded as a part of the pipeline, one whose file lacks some would draw by random numbers in their place.

    Args:
        index: of each part its library and class.
        given: parts that are not to be loaded, by their names, and the ``dtype``.

    Raises:
        ValueError: a file lacks weights.
    """
    networks = {}
    for name, named in index.items():
        library, kind = named if isinstance(named, list) and len(named) == 2 else ("", "")
        of = getattr(_LIBRARIES.get(str(library)), str(kind), None)
        if name in given or not (isinstance(of, type) and issubclass(of, (ModelMixin, PreTrainedModel))):
            continue
        for needed in ("config.json", "*.safetensors"):
            if not any((folder / name).glob(needed)):
                raise ValueError(f"{folder / name} has no {needed}, which a network is made of")
        options = HERE if issubclass(of, PreTrainedModel) else {"low_cpu_mem_usage": is_accelerate_available()}
        options = {**options, "local_files_only": True, "use_safetensors": True, "output_loading_info": True}
        options["dtype"] = given["dtype"]
        networks[name], loading = cast(Any, of).from_pretrained(folder / name, **options)
        if missing := sorted(loading["missing_keys"]):
            raise ValueError(f"{folder / name} lacks {len(missing)} of its network's weights, {missing[0]} first")
    return networks


def _check_tokens(folder: Path, tokenizer: Any) -> None:
    """Refuse a tokenizer whose folder has no vocabulary: transformers makes one without words of it.

    Raises:
        ValueError: names the files, one of which was expected.
    """
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        files = tokenizer.vocab_files_names.values()
        if not any((folder / file).is_file() for file in files):
            raise ValueError(f"{folder} has no vocabulary: {' or '.join(files)} was expected there")


def _check_single_file(file: Path, components: str | Path | None) -> None:
    """Refuse a file without the rest of its pipeline, and one that would not be read as what it is.

    Raises:
        ValueError: no components are given, or the file is no safetensors file, or quantised for ComfyUI.
    """
    if components is None:
        raise ValueError(
            f"{file} is a single file; its components were expected as well: the folder of a diffusers pipeline of its "
            f"kind, which has the configurations and tokenizers that a file lacks."
        )
    if file.suffix.lower() != ".safetensors":
        raise ValueError(f"{file}: a .safetensors file was expected. Other checkpoints are pickles and are not opened.")
    try:
        with safe_open(file, "pt") as tensors:
            names = tensors.keys()
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or no safetensors file: {one_line(error)}") from error
    if quantised := next((name for name in names if name.endswith(_SCALES)), None):
        raise ValueError(
            f"{file}: its weights are quantised for ComfyUI ({brief(quantised)}), which diffusers would read as plain "
            f"numbers. Give the file in bf16 or fp16, or steer it in ComfyUI."
        )


@dataclass(frozen=True)
class _ModelIndex:
    """What a pipeline's folder says of itself."""

    _class_name: str


def pipeline_hash(pipeline: DiffusionPipeline) -> str:
    """``weights_hash`` of all networks of a pipeline."""
    return weights_hash(part for part in pipeline.components.values() if isinstance(part, nn.Module))


def check_device(device: str) -> None:
    """Refuse a device on which torch cannot compute here.

    Raises:
        ValueError: it cannot, or there is none of this name.
    """
    try:
        (torch.ones(1, device=device) + 1).item()  # the device meta fails no sooner than here
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"The device {brief(device)} cannot be used here; cpu always can, cuda with a GPU: {one_line(error)}"
        ) from error
