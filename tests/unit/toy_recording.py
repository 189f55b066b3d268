"""Datasets in milliseconds: a model to record that has no network, and pictures without content."""

from __future__ import annotations

import torch
from PIL import Image

from steering_core.layers import AttentionLayer
from steering_core.relations.relation import CARDINAL_RELATIONS
from steering_core.token_maps import TokenMaps
from steering_core.tokens import Token
from steering_core.training.dataset import write_dataset
from steering_core.training.recording import NOISE, NoiseLevel, RecordingSettings
from steering_core.training.sources import Example

SETTINGS = RecordingSettings(("up.0",), map_size=4, steps=2, recorded=(0, 1), method=NOISE)
RECORDS_A_SHARD, SHARDS = 4, 3


class ToyModel:
    """Its attention is a pattern of the prompt's words and of the noise."""

    network = (AttentionLayer("up", 0, 0, 2),)

    def __init__(self, name: str = "toy", value: float = 1.0) -> None:
        self.hash, self._value = name, value

    def noise_levels(self, steps):
        return [NoiseLevel(float(step + 1), 1 - (step + 1) / steps) for step in range(steps)]

    def tokens(self, prompt):
        return [Token(index, word) for index, word in enumerate(prompt.split())]

    def prompted(self, pictures, prompts, work):
        each = len(prompts) // len(pictures)
        return work(torch.zeros(len(pictures) * each, 1, 4, 4), self)

    def noised(self, latent, noise, level):
        return latent + level.sigma * noise

    def token_maps(self, latent, level, tokens, layers):
        maps = torch.stack([(latent[:, 0] + len(indices)).sigmoid() for indices in tokens], dim=1)
        return TokenMaps({"up.0": maps[:, :, None].expand(-1, -1, 2, -1, -1) * self._value})


class ToySource:
    """So many pictures of a dog and a cat."""

    def __init__(self, count: int = 6, seed: int = 0) -> None:
        self._count = count
        self.description = {"kind": "toy", "seed": seed, "count": count}

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        if not 0 <= index < self._count:
            raise IndexError(index)
        return Example(f"{index:07d}", Image.new("RGB", (8, 8)), "dog", CARDINAL_RELATIONS[index % 4], "cat")


def start(folder, model=None, source=None, settings=SETTINGS, **options):
    """The recording of two pictures a shard, which runs as it is iterated."""
    return write_dataset(model or ToyModel(), source or ToySource(), settings, folder, shard_size=2, **options)


def record_toy(folder, *arguments, **options):
    """Record to the end; returns the folder."""
    for _ in start(folder, *arguments, **options):
        pass
    return folder


def content(folder):
    """Names and contents of a dataset's files; locks are no part of it."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".lock"}
