"""Every kind of pipeline that diffusers' table has a row for: what is read, and that steering does what it says."""

from __future__ import annotations

import inspect
import random
from contextlib import contextmanager
from functools import wraps

import diffusers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pipelines import WatchedLoss, make_steering, state
from safetensors.torch import load_file, save_file
from tiny_pipelines import HEIGHT, TINY, WIDTH, sample, tiny
from toys import PROMPT, Calls

from steering_core.backends.diffusers import families, generate, ground_prompt, load_pipeline, sampling, steered
from steering_core.backends.diffusers.families import readable_network
from steering_core.backends.diffusers.pipelines import PIPELINES, kind_of
from steering_core.backends.diffusers.probe import probe_network
from steering_core.backends.diffusers.schedulers import noise_shares
from steering_core.backends.diffusers.text import prompt_tokens
from steering_core.cli.main import main
from steering_core.losses import CentroidLoss
from steering_core.miniature.networks import build_scheduler
from steering_core.networks import UNet
from steering_core.probe import MapRequest
from steering_core.schedule import DESCENT, GUIDANCE
from steering_core.steering import SteeringError
from steering_core.tokens import PhraseNotFoundError

KINDS = pytest.mark.parametrize("name", TINY)
JOINT = pytest.mark.parametrize("name", [name for name in TINY if name != "SDXL"])
#: One for each way to call a network: in halves of a batch, one call after the other, in lists.
WAYS = pytest.mark.parametrize("name", ["SD 3", "FLUX.1", "Z-Image"])
UPDATES = pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
#: Tokens of the tests' picture.
TOKENS = (6, 8)
#: Whose pipelines know no guidance away from another prompt.
WITHOUT_GUIDANCE = {"FLUX.2 dev"}
#: Where the image stands first among the keys.
IMAGE_FIRST = {"SD 3", "Z-Image"}
LAYERS = {
    "SDXL": ["down.0", "down.1", "mid.0", "mid.1", "up.0", "up.1", "up.2", "up.3"],
    "SD 3": ["block.0", "block.1", "block.2"],
    "FLUX.1": ["double.0", "double.1", "single.0", "single.1"],
    "FLUX.2 dev": ["double.0", "double.1", "single.0", "single.1"],
    "FLUX.2 klein": ["double.0", "double.1", "single.0", "single.1"],
}


def network_inputs(pipeline, prompt=PROMPT, **options):
    """What the network is given in the first call of a run with one picture, and without guidance."""
    network, seen = kind_of(pipeline).network_of(pipeline), []
    handle = network.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((args, kwargs)), with_kwargs=True
    )
    try:
        sample(pipeline, images=1, steps=1, prompt=prompt, guidance=0.0, **options)
    finally:
        handle.remove()
    args, kwargs = seen[0]
    names = list(inspect.signature(type(network).forward).parameters)[1:]
    given = {**dict(zip(names, args)), **kwargs}
    given.pop("return_dict", None)
    return given


@contextmanager
def attention_calls():
    """Queries, keys, mask and layer-less order of every call of PyTorch's attention."""
    calls, kernel = [], F.scaled_dot_product_attention

    def spy(query, key, value, attn_mask=None, **options):
        calls.append((query.detach(), key.detach(), attn_mask))
        return kernel(query, key, value, attn_mask=attn_mask, **options)

    F.scaled_dot_product_attention = spy
    try:
        yield calls
    finally:
        F.scaled_dot_product_attention = kernel


def given_latents(pipeline, run) -> list[torch.Tensor]:
    """What the network is given in each call of a run that is no probe."""
    kind, network, seen = kind_of(pipeline), kind_of(pipeline).network_of(pipeline), []
    forward = network.forward

    def watched(*args, **kwargs):
        if not torch.is_grad_enabled():
            latent = kwargs[kind.latent] if kind.latent in kwargs else args[0]
            seen.append(torch.stack(latent) if kind.listed else latent)
        return forward(*args, **kwargs)

    network.forward = watched
    try:
        run()
    finally:
        del network.forward
    return seen


@contextmanager
def watched_steps(pipeline):
    """What the scheduler is given as the prediction of each step."""
    step, seen = pipeline.scheduler.step, []

    @wraps(step)
    def watched(model_output, *args, **kwargs):
        seen.append(model_output)
        return step(model_output, *args, **kwargs)

    pipeline.scheduler.step = watched
    try:
        yield seen
    finally:
        del pipeline.scheduler.step


