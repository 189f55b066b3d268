"""Whatever goes wrong while steering looks into the network: the picture comes, and the model is as it was."""

from __future__ import annotations

import itertools
import json
import weakref
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
import torch
from pipelines import make_steering, probe_unet, random_pipeline, sample, small_tokenizer, state, tiny_unet
from torch import nn

from steering_core import care
from steering_core.backends.diffusers.families import unet_of
from steering_core.layers import default_layers
from steering_core.losses import CentroidLoss
from steering_core.schedule import DESCENT, GUIDANCE

UPDATES = pytest.mark.parametrize("update", [DESCENT, GUIDANCE])
STEPS = 4
#: Of the window.
STEERED = (0, 1)
WINDOW = {"end": 0.5}


def out_of_memory() -> Exception:
    return torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


ERRORS = {
    "out of memory": out_of_memory,
    "out of memory in words": lambda: RuntimeError("MPS backend out of memory"),
    "RuntimeError": lambda: RuntimeError("deliberate"),
    "ValueError": lambda: ValueError("deliberate"),
    "StopIteration": StopIteration,
}


@contextmanager
def hooked(module: nn.Module, change: Callable):
    """What a module gives in a probe, that is, where gradients are wanted, goes through ``change`` first."""

    def hook(module, args, output):
        return change(output) if torch.is_grad_enabled() else None

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class Failing:
    """Raises in the probes of a step: in the first so many tries, or in all of them."""

    def __init__(self, error: Callable[[], BaseException], step: int, tries: int | None = None) -> None:
        self._error, self._step, self._tries = error, step, tries
        self.steering = None
        self.raised = 0

    def __call__(self, output):
        here = len({entry.step for entry in self.steering.trace} | {out.step for out in self.steering.unsteered})
        if here == self._step and (self._tries is None or self.raised < self._tries):
            self.raised += 1
            raise self._error()


@pytest.fixture(scope="module")
def unsteered(tiny_pipeline) -> torch.Tensor:
    """The pictures as the model makes them by itself."""
    return sample(tiny_pipeline, steps=STEPS)


@pytest.fixture(scope="module")
def steered(tiny_pipeline) -> dict[str, torch.Tensor]:
    """By update, the pictures without any fault."""
    return {
        update: sample(tiny_pipeline, make_steering(tiny_pipeline, update=update, **WINDOW), STEPS)
        for update in (DESCENT, GUIDANCE)
    }


@pytest.fixture
def restored(tiny_pipeline, unsteered):
    """The model afterwards is the one before, to the bit, and gives the same picture."""
    before = state(tiny_pipeline)
    yield tiny_pipeline
    assert state(tiny_pipeline) == before
    assert torch.equal(sample(tiny_pipeline, steps=STEPS), unsteered)


@UPDATES
@pytest.mark.parametrize("step", STEERED)
@pytest.mark.parametrize("error", ERRORS)
def test_a_probe_that_always_fails_costs_its_step_alone(restored, update, step, error):
    steering = make_steering(restored, update=update, **WINDOW)
    failing = Failing(ERRORS[error], step)
    failing.steering = steering
    with hooked(restored.unet.mid_block, failing):
        picture = sample(restored, steering, STEPS)
    assert picture.isfinite().all()
    assert [left_out.step for left_out in steering.unsteered] == [step]
    assert str(ERRORS[error]()) in steering.unsteered[0].reason
    assert [entry.step for entry in steering.trace] == [other for other in STEERED if other != step]
    assert failing.raised > 1  # it was tried again with more care


@UPDATES
@pytest.mark.parametrize("step", STEERED)
@pytest.mark.parametrize("error", ["out of memory", "RuntimeError"])
def test_a_probe_that_fails_once_costs_nothing(restored, steered, update, step, error):
    steering = make_steering(restored, update=update, **WINDOW)
    failing = Failing(ERRORS[error], step, tries=1)
    failing.steering = steering
    with hooked(restored.unet.mid_block, failing):
        picture = sample(restored, steering, STEPS)
    assert failing.raised == 1 and steering.unsteered == []
    if error == "out of memory":  # blocks that are run again add their gradients up in another order
        torch.testing.assert_close(picture, steered[update], rtol=0, atol=1e-4)
    else:
        assert torch.equal(picture, steered[update])


@UPDATES
def test_with_no_step_steered_the_picture_is_the_unsteered_one_to_the_bit(restored, unsteered, update, caplog):
    def fail(output):
        raise out_of_memory()

    steering = make_steering(restored, update=update, refinements=3, **WINDOW)
    with hooked(restored.unet.mid_block, fail):
        picture = sample(restored, steering, STEPS)
    assert torch.equal(picture, unsteered)
    assert [left_out.step for left_out in steering.unsteered] == list(STEERED)
    assert len(caplog.records) == 1


