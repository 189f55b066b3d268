"""From pictures to a relation classifier, in the graph."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io

from ..steering_core.backends.comfyui.recording import RecordableComfyModel
from ..steering_core.classifier import ClassifierSettings, save_classifier
from ..steering_core.files.paths import check_name, named_path, path_within
from ..steering_core.layers import layers_on_the_way
from ..steering_core.pictures import to_image
from ..steering_core.training.checkpoint import METRICS, Progress
from ..steering_core.training.dataset import MANIFEST, check_alike, read_manifest, read_records, write_dataset
from ..steering_core.training.recording import INVERSION, NOISE, RecordingSettings, first_half
from ..steering_core.training.settings import TrainingSettings
from ..steering_core.training.sources import Example, LabelledPictures, MiniatureScenes, Source, coco_pictures
from .learned import FOLDER
from .live import show_text
from .ranges import in_ranges
from .types import CATEGORY, Classifier, Dataset, complaint, image_of

_OUTPUT_FOLDER = "relation_maps"
_SCENES, _LABELLED, _BOXES = "miniature_scenes", "labelled_images", "coco_folder"


class RecordRelationMaps(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringRecordRelationMaps",
            display_name="Record Relation Maps",
            category=CATEGORY,
            search_aliases=["dual inversion", "dataset", "Learn-to-Steer"],
            description=(
                "Inverts labelled pictures through the model, each with a true and with false prompts, and records "
                "where the model attends for their two objects: what Train Relation Classifier learns from. The "
                "dataset is written into the output folder piece by piece; a recording that was cancelled goes on."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model that the classifier is to be for. It is not changed."),
                io.Clip.Input("clip", tooltip="Its text encoder."),
                io.Vae.Input("vae", tooltip="Its autoencoder."),
                io.String.Input(
                    "name", default="training", tooltip="Of the dataset: a folder in output/relation_maps."
                ),
                io.DynamicCombo.Input(
                    "source",
                    options=[_scenes_option(), _labelled_option(), _boxes_option()],
                    tooltip="Where the pictures come from, and who says which relation they show.",
                ),
                io.Int.Input(
                    "size",
                    default=128,
                    min=64,
                    max=2048,
                    step=64,
                    tooltip="Side that pictures are cut and scaled to, in pixels: what the model was trained at, such "
                    "as 512 for Stable Diffusion 1.5, 128 for the miniatures.",
                ),
                io.Int.Input(
                    "steps",
                    default=RecordingSettings.steps,
                    min=2,
                    max=1000,
                    tooltip="Steps of the inversion; the first half of them in sampling order is recorded.",
                ),
                io.Combo.Input(
                    "method",
                    options=[INVERSION, NOISE],
                    tooltip="inversion finds the noise that the picture would come from: better maps. noise adds fresh "
                    "noise to it: much faster.",
                ),
                io.Int.Input(
                    "false_prompts",
                    default=RecordingSettings.false_prompts,
                    min=1,
                    max=3,
                    tooltip="With how many false relations each picture is recorded beside the true one. They teach "
                    "the classifier to look at the picture and not at the words.",
                ),
            ],
            outputs=[
                Dataset.Output(display_name="dataset", tooltip="For Train Relation Classifier."),
                io.String.Output(display_name="folder", tooltip="Where it lies."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None, source: dict | None = None) -> bool | str:
        """Refuse what could not be a folder's name."""
        if source is None:
            return f"source must be one of {_SCENES}, {_LABELLED}, {_BOXES}."
        return _name_verdict(name)

    @classmethod
    def fingerprint_inputs(cls, name: str | None = None, **others: Any) -> int:
        """Another one than before where a dataset that was recorded here is gone: then it is recorded anew."""
        return 0 if name is None else _times_gone(_manifest_file(name))

    @classmethod
    @in_ranges
    def execute(
        cls, model, clip, vae, name: str, source: dict, size: int, steps: int, method: str, false_prompts: int
    ) -> io.NodeOutput:
        """Record, shard by shard."""
        folder = named_path(_datasets_folder(), name)
        pictures = _WithLast(_source(source))
        recordable = RecordableComfyModel(model, clip, vae, (size, size))
        settings = RecordingSettings(
            layers_on_the_way(recordable.network),
            steps=steps,
            recorded=first_half(steps),
            method=method,
            false_prompts=false_prompts,
        )
        bar = comfy.utils.ProgressBar(len(pictures))
        # Closed at once when it is interrupted: until then the folder is this recording's.
        with closing(write_dataset(recordable, pictures, settings, folder, shard_size=_SHARD_SIZE)) as shards:
            for done in shards:
                comfy.model_management.throw_exception_if_processing_interrupted()
                bar.update_absolute(done, preview=("JPEG", pictures[done - 1].picture, _PREVIEW_SIDE))
        show_text(f"{len(pictures)} pictures. {read_manifest(folder).left_out_message}")
        _note_made(_manifest_file(name))
        return io.NodeOutput(folder, str(folder))