def first_noise(pipeline) -> float:
    """Noise level of the network's input at the first step of the last run."""
    scheduler = pipeline.scheduler
    if isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler):
        return scheduler.sigmas[0].item()
    return (1 - scheduler.alphas_cumprod[int(scheduler.timesteps[0])]).sqrt().item()


# What is read.


def test_the_size_of_tokens_with_ids_is_read_back_once():
    """Each number by itself would wait for the card. Of several frames the first is the image."""
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    image = torch.stack([torch.zeros(6, 8), y, x], dim=-1).flatten(0, 1)
    reference = torch.tensor([[1.0, 20.0, 20.0]])
    with Calls() as calls:
        size = families._size_of_ids(torch.cat([image, reference]))
    assert size == (1, 6, 8)
    assert (calls.count["tolist"], calls.count["__int__"], calls.count["max"]) == (1, 0, 0)


@KINDS
def test_layers_are_named_and_counted(made, name):
    pipeline = made(name)
    layers = readable_network(kind_of(pipeline).network_of(pipeline)).layers
    assert [layer.name for layer in layers] == LAYERS.get(name, ["block.0", "block.1", "block.2", "block.3"])
    assert {layer.heads for layer in layers} == ({4} if name in ("SDXL", "SD 3", "Krea 2") else {2})
    assert {layer.level for layer in layers} == ({1} if not name.startswith("FLUX.2") else {0})


@JOINT
@pytest.mark.parametrize("over_all_keys", [False, True])
def test_columns_are_those_of_the_full_softmax(made, name, over_all_keys):
    pipeline = made(name)
    network = kind_of(pipeline).network_of(pipeline)
    given, tokens = network_inputs(pipeline), ground_prompt(pipeline, PROMPT).tokens
    layers = [layer.name for layer in readable_network(network).layers]
    with torch.no_grad(), attention_calls() as calls:
        network(**given)
    image = TOKENS[0] * TOKENS[1]
    # Neither refiners' calls, which come first, nor SD 3's second attention of the image alone.
    joint = [call for call in calls if call[0].shape[-2] > max(image, 64)][-len(layers) :]
    with torch.no_grad():
        maps = probe_network(network, given, MapRequest(tokens, layers, over_all_keys))
    for (query, key, mask), layer in zip(joint, layers, strict=True):
        keys, padded = key.shape[-2], 64 if name == "Z-Image" else image
        texts = keys - padded
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        begins = (0, padded) if name in IMAGE_FIRST else (texts, 0)
        rows, columns = (slice(begin, begin + length) for begin, length in zip(begins, (image, texts)))
        logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        logits = (logits if mask is None else logits.masked_fill(~mask, float("-inf")))[..., rows, :]
        part = logits.softmax(-1)[..., columns] if over_all_keys else logits[..., columns].softmax(-1)
        expected = torch.stack([part[..., list(indices)].mean(-1) for indices in tokens], dim=1)
        torch.testing.assert_close(maps.layers[layer].flatten(-2), expected, rtol=1e-4, atol=1e-6)


@JOINT
def test_a_softmax_over_the_text_gives_each_place_one_whole(made, name):
    pipeline = made(name)
    network, kind = kind_of(pipeline).network_of(pipeline), kind_of(pipeline)
    given = network_inputs(pipeline)
    every = [(index,) for index in range(len(given[kind.context][0]))]
    with torch.no_grad():
        maps = probe_network(network, given, MapRequest(every)).layers
    assert maps
    for layer in maps.values():
        whole = layer.sum(dim=1)
        assert whole.shape[0] == 1 and whole.shape[-2:] == TOKENS
        if name == "Z-Image":  # whose padding is looked at as well
            assert (whole <= 1 + 1e-5).all() and (whole > 0).all()
        else:
            torch.testing.assert_close(whole, torch.ones_like(whole))


def _apart(pipeline):
    """The pipeline, with text encoders whose tokens do not look at each other."""
    for key, encoder in pipeline.components.items():
        modules = encoder.named_modules() if key.startswith("text_encoder") else ()
        for name, module in modules:
            if name.split(".")[-1] in ("o_proj", "out_proj", "o"):
                for parameter in module.parameters():
                    torch.nn.init.zeros_(parameter)
    return pipeline


