from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from steering_core.classifier import (
    ClassifierSettings,
    MapLayout,
    RelationClassifier,
    TransformerSettings,
    load_classifier,
    save_classifier,
)
from steering_core.layers import PUBLISHED_NETWORKS, AttentionLayer, published_order
from steering_core.token_maps import TokenMaps

RELATIONS = ["above", "below", "to the left of", "to the right of"]
NETWORK = (AttentionLayer("down", 0, 0, 2), AttentionLayer("mid", 0, 1, 3), AttentionLayer("up", 0, 0, 1))
SMALL = TransformerSettings(heads=2, layers=2, feed_forward=8)


def small(trained_steps=(1, 3), **settings) -> RelationClassifier:
    """A classifier of 4×4 maps, with the weights for which the published code's results were noted."""
    sizes = ClassifierSettings(
        map_size=4, width=8, steps=5, extractor=SMALL, classifier=TransformerSettings(2, 1, 8), time_width=4, **settings
    )
    layout = MapLayout(NETWORK, ("mid.0", "down.0", "up.0"), 4, 1.0)
    classifier = RelationClassifier(["above", "below", "left_of", "right_of"], layout, sizes, trained_steps)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for _, parameter in sorted(classifier.named_parameters()):
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.3, parameter.shape)))
    return classifier.eval()


def published(name="sd14", **changes) -> dict:
    """A checkpoint as the authors' code saves it, with random weights."""
    transformer = {"nhead": 2, "num_layers": 1, "dim_feedforward": 8, "dropout": 0.3}
    time = {"enable": True, "mode": "mid"}
    config = {
        "extractor": {**transformer, "layer_attn_nheads": 2, "timestep_embedding": time},
        "classifier": {**transformer, "mode": "multiclass", "timestep_embedding_dim": 16, "fc_ver": "v1"},
        "map_size": 16,
        "d_model": 8,
        "num_timesteps": 50,
        "architecture": "attention",
    }
    network = PUBLISHED_NETWORKS[name]
    settings = ClassifierSettings(
        width=8, extractor=TransformerSettings(2, 1, 8), classifier=TransformerSettings(2, 1, 8)
    )
    model = RelationClassifier(RELATIONS, MapLayout(network, published_order(network), 16, 1.0), settings, [5], 1368)
    return {
        "model_state_dict": model.state_dict(),
        "rel_name_to_idx": {relation: index for index, relation in enumerate(RELATIONS)},
        "idx_to_rel_name": dict(enumerate(RELATIONS)),
        "input_channels": 1368,
        "config": config,
        "training_config": {"exp_name": name, "timesteps": [5, 10, 49]},
        **changes,
    }


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("every_layer", [-2.233553, 1.27564, 0.253068, 0.21352]),
        ("first_layer", [-2.027182, 1.126786, 0.113046, 0.158013]),
        ("none", [-0.526766, 2.002488, -1.710059, 1.494099]),
    ],
)
def test_the_results_are_the_published_codes(mode, expected):
    """The figures are of github.com/sapir1779/learn-to-steer, with the same weights and maps."""
    maps = torch.from_numpy(np.random.default_rng(1).random((1, 2, 6, 4, 4), dtype=np.float32))
    logits = small(time_before=mode)(maps, torch.tensor([3]))
    torch.testing.assert_close(logits, torch.tensor([expected]), atol=1e-5, rtol=1e-5)


def test_weights_are_named_as_in_the_published_checkpoints():
    names = set(small().state_dict())
    extractor = {"query_vector", "input_projection.weight", "timestep_embedding.weight", "positional_encoding.pe"}
    extractor |= {"transformer.layers.1.self_attn.in_proj_weight", "layer_attention.out_proj.bias"}
    classifier = {"timestep_embedding.weight", "positional_encoding.pe", "projection.weight", "fc.0.weight"}
    classifier |= {"fc.1.weight", "fc.4.weight", "fc.5.bias", "fc.8.weight", "transformer.layers.0.linear2.bias"}
    wanted = {f"object_extractor.{name}" for name in extractor} | {f"relation_classifier.{name}" for name in classifier}
    assert wanted <= names


@pytest.mark.parametrize(("name", "maps"), [("sd14", 128), ("sd2", 195), ("flux_schnell", 1368), ("flux_dev", 1368)])
def test_published_networks_have_as_many_maps_as_the_method_reads(name, maps):
    network = PUBLISHED_NETWORKS[name]
    assert MapLayout(network, published_order(network), 16, 1.0).maps == maps


def test_the_published_order_goes_from_coarse_to_fine():
    order = published_order(PUBLISHED_NETWORKS["sd14"])
    assert order[:6] == ("mid.0", "down.4", "down.5", "up.0", "up.1", "up.2")
    assert order[-5:] == ("down.0", "down.1", "up.6", "up.7", "up.8")