class _WithLast:
    """A source that has its last picture at hand, for a preview of what was just recorded."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._last: tuple[int, Example] | None = None

    @property
    def description(self) -> Mapping[str, Any]:
        """See ``Source``."""
        return self._source.description

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        if self._last is None or self._last[0] != index:
            self._last = index, self._source[index]
        return self._last[1]


#: Of each file that a node here has made, how often it was found to be gone since, and which of them are gone now.
_times: dict[Path, int] = {}
_gone: set[Path] = set()


def _note_made(file: Path) -> None:
    """Keep in mind that a file was made here."""
    _times.setdefault(file, 0)
    _gone.discard(file)


def _times_gone(file: Path) -> int:
    """How often a file that was made here was found to be gone, and was not made again before."""
    if file in _times and file not in _gone and not file.exists():
        _times[file] += 1
        _gone.add(file)
    return _times.get(file, 0)


def _name_verdict(name: str | None) -> bool | str:
    """Whether it may be a name; one that is linked is known only when the node runs."""
    return True if name is None else complaint(lambda: check_name(name))


def _datasets_folder() -> Path:
    return Path(folder_paths.get_output_directory()) / _OUTPUT_FOLDER


def _manifest_file(name: str) -> Path:
    return _datasets_folder() / name / MANIFEST


#: Of the picture just recorded, at most, in pixels.
_PREVIEW_SIDE = 256
#: What to do where nothing of the kind is there.
_BY_ITS_PATH = "Put it into ComfyUI's input folder, and give its path in there."
#: Small, so that little is lost when a recording is cancelled.
_SHARD_SIZE = 16


def _scenes_option() -> io.DynamicCombo.Option:
    return io.DynamicCombo.Option(
        _SCENES,
        [
            io.Int.Input("count", default=200, min=4, max=100000, tooltip="Scenes of the miniatures' world to draw."),
            io.Int.Input("seed", default=0, min=0, max=2**32, tooltip="Of the scenes; take another for validation."),
        ],
    )


def _labelled_option() -> io.DynamicCombo.Option:
    return io.DynamicCombo.Option(
        _LABELLED,
        [
            io.Image.Input("images", tooltip="A batch of pictures."),
            io.String.Input(
                "labels",
                multiline=True,
                tooltip='A line for each picture, in words: "a dog to the left of a cat". Left, right, above or below.',
            ),
        ],
    )


def _boxes_option() -> io.DynamicCombo.Option:
    return io.DynamicCombo.Option(
        _BOXES,
        [
            io.String.Input(
                "annotations", tooltip="A JSON file with boxes in COCO's format, by its path in ComfyUI's input folder."
            ),
            io.String.Input(
                "pictures", tooltip="The folder with the pictures it names, by its path in ComfyUI's input folder."
            ),
            io.Int.Input("seed", default=0, min=0, max=2**32, tooltip="Of the choice among a picture's pairs."),
        ],
    )


def _source(chosen: dict) -> Source:
    if chosen["source"] == _SCENES:
        return MiniatureScenes(chosen["count"], chosen["seed"])
    if chosen["source"] == _BOXES:
        # A graph reads what lies in the input folder, and nothing else of the machine that it runs on.
        readable = Path(folder_paths.get_input_directory())
        annotations, folder = (_within(readable, str(chosen[name]), name) for name in ("annotations", "pictures"))
        if not annotations.is_file():
            raise ValueError(f"annotations: a JSON file was expected, and {annotations} is none. {_BY_ITS_PATH}")
        if not folder.is_dir():
            raise ValueError(f"pictures: a folder was expected, and {folder} is none. {_BY_ITS_PATH}")
        return coco_pictures(annotations, folder, chosen["seed"], within=folder)
    pictures = [to_image(image.movedim(-1, 0)) for image in chosen["images"]]
    return LabelledPictures(pictures, [line for line in chosen["labels"].splitlines() if line.strip()])


def _within(root: Path, path: str, name: str) -> Path:
    """What an input of this name gives by its path in a folder.

    Raises:
        ValueError: it leads out of there; names the input.
    """
    try:
        return path_within(root, path)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


class TrainRelationClassifier(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and outputs."""
        return io.Schema(
            node_id="SpatialSteeringTrainRelationClassifier",
            display_name="Train Relation Classifier",
            category=CATEGORY,
            search_aliases=["Learn-to-Steer", "learned loss", "dataset"],
            description=(
                "Trains a classifier on recorded maps, and saves it where Load Relation Classifier finds it. The "
                "preview shows the curves; a training that was cancelled goes on."
            ),
            inputs=[
                Dataset.Input("training", tooltip="What to learn from: Record Relation Maps."),
                Dataset.Input("validation", tooltip="Other pictures, which decide when to stop and test the outcome."),
                io.String.Input("name", default="my_classifier", tooltip="Of the file in models/relation_classifiers."),
                io.Int.Input(
                    "epochs", default=50, min=1, max=1000, tooltip="At most so many passes over the training dataset."
                ),
                io.Float.Input(
                    "rate",
                    default=TrainingSettings.rate,
                    min=1e-6,
                    max=1e-1,
                    step=1e-5,
                    round=False,
                    tooltip="Learning rate. 0.0001 to 0.001 suit most datasets.",
                ),
                io.Int.Input(
                    "width", default=ClassifierSettings.width, min=16, max=1024, step=16, tooltip="Of the classifier."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**32,
                    control_after_generate=False,
                    tooltip="Of first weights, order and dropout.",
                ),
            ],
            outputs=[
                Classifier.Output(display_name="classifier", tooltip="For Learned Relation Loss."),
                io.Image.Output(display_name="curves", tooltip="Losses and accuracy over the epochs."),
                io.Image.Output(display_name="confusion", tooltip="What each relation was taken for."),
                io.String.Output(display_name="report", tooltip="Accuracies, on true and on false prompts."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        """Refuse what could not be a file's name."""
        return _name_verdict(name)

    @classmethod
    def fingerprint_inputs(cls, name: str | None = None, **others: Any) -> int:
        """Another one than before where a classifier that was trained here is gone: then it is written anew."""
        return 0 if name is None else _times_gone(_classifier_file(name))

    @classmethod
    @in_ranges
    def execute(
        cls, training: Path, validation: Path, name: str, epochs: int, rate: float, width: int, seed: int
    ) -> io.NodeOutput:
        """Train, and show the curves on the way."""
        _check_packages()
        from ..steering_core.training.report import as_image, confusion_plot, curves_plot, make_report
        from ..steering_core.training.train import train_classifier

        file = named_path(_classifiers_folder(), name, ".safetensors")
        # Any node may hand over a path.
        training, validation = (path_within(_datasets_folder(), str(folder)) for folder in (training, validation))
        manifest, other = read_manifest(training), read_manifest(validation)
        check_alike(training, manifest, validation, other)
        sizes = ClassifierSettings(manifest.layout.map_size, width, manifest.settings.steps)
        settings = TrainingSettings(epochs=epochs, rate=rate, seed=seed)
        bar = comfy.utils.ProgressBar(epochs)

        def show(progress: Progress) -> None:
            bar.update_absolute(progress.epoch, epochs, ("PNG", as_image(curves_plot(work / METRICS)), 768))
            comfy.model_management.throw_exception_if_processing_interrupted()

        # Nodes run in inference mode, where nothing can be learned.
        with torch.inference_mode(False), torch.enable_grad():
            data, held_out = read_records(training, manifest), read_records(validation, other)
            # With other settings or data it is another training, which begins anew.
            run = repr((settings, sizes, data.digest, held_out.digest))
            work = path_within(training, f"training_{name}_{hashlib.sha256(run.encode()).hexdigest()[:8]}")
            recorded = manifest.settings.recorded
            classifier = train_classifier(data, held_out, manifest.layout, recorded, sizes, settings, work, show)
            report = make_report(classifier, held_out, recorded, training=data)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_classifier(classifier, file)
        _note_made(_classifier_file(name))
        plots = [image_of([as_image(plot)]) for plot in (curves_plot(work / METRICS), confusion_plot(report))]
        damaged = [f"left out, damaged: {shard}" for shard in (*data.damaged, *held_out.damaged)]
        return io.NodeOutput(classifier, *plots, "\n".join([str(file), *damaged, str(report)]))


def _classifiers_folder() -> Path:
    return Path(folder_paths.get_folder_paths(FOLDER)[0])


def _classifier_file(name: str) -> Path:
    return _classifiers_folder() / f"{name}.safetensors"


def _check_packages() -> None:
    """Say what to install for training; everything else of the pack does without.

    Raises:
        RuntimeError: a package is missing; names it.
    """
    missing = [name for name in ("accelerate", "matplotlib") if find_spec(name) is None]
    if missing:
        raise RuntimeError(
            f"Training needs packages that ComfyUI does not bring. In its Python: pip install {' '.join(missing)}"
        )