def _other_words(phrase: str):
    words = ["dog", "cat", "teddy", "airplane", "giraffe", "bear", "left", "photo"]
    letters = random.Random(0)
    longer = [word + letter for word in words for letter in "abdegilnoprt"]
    return words + longer + ["".join(letters.choices("abdegilnoprt", k=len(phrase))) for _ in range(5000)]


@KINDS
def test_a_phrase_is_tied_to_the_tokens_that_change_with_it(tokenizer, name):
    pipeline = _apart(tiny(name, tokenizer))
    kind = kind_of(pipeline)
    tokens = {token.index: token for token in prompt_tokens(pipeline, PROMPT)}
    scene = ground_prompt(pipeline, PROMPT)
    encoded = network_inputs(pipeline)[kind.context][0]
    for phrase, indices in zip(scene.names, scene.tokens):
        for segment in range(len(kind.text)):
            own = [index for index in indices if tokens[index].segment == segment]
            assert own and "".join(tokens[index].text for index in own).strip().casefold() == phrase
            for word in _other_words(phrase):
                prompt = PROMPT.replace(phrase, word)
                others = {token.index: token.text for token in prompt_tokens(pipeline, prompt)}
                places = [index for index, token in tokens.items() if token.segment == segment]
                if [index for index in places if others.get(index) != tokens[index].text] == own:
                    break
            other = network_inputs(pipeline, prompt)[kind.context][0]
            changed = [index for index in places if (encoded[index] != other[index]).any()]
            assert changed == own


@KINDS
def test_what_a_template_says_is_never_a_phrase(made, name):
    pipeline = made(name)
    prompt = "a user above an assistant"
    texts = {token.index: token.text for token in prompt_tokens(pipeline, prompt)}
    scene = ground_prompt(pipeline, prompt)
    assert scene.names == ("user", "assistant")
    first = min(index for index, text in texts.items() if text.strip())
    for indices in scene.tokens:
        assert min(indices) > first and all(texts[index] for index in indices)


@KINDS
def test_a_prompt_that_is_cut_off_is_told(made, name):
    with pytest.raises(PhraseNotFoundError, match="giraffe"):
        ground_prompt(made(name), "rain, " * 400 + "a giraffe above an airplane")


# The gradient.


@KINDS
def test_the_gradient_is_that_of_finite_differences(made, name):
    pipeline = made(name)
    kind, network = kind_of(pipeline), kind_of(pipeline).network_of(pipeline)
    given, tokens = network_inputs(pipeline), ground_prompt(pipeline, PROMPT).tokens
    whole = given[kind.latent][0][None] if kind.listed else given[kind.latent]

    def of(latent):
        latent = list(latent) if kind.listed else latent
        maps = probe_network(network, {**given, kind.latent: latent}, MapRequest(tokens)).layers.values()
        # Each place weighs another, and no threshold breaks the slope.
        return sum((layer * torch.linspace(-1, 1, layer.numel()).view_as(layer)).sum() for layer in maps)

    leaf = whole.detach().clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(of(leaf), leaf)
    assert gradient.isfinite().all() and gradient.any()
    direction = gradient / gradient.norm()
    with torch.no_grad():
        length = 0.01
        slope = (of(whole + length * direction) - of(whole - length * direction)) / (2 * length)
    torch.testing.assert_close(slope, gradient.norm(), rtol=0.02, atol=1e-5)


# Pipelines.


@KINDS
@UPDATES
def test_a_step_of_length_zero_leaves_the_picture_bit_identical(made, name, update):
    pipeline = made(name)
    unsteered = {guidance: sample(pipeline, guidance=guidance) for guidance in (0.0, 4.0)}
    # Taken now, for a pipeline keeps something of its first run.
    steering, before = make_steering(pipeline, update=update, step_size=0.0), state(pipeline)
    for guidance, picture in unsteered.items():
        assert torch.equal(sample(pipeline, steering, guidance=guidance), picture)
        assert len(steering.trace) == 1 and steering.unsteered == []
    assert state(pipeline) == before


@KINDS
@UPDATES
def test_steering_moves_the_picture(made, name, update):
    pipeline = made(name)
    steering = make_steering(pipeline, update=update, end=1.0)
    moved = sample(pipeline, steering, guidance=4.0)
    assert steering.unsteered == [] and {entry.step for entry in steering.trace} == {0, 1}
    assert moved.isfinite().all() and not torch.equal(moved, sample(pipeline, guidance=4.0))


