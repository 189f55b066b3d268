"""Names of objects as the field's benchmarks and detectors have them."""

from __future__ import annotations

#: The 80 of COCO (Lin et al. 2014), in its order; the objects of VISOR and of GenEval.
COCO_NAMES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)

#: Other names of COCO's objects: those of GenEval's prompts, of T2I-CompBench's, and of detectors.
_SYNONYMS = {
    "aeroplane": "airplane",
    "bag": "handbag",
    "bike": "bicycle",
    "boy": "person",
    "cellphone": "cell phone",
    "computer keyboard": "keyboard",
    "computer mouse": "mouse",
    "desk": "dining table",
    "diningtable": "dining table",
    "fridge": "refrigerator",
    "girl": "person",
    "hair dryer": "hair drier",
    "man": "person",
    "motorbike": "motorcycle",
    "phone": "cell phone",
    "plane": "airplane",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "table": "dining table",
    "television": "tv",
    "tv monitor": "tv",
    "tv remote": "remote",
    "tvmonitor": "tv",
    "woman": "person",
}

#: What COCO's panoptic names end in where they gather several of its finer ones: "sky-other-merged", "door-stuff".
_PANOPTIC_ENDINGS = ("-other-merged", "-merged", "-other", "-stuff")


def canonical(name: str) -> str:
    """COCO's name for an object where it has one, else the name itself; in lower case, without a panoptic ending."""
    plain = " ".join(name.casefold().split())
    ending = next((ending for ending in _PANOPTIC_ENDINGS if plain.endswith(ending)), "")
    plain = plain.removesuffix(ending)
    return _SYNONYMS.get(plain, plain)