def test_a_stack_holds_the_layers_in_its_order_each_map_summing_to_one():
    torch.manual_seed(0)
    maps = {"down.0": torch.rand(2, 3, 2, 4, 6), "mid.0": torch.rand(2, 3, 3, 2, 3), "up.0": torch.rand(2, 3, 1, 4, 6)}
    stack = MapLayout(NETWORK, ("mid.0", "up.0"), 4, 1.0).stack(TokenMaps(maps), (2, 0))
    assert stack.shape == (2, 2, 4, 4, 4)
    torch.testing.assert_close(stack.sum(dim=(-2, -1)), torch.ones(2, 2, 4))
    finest = torch.nn.functional.interpolate(maps["up.0"][:, 2], size=(4, 4), mode="bilinear")
    torch.testing.assert_close(stack[:, 0, 3:], finest / finest.sum(dim=(-2, -1), keepdim=True))


@pytest.mark.parametrize(
    ("progress", "step"), [(0.0, 5), (0.149, 5), (0.16, 10), (0.4, 20), (0.68, 20), (0.7, 49), (1.0, 49)]
)
def test_the_nearest_trained_part_of_the_time_is_taken(progress, step):
    network = PUBLISHED_NETWORKS["sd14"]
    layout = MapLayout(network, published_order(network), 16, 1.0)
    settings = ClassifierSettings(width=8, extractor=SMALL, classifier=SMALL)
    assert RelationClassifier(RELATIONS, layout, settings, [5, 10, 20, 49]).trained_step(progress) == step


@pytest.mark.parametrize("steps", [4, 50])
def test_each_step_of_as_many_is_its_own_part_of_the_time(steps):
    sizes = ClassifierSettings(map_size=4, width=8, steps=steps, extractor=SMALL, classifier=SMALL)
    classifier = RelationClassifier(["above", "below"], MapLayout(NETWORK, ("mid.0",), 4, 1.0), sizes, range(steps))
    assert [classifier.trained_step(step / steps) for step in range(steps)] == list(range(steps))


@pytest.mark.parametrize(("timesteps", "progress", "step"), [([5, 10, 49], 0.12, 10), ([5, 10, 49], 0.22, 49)])
def test_a_released_classifier_moves_to_the_next_trained_step(tmp_path, timesteps, progress, step):
    training = {"exp_name": "sd14", "timesteps": timesteps}
    torch.save(published(training_config=training), tmp_path / "a.pth")
    save_classifier(load_classifier(tmp_path / "a.pth"), tmp_path / "a.safetensors")
    for file in ("a.pth", "a.safetensors"):
        assert load_classifier(tmp_path / file).trained_step(progress) == step
        assert load_classifier(tmp_path / file).trained_step(1.0) == timesteps[-1]


