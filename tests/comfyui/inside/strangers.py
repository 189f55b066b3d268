"""What a stranger's workflow asks of the nodes that read and write files: FOLDER with an input folder in it."""

import json
from pathlib import Path

import torch
from setting import Scene, arguments, folder_paths, report
from spatial_steering.nodes.learned import LoadRelationClassifier
from spatial_steering.nodes.training import RecordRelationMaps, TrainRelationClassifier

folder = Path(arguments[0])
folder_paths.set_output_directory(str(folder / "output"))
folder_paths.set_input_directory(str(folder / "input"))
folder_paths.folder_names_and_paths["relation_classifiers"][0].insert(0, str(folder / "classifiers"))
SCENES = {"source": "miniature_scenes", "count": 4, "seed": 0}


def outcome(work, *given):
    """What a node says, or none if it runs."""
    try:
        work(*given)
    except (ValueError, OSError) as error:
        return str(error)


with torch.inference_mode():
    scene = Scene()

    def record(name, source=SCENES):
        return RecordRelationMaps.execute(scene.model, scene.clip, scene.vae, name, source, 64, 2, "noise", 1)

    def train(training, validation, name):
        return TrainRelationClassifier.execute(training, validation, name, 1, 1e-3, 16, 0)

    def read(annotations, pictures):
        return record("read", {"source": "coco_folder", "annotations": annotations, "pictures": pictures, "seed": 0})

    result = {"typed": {}, "linked": {}, "trained": {}, "read": {}, "given": {}, "loaded": {}}
    data = record("data").result[0]
    for name in json.loads((folder / "names.json").read_text()):
        result["typed"][name] = RecordRelationMaps.validate_inputs(name, SCENES)
        result["linked"][name] = outcome(record, name)
        result["trained"][name] = outcome(train, data, data, name)
    for annotations, pictures in json.loads((folder / "reads.json").read_text()):
        result["read"][f"{annotations} {pictures}"] = outcome(read, annotations, pictures)
    for given in json.loads((folder / "datasets.json").read_text()):
        result["given"][given] = outcome(train, Path(given), data, "mine"), outcome(train, data, given, "mine")
    for name in json.loads((folder / "classifiers.json").read_text()):
        result["loaded"][name] = outcome(LoadRelationClassifier.execute, name)
report(result)