@UPDATES
@pytest.mark.parametrize("step", STEERED)
def test_an_interrupt_passes(restored, update, step):
    steering = make_steering(restored, update=update, **WINDOW)
    failing = Failing(KeyboardInterrupt, step)
    failing.steering = steering
    with hooked(restored.unet.mid_block, failing), pytest.raises(KeyboardInterrupt):
        sample(restored, steering, STEPS)
    assert steering.unsteered == []


@dataclass(frozen=True)
class Wrong:
    """A centroid loss whose values go through ``fault``."""

    fault: Callable[[torch.Tensor], torch.Tensor]
    loss: CentroidLoss = field(default_factory=partial(CentroidLoss, "gelu"))

    @property
    def reads(self):
        return self.loss.reads

    def for_network(self, network, relations):
        return Wrong(self.fault, self.loss.for_network(network, relations))

    def __call__(self, maps, relation, progress):
        return self.fault(self.loss(maps, relation, progress))


def only_second(value: float) -> Callable:
    return lambda losses: losses * torch.tensor([1.0, value])


def infinite_gradient(losses: torch.Tensor) -> torch.Tensor:
    """Finite values, of which the second has a gradient that is not."""
    first, second = losses
    return torch.stack([first, second + (second - second.detach()).abs().sqrt()])


@UPDATES
@pytest.mark.parametrize(
    "fault", [only_second(float("nan")), only_second(float("inf")), infinite_gradient], ids=["nan", "inf", "gradient"]
)
def test_a_picture_with_a_fault_is_left_alone_and_the_others_are_steered(restored, steered, unsteered, update, fault):
    steering = make_steering(restored, loss=Wrong(fault), update=update, **WINDOW)
    picture = sample(restored, steering, STEPS)
    assert torch.equal(picture[0], steered[update][0])
    assert torch.equal(picture[1], unsteered[1])
    assert {(left_out.step, left_out.images) for left_out in steering.unsteered} == {(step, (1,)) for step in STEERED}
    json.loads(json.dumps([entry.as_json() for entry in steering.trace], allow_nan=False))


@UPDATES
def test_a_loss_that_raises_costs_no_picture(restored, unsteered, update):
    def fault(losses):
        raise ZeroDivisionError("deliberate")

    steering = make_steering(restored, loss=Wrong(fault), update=update, **WINDOW)
    assert torch.equal(sample(restored, steering, STEPS), unsteered)
    assert {left_out.reason for left_out in steering.unsteered} == {"ZeroDivisionError: deliberate"}


def test_an_error_outside_of_a_probe_passes_and_the_pipeline_is_restored(restored):
    def fail(*_):
        raise ArithmeticError("deliberate")

    with pytest.raises(ArithmeticError):
        sample(restored, make_steering(restored, **WINDOW), STEPS, callback_on_step_end=fail)


# Patches that plain autograd does not bear.


def in_place(output):
    """What came is changed itself, as FreeU does, after a layer that has kept it for the way back."""
    kept = output.square()
    output.mul_(1.5)
    return output + kept


def inference_tensor(output):
    with torch.inference_mode():
        factor = torch.full_like(output, 1.5)
    return output * factor


PATCHES = {"in place": in_place, "inference tensor": inference_tensor}


def same_but(output, patch):
    """The patch's result by means that autograd bears."""
    return output * 1.5 + output.square() if patch == "in place" else output * 1.5


@UPDATES
@pytest.mark.parametrize("patch", PATCHES)
def test_patches_that_autograd_does_not_bear_are_steered_all_the_same(restored, update, patch):
    pictures = []
    for change in (PATCHES[patch], lambda output: same_but(output, patch)):
        steering = make_steering(restored, update=update, **WINDOW)
        handle = restored.unet.mid_block.register_forward_hook(lambda m, a, output, change=change: change(output))
        try:
            pictures.append(sample(restored, steering, STEPS))
        finally:
            handle.remove()
        assert steering.unsteered == [] and len(steering.trace) == len(STEERED)
    torch.testing.assert_close(*pictures, rtol=1e-4, atol=1e-4)


@UPDATES
@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_a_wrapper_that_switches_gradients_off_changes_nothing(restored, steered, update, switch):
    """Gradients that flow around it would else be taken for the whole."""
    block = restored.unet.mid_block
    forward = block.forward

    def wrapped(*args, **kwargs):
        with switch():
            return forward(*args, **kwargs)

    block.forward = wrapped
    try:
        steering = make_steering(restored, update=update, **WINDOW)
        picture = sample(restored, steering, STEPS)
    finally:
        del block.forward
    assert steering.unsteered == []
    assert torch.equal(picture, steered[update])