@KINDS
def test_a_transformer_is_steered_in_more_of_few_steps_unless_objects_are_bound(made, name):
    pipeline = made(name)
    bound = make_steering(pipeline, rest=0)
    sample(pipeline, bound, steps=8)
    assert len({entry.step for entry in bound.trace}) == 2
    steering = make_steering(pipeline, rest=0, bound=0.0)
    sample(pipeline, steering, steps=8)
    steered = sorted({entry.step for entry in steering.trace})
    if name == "SDXL":
        assert steered == [0, 1]
    else:  # as many as if the noise fell evenly, in the half of it that is the window
        left = noise_shares(pipeline.scheduler, 8)
        assert len(steered) == 4 and left[steered[-1]] > 0.5 and left[steered[-1] + 1] < 0.67
    if name == "SD 3":  # whose noise is shifted by 3: 1, 0.95, 0.88, 0.80, 0.69, 0.55 …
        assert steered == [0, 2, 3, 4]


def first_blocks_run(pipeline, steering=None, **options) -> tuple[torch.Tensor, list[bool]]:
    """A picture, and of each run of the network's first block whether it was run with gradients."""
    network = kind_of(pipeline).network_of(pipeline)
    readable = readable_network(network)
    first, runs = next(iter(readable.blocks if isinstance(readable, UNet) else readable.blocks.values())), []
    with first.register_forward_pre_hook(lambda *_: runs.append(torch.is_grad_enabled())):
        picture = sample(pipeline, steering, **options)
    return picture, runs


@KINDS
def test_without_other_parts_one_forward_serves_the_look_and_the_prediction(made, name):
    pipeline = made(name)
    plain, forwards = first_blocks_run(pipeline, guidance=0.0, steps=4)
    bending = {"update": GUIDANCE, "end": 0.5, "target": -9.0, "bound": 0.0}  # a look sees what is not bound
    steered, runs = first_blocks_run(pipeline, make_steering(pipeline, **bending), guidance=0.0, steps=4)
    assert len(forwards) == len(runs) == 4 and sum(runs) == 2
    assert not torch.equal(steered, plain)
    apart = make_steering(pipeline, **bending)
    with pytest.MonkeyPatch.context() as patch:
        # As where it is compiled: then its own forward is cheaper.
        patch.setattr(sampling, "uncompiled", lambda network: type(network).__new__(type(network)))
        expected, runs = first_blocks_run(pipeline, apart, guidance=0.0, steps=4)
    assert len(runs) == 6
    torch.testing.assert_close(steered, expected)


@KINDS
@pytest.mark.parametrize("bound, first_free", [(0.0, 0), (0.5, 2), (0.75, 3)])
def test_without_other_parts_a_forward_after_the_last_move_tells_what_it_has_led_to(made, name, bound, first_free):
    pipeline = made(name)
    plain, forwards = first_blocks_run(pipeline, guidance=0.0, steps=4)
    steering = make_steering(pipeline, target=-9.0, refinements=None, bound=bound)
    steered, runs = first_blocks_run(pipeline, steering, guidance=0.0, steps=4)
    *moves, last = steering.trace
    assert len(forwards) == 4 and len(runs) == 4 + len(moves) and sum(runs) == len(moves)
    same_step = moves[-1].step >= first_free
    assert last.step == (moves[-1].step if same_step else first_free)
    assert last.refinement == (moves[-1].refinement + 1 if same_step else 0) and not last.gradient_norm.any()
    assert not torch.equal(steered, plain)
    apart = make_steering(pipeline, target=-9.0, refinements=None, bound=bound)
    with pytest.MonkeyPatch.context() as patch:
        # As where it is compiled: then its own forward is cheaper.
        patch.setattr(sampling, "uncompiled", lambda network: type(network).__new__(type(network)))
        expected, runs = first_blocks_run(pipeline, apart, guidance=0.0, steps=4)
    assert len(runs) == 4 + len(moves) + 1 and apart.trace[-1].step == moves[-1].step
    torch.testing.assert_close(steered, expected)
    if same_step:
        torch.testing.assert_close(last.loss, apart.trace[-1].loss)


