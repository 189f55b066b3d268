"""Weights in ComfyUI's quantised formats, as its checkpoints hold them."""

import json

import torch
from setting import quant_ops


def quantised_weights(network, blocks, format):
    """The network's state dict, with the linear layers of these blocks in a quantised format.

    Args:
        blocks: what stands in the names of their weights.
    """
    layout = quant_ops.QUANT_ALGOS[format]["comfy_tensor_layout"]
    weights = {}
    for name, weight in network.state_dict().items():
        weights[name] = weight
        if blocks in name and name.endswith(".weight") and weight.dim() == 2:
            options = {"convrot_groupsize": 16} if "w4a" in format else {}
            packed = quant_ops.QuantizedTensor.from_float(weight.float(), layout, **options)
            weights.update(packed.state_dict(name))
            told = json.dumps({"format": format, **options}).encode()
            weights[name.removesuffix("weight") + "comfy_quant"] = torch.tensor(list(told), dtype=torch.uint8)
    return weights
