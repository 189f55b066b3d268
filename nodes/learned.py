"""The learned loss: loading of relation classifiers, and scoring with them."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import torch
from comfy_api.latest import io

from ..steering_core.classifier import CLASSIFIERS_DIR, MINIATURE_CLASSIFIER, RelationClassifier, load_classifier
from ..steering_core.losses import LearnedLoss
from .losses import weight_input, weighted
from .ranges import in_ranges
from .types import CATEGORY, Classifier, loss_output

FOLDER = "relation_classifiers"
folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER), is_default=True)
folder_paths.add_model_folder_path(FOLDER, str(CLASSIFIERS_DIR))
folder_paths.folder_names_and_paths[FOLDER][1].update({".safetensors", ".pth", ".pt"})


class LoadRelationClassifier(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's input and outputs."""
        return io.Schema(
            node_id="SpatialSteeringLoadRelationClassifier",
            display_name="Load Relation Classifier",
            category=CATEGORY,
            search_aliases=["Learn-to-Steer", "classifier", "learned loss"],
            description=(
                "Loads a classifier that tells from a model's attention which relation two objects have, for Learned "
                "Relation Loss: one from Train Relation Classifier, or a released checkpoint of Learn-to-Steer. Each "
                "is for one model."
            ),
            inputs=[
                io.Combo.Input(
                    "classifier_name",
                    options=folder_paths.get_filename_list(FOLDER),
                    default=MINIATURE_CLASSIFIER.name,
                    tooltip="A file in ComfyUI's models/relation_classifiers, or one that ships with this pack.",
                ),
            ],
            outputs=[
                Classifier.Output(display_name="classifier", tooltip="For Learned Relation Loss."),
                io.String.Output(display_name="summary", tooltip="What it knows and which model it is for, in words."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, classifier_name: str | None = None) -> list[int] | None:
        """What tells a file from one that was written under the same name since; none of a name that is linked."""
        if classifier_name is None:
            return None
        state = Path(folder_paths.get_full_path_or_raise(FOLDER, classifier_name)).stat()
        return [state.st_mtime_ns, state.st_size]

    @classmethod
    def execute(cls, classifier_name: str) -> io.NodeOutput:
        """Read the file, for gradients later on."""
        # Weights that are made in inference mode could not be saved for backward.
        with torch.inference_mode(False):
            classifier = load_classifier(Path(folder_paths.get_full_path_or_raise(FOLDER, classifier_name)))
        return io.NodeOutput(classifier, f"knows {', '.join(classifier.relations)}\nreads {classifier.layout}")


class LearnedRelationLoss(io.ComfyNode):
    """See the schema."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node's inputs and output."""
        return io.Schema(
            node_id="SpatialSteeringLearnedRelationLoss",
            display_name="Learned Relation Loss",
            category=CATEGORY,
            search_aliases=["Learn-to-Steer", "classifier loss", "steering loss"],
            description=(
                "Asks that a relation classifier recognises the wanted relation in the model's attention. After "
                "Learn-to-Steer. Only for the model that the classifier was trained on."
            ),
            inputs=[
                Classifier.Input("classifier", tooltip="From Load Relation Classifier."),
                weight_input(),
            ],
            outputs=[loss_output()],
        )

    @classmethod
    @in_ranges
    def execute(cls, classifier: RelationClassifier, weight: float) -> io.NodeOutput:
        """Build the loss."""
        return io.NodeOutput(weighted(LearnedLoss(classifier), weight))