def test_where_every_step_is_bound_the_last_move_is_looked_at_apart(made):
    pipeline = made("FLUX.1")
    steering = make_steering(pipeline, target=-9.0, refinements=None, bound=1.0)
    _, runs = first_blocks_run(pipeline, steering, guidance=0.0, steps=4)
    *moves, last = steering.trace
    assert len(runs) == 4 + len(moves) + 1 and last.step == moves[-1].step


def test_where_the_look_of_both_fails_the_prediction_is_the_networks_own(made):
    class Failing(CentroidLoss):
        def for_network(self, network, relations):
            return Failing(layers=super().for_network(network, relations).layers)

        def __call__(self, maps, relation, progress):
            raise ArithmeticError("deliberate")

    pipeline = made("FLUX.1")
    steering = make_steering(pipeline, Failing(), update=GUIDANCE, bound=0.0)
    # The forward of both was run for a gradient, by kernels that can round otherwise.
    torch.testing.assert_close(sample(pipeline, steering, guidance=0.0), sample(pipeline, guidance=0.0))
    assert len(steering.unsteered) == 1


class Ramp(CentroidLoss):
    """No threshold breaks its slope: what objects get of the attention, from side to side of the picture."""

    def for_network(self, network, relations):
        return Ramp(layers=super().for_network(network, relations).layers, standardised=False)

    def __call__(self, maps, relation, progress):
        layers = maps.layers.values()
        return sum((layer * torch.linspace(-1, 1, layer.shape[-1])).flatten(1).sum(dim=1) for layer in layers)


@pytest.mark.parametrize("name", ["SD 3", "FLUX.1"])
def test_the_time_of_a_flow_passes_evenly_however_its_noise_is_shifted(tokenizer, name):
    """As ComfyUI has it, and as the released classifiers count their steps."""
    pipeline = tiny(name, tokenizer)
    shift = {"use_dynamic_shifting": True} if pipeline.scheduler.config.use_dynamic_shifting else {"shift": 3.0}
    pipeline.scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config, **shift)
    WatchedLoss.seen.clear()
    sample(pipeline, make_steering(pipeline, WatchedLoss(), end=1.0), steps=4)
    assert [progress for _, progress in WatchedLoss.seen] == [0.0, 0.25, 0.5, 0.75]


@KINDS
def test_the_loss_falls_by_what_the_gradient_says(made, name):
    pipeline = made(name)
    steering = make_steering(pipeline, Ramp(), refinements=3, step_size=0.001, target=-1e9)
    latent = given_latents(pipeline, lambda: sample(pipeline, steering, steps=1, guidance=4.0))[0]
    losses, norms = (torch.stack([getattr(e, of) for e in steering.trace]) for of in ("loss", "gradient_norm"))
    length = 0.001 * first_noise(pipeline) * latent[0].numel() ** 0.5
    torch.testing.assert_close(losses[:-1, 0] - losses[1:, 0], norms[:-1] * length, rtol=0.1, atol=1e-5)


@JOINT
def test_guidance_bends_the_velocity_against_the_way_that_descent_moves_the_latent(made, name):
    pipeline = made(name)
    predicted = []
    for steering in (None, make_steering(pipeline, update=GUIDANCE, step_size=0.1, bound=0.0)):
        with watched_steps(pipeline) as steps:
            sample(pipeline, steering, steps=1, guidance=0.0)
        predicted.append(steps[0])
    descent = make_steering(pipeline, refinements=1, step_size=0.1)
    plain, moved = (
        given_latents(pipeline, lambda steering=steering: sample(pipeline, steering, steps=1, guidance=0.0))[0]
        for steering in (None, descent)
    )
    bend = (predicted[1] - predicted[0]).flatten()
    assert bend.any()
    torch.testing.assert_close(bend, (plain - moved).flatten() / first_noise(pipeline), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in TINY if name not in WITHOUT_GUIDANCE])
def test_the_prompts_own_part_is_read(made, name):
    """Whether the network is given the prompt alone, or beside what guides away from it."""
    pipeline = made(name)
    losses = []
    for guidance in (0.0, 4.0):
        steering = make_steering(pipeline, step_size=0.0)
        sample(pipeline, steering, guidance=guidance)
        losses.append(steering.trace[0].loss)
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-6)