def test_a_file_from_before_there_was_a_choice_takes_the_nearest_step(tmp_path):
    save_classifier(small(), tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as opened:
        told = json.loads(opened.metadata()["relation_classifier"])
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    del told["rounding"]
    save_file(weights, tmp_path / "old.safetensors", metadata={"relation_classifier": json.dumps(told)})
    assert load_classifier(tmp_path / "old.safetensors").trained_step(0.2) == small().trained_step(0.2) == 1


def test_a_released_checkpoint_may_say_nothing_of_its_training(tmp_path):
    checkpoint = published()
    del checkpoint["training_config"], checkpoint["input_channels"]
    torch.save(checkpoint, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"does not say what it was made for.*as its network"):
        load_classifier(tmp_path / "a.pth")
    classifier = load_classifier(tmp_path / "a.pth", "sd14")
    assert classifier.trained_steps == tuple(range(50))
    assert classifier.positions == 1368


def test_schnells_classifier_reads_maps_as_they_are(tmp_path):
    torch.save(published("flux_schnell"), tmp_path / "schnell.pth")
    torch.save(published("flux_dev"), tmp_path / "dev.pth")
    maps = {layer.name: torch.rand(1, 2, 24, 16, 16) * 1e-3 for layer in PUBLISHED_NETWORKS["flux_dev"]}
    joined = torch.cat(list(maps.values()), dim=2)
    stack = load_classifier(tmp_path / "schnell.pth").layout.stack(TokenMaps(maps), (0, 1))
    torch.testing.assert_close(stack, joined)
    stack = load_classifier(tmp_path / "dev.pth").layout.stack(TokenMaps(maps), (0, 1))
    torch.testing.assert_close(stack, joined / joined.sum(dim=(-2, -1), keepdim=True), rtol=1e-4, atol=0)


def test_a_map_of_nearly_nothing_stays_small():
    maps = {"mid.0": torch.full((1, 2, 3, 4, 4), 1e-12, requires_grad=True)}
    stack = MapLayout(NETWORK, ("mid.0",), 4, 1.0).stack(TokenMaps(maps), (0, 1))
    (gradient,) = torch.autograd.grad(stack[..., 0, 0].sum(), maps["mid.0"])
    assert stack.sum() < 0.1
    assert gradient.abs().max() < 1e9


def test_saving_and_loading_give_the_same_classifier(tmp_path):
    before = small()
    save_classifier(before, tmp_path / "a.safetensors")
    after = load_classifier(tmp_path / "a.safetensors")
    maps = torch.rand(2, 2, 6, 4, 4)
    torch.testing.assert_close(after(maps, torch.tensor([3, 1])), before(maps, torch.tensor([3, 1])))
    assert (after.layout, after.relations, after.trained_steps) == (
        before.layout,
        before.relations,
        before.trained_steps,
    )
    assert not any(parameter.requires_grad for parameter in after.parameters())
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_published_checkpoint_loads_and_converts(tmp_path):
    checkpoint = published()
    torch.save(checkpoint, tmp_path / "released.pth")
    classifier = load_classifier(tmp_path / "released.pth")
    assert classifier.relations == ("above", "below", "left_of", "right_of")
    assert (classifier.trained_steps, classifier.layout.network) == ((5, 10, 49), PUBLISHED_NETWORKS["sd14"])
    for name, weight in classifier.state_dict().items():
        torch.testing.assert_close(weight, checkpoint["model_state_dict"][name], rtol=0, atol=0)

    save_classifier(classifier, tmp_path / "ours.safetensors")
    maps = torch.rand(1, 2, 128, 16, 16)
    converted = load_classifier(tmp_path / "ours.safetensors")
    torch.testing.assert_close(converted(maps, torch.tensor([10])), classifier(maps, torch.tensor([10])))


def test_the_network_of_a_published_checkpoint_can_be_named(tmp_path):
    torch.save(published(training_config={"exp_name": "mine", "timesteps": [5]}), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"'mine'; .*sd14, sd2.*as its network"):
        load_classifier(tmp_path / "a.pth")
    assert load_classifier(tmp_path / "a.pth", "sd2").layout.network == PUBLISHED_NETWORKS["sd2"]


def test_a_file_that_is_no_classifier_is_told_apart(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    for name in ("other.safetensors", "other.pth"):
        with pytest.raises(ValueError, match=f"{name} is no relation classifier"):
            load_classifier(tmp_path / name)


def test_a_folder_is_named_and_an_ending_may_be_in_capitals(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(ValueError, match=r"folder\.safetensors is a folder"):
        load_classifier(tmp_path / "folder.safetensors")
    save_classifier(small(), tmp_path / "A.SAFETENSORS")
    assert load_classifier(tmp_path / "A.SAFETENSORS").relations == small().relations


class Planted:
    def __reduce__(self):
        return print, ("this must not run",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({**published(), "extra": Planted()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth is damaged, or"):
        load_classifier(tmp_path / "evil.pth")
    assert "this must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ours.safetensors", "released.pth"])
def test_a_truncated_file_is_named(tmp_path, name):
    save_classifier(small(), tmp_path / "ours.safetensors")
    torch.save(published(), tmp_path / "released.pth")
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        load_classifier(tmp_path / name)


def test_weights_of_other_shapes_are_named(tmp_path):
    checkpoint = published()
    checkpoint["model_state_dict"]["relation_classifier.fc.8.bias"] = torch.zeros(7)
    torch.save(checkpoint, tmp_path / "a.pth")
    named = r"a\.pth: the weights do not fit .*'relation_classifier\.fc\.8\.bias'.*\(4,\), not \(7,\)"
    with pytest.raises(ValueError, match=named):
        load_classifier(tmp_path / "a.pth")


def test_sizes_that_do_not_fit_are_refused():
    layout = MapLayout(NETWORK, ("down.0", "mid.0"), 4, 1.0)
    settings = ClassifierSettings(map_size=4, width=8, steps=5, extractor=SMALL, classifier=SMALL)
    with pytest.raises(ValueError, match="At most 4 maps"):
        RelationClassifier(RELATIONS, layout, settings, [1], positions=4)
    with pytest.raises(ValueError, match="0 to 4"):
        RelationClassifier(RELATIONS, layout, settings, [5])
    with pytest.raises(ValueError, match="side 16"):
        RelationClassifier(RELATIONS, layout, ClassifierSettings(), [1])


def test_the_mean_of_the_stack_can_stand_in_for_the_extractor():
    classifier = small(mean_maps=True)
    maps = torch.rand(1, 2, 6, 4, 4)
    mean = maps.mean(dim=2, keepdim=True).expand_as(maps)
    torch.testing.assert_close(classifier(maps, torch.tensor([1])), classifier(mean, torch.tensor([1])))