@UPDATES
def test_freeu_is_steered(tiny_pipeline, unsteered, update):
    tiny_pipeline.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    try:
        steering = make_steering(tiny_pipeline, update=update, **WINDOW)
        picture, plain = sample(tiny_pipeline, steering, STEPS), sample(tiny_pipeline, steps=STEPS)
    finally:
        tiny_pipeline.disable_freeu()
    assert steering.unsteered == [] and picture.isfinite().all()
    assert not torch.equal(picture, plain) and not torch.equal(plain, unsteered)


@UPDATES
def test_a_network_in_training_stays_in_training(update):
    torch.manual_seed(0)
    pipeline = random_pipeline(tiny_unet(), small_tokenizer())
    expected = sample(pipeline, make_steering(pipeline, update=update, **WINDOW), STEPS)
    pipeline.unet.train()
    pipeline.unet.enable_gradient_checkpointing()
    pipeline.unet.conv_in.requires_grad_(False)
    before = state(pipeline)
    steering = make_steering(pipeline, update=update, **WINDOW)
    assert torch.equal(sample(pipeline, steering, STEPS), expected)
    assert steering.unsteered == []
    assert state(pipeline) == before and pipeline.unet.is_gradient_checkpointing


# Ways to run a probe.


def probed(pipeline, way: care.Care, standardised: bool = False) -> tuple[torch.Tensor, int]:
    """A gradient, and the bytes of the layers' outputs that are alive on their device between forward and backward."""
    steering = make_steering(pipeline)
    context, _ = pipeline.encode_prompt(steering.scene.scene.prompt, "cpu", 1, False)
    generator = torch.Generator().manual_seed(0)
    outputs, handles = [], []

    def note(module, args, output):
        if isinstance(output, torch.Tensor):
            outputs.append((weakref.ref(output), output.numel() * output.element_size()))

    handles = [module.register_forward_hook(note) for module in pipeline.unet.modules()]
    try:
        with torch.enable_grad(), way():
            leaf = torch.randn(1, 4, 8, 8, generator=generator).requires_grad_()
            tokens, time = steering.scene.tokens, torch.tensor(900)
            layers = default_layers(unet_of(pipeline.unet).layers) if standardised else ()
            maps = probe_unet(pipeline.unet, leaf, time, context, tokens, standardised=layers)
            loss = CentroidLoss("gelu", layers=tuple(maps.layers))(maps, steering.scene.relations[0], 0.0)
            held = sum(size for output, size in outputs if output() is not None)
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    finally:
        for handle in handles:
            handle.remove()
    return gradient, held


WAYS = {"watchful": care.Watchful(), "tolerant": care.tolerant, "frugal": care.frugal, "sparing": care.sparing}


@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_more_care_gives_the_same_gradient(tiny_pipeline, way, standardised):
    found, expected = (probed(tiny_pipeline, how, standardised)[0] for how in (way, care.plain))
    if way is care.frugal:  # what is run again adds up in another order
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    else:
        assert torch.equal(found, expected)


def test_sparing_keeps_no_activation_on_the_device(tiny_pipeline):
    (_, plain), (_, sparing) = probed(tiny_pipeline, care.plain), probed(tiny_pipeline, care.sparing)
    assert plain > 100_000
    assert sparing < 0.1 * plain


def test_frugal_keeps_the_inputs_of_blocks_and_no_other_activations(tiny_pipeline):
    (_, plain), (_, frugal) = probed(tiny_pipeline, care.plain), probed(tiny_pipeline, care.frugal)
    assert frugal < 0.5 * plain


def test_where_memory_runs_out_blocks_are_run_again_before_activations_leave_the_device():
    first = care.more_careful(care.Watchful(), out_of_memory())
    second = care.more_careful(first, out_of_memory())
    assert (first, second, care.more_careful(second, out_of_memory())) == (care.frugal, care.sparing, None)
    assert care.more_careful(care.frugal, RuntimeError("a block that cannot be run twice")) is care.sparing
    assert not care.memory_is_short()


def test_care_comes_to_an_end():
    """However often a probe fails, it is given up."""
    for errors in itertools.product([out_of_memory(), RuntimeError("deliberate")], repeat=4):
        way = care.Watchful()
        for error in errors:
            if (way := care.more_careful(way, error)) is None:
                break
        assert way is None


def test_what_was_watched_in_vain_is_watched_no_longer():
    watched = care.Watchful()
    with watched():
        torch.ones(2) + 1
    assert care.care_after_success(watched) is care.plain
    with watched(), torch.no_grad():
        assert torch.is_grad_enabled()
    assert care.care_after_success(watched) is watched