@KINDS
def test_every_call_of_a_step_starts_from_the_moved_latent(made, name):
    pipeline = made(name)
    steered_calls, plain_calls = (
        given_latents(pipeline, lambda steering=steering: sample(pipeline, steering, steps=1, guidance=4.0))
        for steering in (make_steering(pipeline), None)
    )
    parts = [part for call in steered_calls for part in call.split(2)]
    assert len(parts) == (1 if name in WITHOUT_GUIDANCE else 2)
    assert all(torch.equal(part, parts[0]) for part in parts) and not torch.equal(steered_calls[0], plain_calls[0])


@KINDS
def test_noise_guidance_bends_the_one_prediction_without_guidance(made, name):
    pipeline = made(name)
    steering = make_steering(pipeline, update=GUIDANCE)
    moved = sample(pipeline, steering, guidance=0.0)
    assert steering.unsteered == [] and not torch.equal(moved, sample(pipeline, guidance=0.0))


UNIPC = {"scheduler": "UniPCMultistepScheduler", "use_flow_sigmas": True, "prediction_type": "flow_prediction"}


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        # The other pipelines ask their scheduler for a shift that these do not know.
        ("SD 3", {"scheduler": "FlowMatchHeunDiscreteScheduler"}),
        ("SD 3", UNIPC),
        ("FLUX.1", UNIPC),
    ],
)
def test_other_schedulers_of_a_flow(tokenizer, name, scheduler):
    pipeline = tiny(name, tokenizer)
    options = {key: value for key, value in scheduler.items() if key != "scheduler"}
    pipeline.scheduler = getattr(diffusers, scheduler["scheduler"])(**options)
    plain = sample(pipeline, steps=3)
    for update in (DESCENT, GUIDANCE):
        still = make_steering(pipeline, update=update, step_size=0.0, end=0.5)
        assert torch.equal(sample(pipeline, still, steps=3), plain)
        assert [entry.step for entry in still.trace] and still.unsteered == []
        assert not torch.equal(sample(pipeline, make_steering(pipeline, update=update), steps=3), plain)


@WAYS
def test_half_precision_is_steered(tokenizer, name):
    pipeline = tiny(name, tokenizer).to(torch.bfloat16)
    steering = make_steering(pipeline)
    moved = sample(pipeline, steering)
    assert steering.unsteered == [] and moved.isfinite().all() and not torch.equal(moved, sample(pipeline))


@WAYS
def test_a_compiled_network_is_read_uncompiled(tokenizer, name):
    pipeline = tiny(name, tokenizer)
    expected = make_steering(pipeline)
    sample(pipeline, expected)
    pipeline.transformer.compile(backend="eager")
    steering = make_steering(pipeline)
    sample(pipeline, steering)
    assert steering.unsteered == []
    torch.testing.assert_close(steering.trace[0].loss, expected.trace[0].loss, rtol=1e-3, atol=1e-4)


def test_attention_of_another_backend_is_read_and_put_back(tokenizer):
    pipeline = tiny("FLUX.1", tokenizer)
    expected = make_steering(pipeline)
    sample(pipeline, expected)
    pipeline.transformer.set_attention_backend("_native_math")
    steering = make_steering(pipeline)
    sample(pipeline, steering)
    torch.testing.assert_close(steering.trace[0].loss, expected.trace[0].loss, rtol=1e-4, atol=1e-5)
    backends = {processor._attention_backend for processor in pipeline.transformer.attn_processors.values()}
    assert {str(getattr(backend, "value", backend)) for backend in backends} == {"_native_math"}


def _of_its_network(pipeline):
    """Another pipeline, with a scheduler of its own: steered too, both forwards would call one another without end."""
    parts = {**pipeline.components, "scheduler": build_scheduler()}
    return type(pipeline)(**parts, requires_safety_checker=False)


@pytest.mark.parametrize("other_of", [lambda pipeline: pipeline, _of_its_network], ids=["itself", "its network"])
def test_a_pipeline_that_is_steered_is_steered_by_nothing_else_besides(pipeline, other_of):
    other, before = other_of(pipeline), state(pipeline)
    told = "StableDiffusionPipeline is being steered already, or another pipeline of its network is"
    with (
        steered(pipeline, make_steering(pipeline)),
        pytest.raises(ValueError, match=told),
        steered(other, make_steering(pipeline)),
    ):
        pytest.fail("it was")
    assert state(pipeline) == before


def test_a_network_that_keeps_parts_of_earlier_steps_is_refused(tokenizer):
    pipeline = tiny("FLUX.1", tokenizer)
    pipeline.transformer.enable_cache(diffusers.FirstBlockCacheConfig(threshold=0.1))
    with pytest.raises(ValueError, match="disable_cache"), steered(pipeline, make_steering(pipeline)):
        pytest.fail("sampling began")


@pytest.mark.parametrize(
    ("hang_on", "told"),
    [
        (lambda pipeline: pipeline.enable_model_cpu_offload(device="cpu"), "was hung on FluxTransformer2DModel"),
        (
            lambda pipeline: pipeline.transformer.enable_cache(diffusers.FirstBlockCacheConfig(threshold=0.1)),
            "disable_cache",
        ),
    ],
    ids=["offload", "cache"],
)
def test_what_is_hung_on_the_network_while_it_is_steered_is_refused_and_steers_nothing_afterwards(
    tokenizer, hang_on, told
):
    pipeline = tiny("FLUX.1", tokenizer)
    plain = sample(pipeline)
    with steered(pipeline, make_steering(pipeline)):
        hang_on(pipeline)
        with pytest.raises(SteeringError, match=told):
            sample(pipeline)
    if told == "disable_cache":
        pipeline.transformer.disable_cache()
    assert torch.equal(sample(pipeline), plain)


def test_a_scheduler_whose_noise_grows_is_refused(tokenizer):
    pipeline = tiny("FLUX.1", tokenizer)
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config, invert_sigmas=True)
    with pytest.raises(ValueError, match="invert_sigmas"), steered(pipeline, make_steering(pipeline)):
        pytest.fail("sampling began")


# Loading and drawing.


@KINDS
def test_a_saved_pipeline_is_loaded_and_draws_the_same(made, name, tmp_path):
    """By the library and by the command line."""
    pipeline, file = made(name), tmp_path / "picture.png"
    pipeline.save_pretrained(tmp_path / "folder")
    loaded = load_pipeline(tmp_path / "folder", "cpu")
    assert type(loaded) is type(pipeline)
    pictures = [
        generate(each, PROMPT, [0], make_steering(each), steps=2, guidance_scale=3.0, size=(WIDTH, HEIGHT))
        for each in (pipeline, loaded)
    ]
    assert pictures[0].shape == (1, 3, HEIGHT, WIDTH)
    torch.testing.assert_close(*pictures, rtol=0, atol=1e-4)
    options = ["--model", str(tmp_path / "folder"), "--size", str(WIDTH), str(HEIGHT), "--steps", "2", "--cfg", "3"]
    assert main(["generate", PROMPT, *options, "--refinements", "1", "--out", str(file)]) == 0
    drawn = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255
    torch.testing.assert_close(drawn, pictures[1][0], rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        *((name, {"prompt": "a dog and a cat"}) for name in TINY),
        *((name, {"prompt_2": "a dog"}) for name in ("SDXL", "SD 3", "FLUX.1")),
        ("SD 3", {"prompt_3": "a dog"}),
    ],
)
def test_another_text_than_the_steerings_is_refused_where_the_network_attends_to_it(made, name, other):
    pipeline = made(name)
    with pytest.raises(SteeringError, match=r"'a dog.*' is to be drawn, and the steering is of"):
        sample(pipeline, make_steering(pipeline), **other)


@pytest.mark.parametrize(("name", "argument"), [("SDXL", "prompt_2"), ("SD 3", "prompt_3"), ("FLUX.1", "prompt_2")])
def test_an_empty_further_text_is_the_prompt(made, name, argument):
    pipeline = made(name)
    steering = make_steering(pipeline)
    sample(pipeline, steering, **{argument: ""})
    assert steering.trace and not steering.unsteered


def test_another_text_is_refused_also_after_the_prompt_was_encoded_by_hand(made):
    pipeline = made("Z-Image")
    with steered(pipeline, make_steering(pipeline)):
        pipeline.encode_prompt(PROMPT, "cpu")
        with pytest.raises(SteeringError, match="'a dog and a cat' is to be drawn"):
            sample(pipeline, prompt="a dog and a cat")


def test_a_size_that_the_pipeline_would_change_is_refused(made):
    pipeline = made("FLUX.1")
    multiple = pipeline.image_processor.config.vae_scale_factor
    with pytest.raises(ValueError, match=f"size: multiples of {multiple} were expected, .* not {3 * multiple} and 5"):
        generate(pipeline, PROMPT, [0], None, steps=1, guidance_scale=1.0, size=(3 * multiple, 5))


def test_what_flux_gives_clip_alone_may_be_another_text(made):
    pipeline = made("FLUX.1")
    steering = make_steering(pipeline)
    sample(pipeline, steering, prompt="a dog", prompt_2=PROMPT)
    assert steering.trace and not steering.unsteered


def test_equal_latents_in_a_step_that_is_not_guided_are_pictures(made):
    """Z-Image leaves guidance out in later steps: two pictures of one seed are no prompt and a negative one."""
    pipeline = made("Z-Image")
    steering = make_steering(pipeline, end=1.0)
    latents = torch.randn(1, 4, HEIGHT // 4, WIDTH // 4, generator=torch.Generator().manual_seed(5)).repeat(2, 1, 1, 1)
    drawn = sample(pipeline, steering, steps=4, guidance=4.0, cfg_truncation=0.0, latents=latents)
    assert torch.equal(*drawn) and not steering.unsteered
    assert {entry.loss.shape[1] for entry in steering.trace} == {2}
    assert len({entry.step for entry in steering.trace}) > 1


def test_every_row_is_held_against_its_pipeline():
    rows = {kind.name for kind in PIPELINES}
    assert rows == {*TINY, "Stable Diffusion 1 and 2"} - {"SD 3"} | {"SD 3, SD 3.5"}
    for kind in PIPELINES:
        for pipeline in kind.pipelines:
            assert hasattr(diffusers, pipeline), pipeline


@pytest.mark.parametrize("name", ["FLUX.1", "FLUX.2 dev", "FLUX.2 klein"])
def test_a_negative_prompt_that_would_do_nothing_is_refused(made, name):
    with pytest.raises(ValueError, match=f"negative prompt: the guidance of {name}"):
        generate(made(name), PROMPT, [0], None, 1, 1.0, negative_prompt="rain", size=(WIDTH, HEIGHT))


@pytest.mark.parametrize("name", [kind for kind in TINY if not kind.startswith("FLUX")])
def test_a_negative_prompt_changes_the_picture(made, name):
    pictures = [
        generate(made(name), PROMPT, [0], None, 1, 4.0, negative_prompt=negative, size=(WIDTH, HEIGHT))
        for negative in ("", "rain and snow")
    ]
    assert not torch.equal(*pictures)


def test_a_pipeline_without_its_largest_encoder_draws(tokenizer):
    pipeline = tiny("SD 3", tokenizer)
    pipeline.text_encoder_3 = pipeline.tokenizer_3 = None
    steering = make_steering(pipeline, end=1.0)
    drawn = generate(pipeline, PROMPT, [0], steering, 2, 4.0, size=(WIDTH, HEIGHT))
    assert drawn.isfinite().all() and steering.trace and steering.unsteered == []


def single_file(pipeline, folder):
    """The network's weights, which Qwen-Image's files call as diffusers does, and the folder with the rest."""
    pipeline.save_pretrained(folder)
    file = folder / "network.safetensors"
    save_file(pipeline.transformer.state_dict(), file)
    return file


def test_a_single_file_is_loaded_with_the_components_of_a_folder(made, tmp_path):
    pipeline = made("Qwen-Image")
    file = single_file(pipeline, tmp_path)
    for weights in tmp_path.glob("transformer/*.safetensors"):
        weights.unlink()
    loaded = load_pipeline(file, "cpu", tmp_path)
    torch.testing.assert_close(sample(loaded), sample(pipeline))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("no components", "its components were expected as well"),
        ("pickle", "safetensors file was expected"),
        ("damaged", "damaged"),
        ("quantised", "quantised for ComfyUI"),
        ("a folder with components", "no file"),
    ],
)
def test_a_single_file_that_cannot_be_read_is_told(made, tmp_path, change, expected):
    file, components = single_file(made("Qwen-Image"), tmp_path), tmp_path
    if change == "no components":
        components = None
    if change == "pickle":
        file = file.rename(tmp_path / "network.ckpt")
    if change == "damaged":
        file.write_bytes(file.read_bytes()[:100])
    if change == "quantised":
        save_file({**load_file(file), "img_in.scale_weight": torch.ones(1)}, file)
    if change == "a folder with components":
        file = tmp_path
    with pytest.raises(ValueError, match=expected):
        load_pipeline(file, "cpu", components)
