"""Objects bound to their regions in the pipelines' own forwards."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from pipelines import make_steering, state
from tiny_pipelines import TINY, sample, tiny
from torch.overrides import TorchFunctionMode

from steering_core import binding
from steering_core.attention_calls import Spans
from steering_core.backends.diffusers import ground_prompt
from steering_core.backends.diffusers.pipelines import FIRST_CALL, FIRST_HALF, kind_of
from steering_core.binding import BoundText, region_bias
from steering_core.losses import CentroidLoss
from steering_core.regions import Region
from steering_core.schedule import SteeringSchedule
from steering_core.steering import Steering

KINDS = pytest.mark.parametrize("name", TINY)
WAYS = pytest.mark.parametrize("name", ["SDXL", "FLUX.1", "Z-Image"])
#: Where the image stands first among the keys.
IMAGE_FIRST = {"SD 3", "Z-Image"}
#: Tokens of the image where it is padded.
PADDED = {"Z-Image": 64}
LEFT, RIGHT = Region(x=(0, 0.5)), Region(x=(0.5, 1))


class Masks(TorchFunctionMode):
    """Whether each query sees each key, of every call of PyTorch's attention."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.seen.append(_sees(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def _sees(query, key, value, attn_mask=None, **options):
    """(batch, queries, keys)."""
    whole = torch.ones(len(query), query.shape[-2], key.shape[-2], dtype=torch.bool)
    if attn_mask is None:
        return whole
    seen = attn_mask if attn_mask.dtype == torch.bool else attn_mask > -1e3
    return whole & (seen[:, 0] if seen.dim() == 4 else seen)


def bound(pipeline, share=0.5, strength=0.0, **schedule):
    """A steering that binds in this share of the steps."""
    return make_steering(pipeline, strength=strength, bound=share, **schedule)


def hidden(name, tokens, queries, keys, size):
    """Who is hidden from whom by this test's own count: the first object is above, the second below."""
    height, width = size
    image, upper = height * width, height * width // 2
    is_cross = name == "SDXL"
    padded = PADDED.get(name, image)
    texts = keys if is_cross else keys - padded
    begin, text = (0, 0) if is_cross else (0, padded) if name in IMAGE_FIRST else (texts, 0)
    pairs = torch.zeros(queries, keys, dtype=torch.bool)
    outside = (slice(begin + upper, begin + image), slice(begin, begin + upper))
    for indices, rows in zip(tokens, outside):
        for index in indices:
            pairs[rows, text + index] = True
            if not is_cross:
                pairs[text + index, rows] = True
    return pairs


@KINDS
def test_an_object_is_seen_in_its_region_alone_in_the_first_steps_and_where_the_prompt_is(made, name):
    pipeline = made(name)
    kind, steering = kind_of(pipeline), bound(made(name))
    with Masks() as free:
        plain = sample(pipeline, guidance=3.0)
    with Masks() as masks:
        moved = sample(pipeline, steering, guidance=3.0)
    assert moved.isfinite().all() and not torch.equal(moved, plain)
    assert steering.notes.bound == [0] and steering.notes.unbound == [] and steering.trace == []
    changed = [(a, b) for a, b in zip(free.seen, masks.seen) if not torch.equal(a, b)]
    layers = 8 if name == "SDXL" else len(list(_blocks(pipeline)))
    assert len(free.seen) == len(masks.seen) and len(changed) == layers
    for before, after in changed:
        queries, keys = before.shape[1:]
        # The levels of the UNet: of 12 × 16, and halved twice.
        size = {192: (12, 16), 48: (6, 8), 12: (3, 4)}[queries] if name == "SDXL" else (6, 8)
        if size == (3, 4):
            continue  # with an odd number of rows the middle one is the lower object's, which others look at
        expected = before & ~hidden(name, steering.scene.tokens, queries, keys, size)
        prompted = torch.ones(len(before), dtype=torch.bool)
        if kind.prompted != FIRST_CALL and len(before) == 4:
            prompted[2:] = kind.prompted != FIRST_HALF
            prompted[:2] = kind.prompted == FIRST_HALF
        assert torch.equal(after[prompted], expected[prompted])
        assert torch.equal(after[~prompted], before[~prompted])


def _blocks(pipeline):
    """Of a transformer."""
    network = kind_of(pipeline).network_of(pipeline)
    for lists in ("transformer_blocks", "single_transformer_blocks", "layers"):
        yield from getattr(network, lists, ())


@KINDS
def test_nothing_stays_and_nothing_changes_where_none_is_bound(made, name):
    pipeline = made(name)
    plain, before = sample(pipeline), state(pipeline)
    sample(pipeline, bound(pipeline))
    assert torch.equal(sample(pipeline, bound(pipeline, share=0.0)), plain)
    assert torch.equal(sample(pipeline), plain)
    after = state(pipeline)
    assert {key: after[key] for key in before if key != "random"} == {
        key: before[key] for key in before if key != "random"
    }


@WAYS
@pytest.mark.parametrize("update", ["descent", "guidance"])
def test_objects_are_bound_and_the_latent_is_moved(made, name, update):
    pipeline = made(name)
    steering = bound(pipeline, strength=1.0, update=update)
    both = sample(pipeline, steering, steps=4)
    assert steering.notes.bound == [0, 1] and {0} <= {entry.step for entry in steering.trace} <= {0, 1}
    alone = sample(pipeline, bound(pipeline), steps=4)
    moved = sample(pipeline, make_steering(pipeline, update=update, bound=0.0), steps=4)
    assert not torch.equal(both, alone) and not torch.equal(both, moved)


@WAYS
def test_a_failure_costs_the_binding_and_not_the_picture(made, name, monkeypatch):
    pipeline = made(name)
    plain, before = sample(pipeline), state(pipeline)["modules"]

    def fail(*_):
        raise MemoryError("deliberate")

    monkeypatch.setattr(binding, "region_bias", fail)
    steering = bound(pipeline, share=1.0)
    # Its forwards are set up otherwise than plain ones, and can round otherwise.
    torch.testing.assert_close(sample(pipeline, steering), plain)
    assert steering.notes.bound == [] and [left_out.step for left_out in steering.notes.unbound] == [0, 1]
    assert str(steering.notes.unbound[0]) == "step 1: not bound, MemoryError: deliberate"
    assert state(pipeline)["modules"] == before


@WAYS
def test_a_run_that_is_cancelled_leaves_nothing(made, name):
    pipeline = made(name)
    plain, before = sample(pipeline), state(pipeline)["modules"]

    class Cancelled(BaseException):
        pass

    def cancel(pipeline, step, timestep, kwargs):
        raise Cancelled

    with pytest.raises(Cancelled):
        sample(pipeline, bound(pipeline, share=1.0), callback_on_step_end=cancel)
    assert state(pipeline)["modules"] == before
    assert torch.equal(sample(pipeline), plain)


def test_layers_that_attend_without_pytorchs_function_are_told(made):
    pipeline = made("SDXL")
    before = pipeline.unet.attn_processors
    pipeline.unet.set_attn_processor(AttnProcessor())
    try:
        plain, steering = sample(pipeline), bound(pipeline)
        assert torch.equal(sample(pipeline, steering), plain)
    finally:
        pipeline.unet.set_attn_processor(before)
    assert steering.notes.bound == [] and "down.0" in steering.notes.unbound[0].reason


def test_objects_without_a_side_are_not_bound(made):
    pipeline, prompt = made("FLUX.1"), "a photo of a giraffe next to an airplane"
    plain = sample(pipeline, prompt=prompt)
    steering = Steering(ground_prompt(pipeline, prompt), CentroidLoss(), SteeringSchedule(strength=0.0, bound=0.5))
    assert torch.equal(sample(pipeline, steering, prompt=prompt), plain)
    assert steering.bound_steps(2) == 0
    assert steering.binding(2).lines() == [
        "bound: nothing; not giraffe, no side is said; not airplane, no side is said"
    ]


def cross(height, width, keys):
    """The spans of a cross-attention."""
    return Spans((1, height, width), height * width, keys, image=0, text=0, texts=keys)


def test_a_token_of_two_objects_is_seen_in_the_regions_of_both_and_of_a_free_one_everywhere():
    text = BoundText(((1, 2), (2, 3), (3,)))
    bias = region_bias(cross(1, 4, 5), text, (LEFT, RIGHT, None))
    assert (bias >= 0).int().T.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    heeded = bias.exp().round(decimals=4).T.tolist()
    assert heeded == [[1, 1, 1, 1], [2, 2, 0, 0], [2, 2, 2, 2], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_each_frame_of_several_is_bound_alike():
    spans = Spans((2, 1, 2), 2 * 2 + 3, 2 * 2 + 3, image=3, text=0, texts=3, first=1)
    bias = region_bias(spans, BoundText(((0,),)), (LEFT,))
    assert bias[3:, 1].exp().round(decimals=4).tolist() == [2, 0, 2, 0]
    assert bias[1, 3:].exp().tolist() == [1, 0, 1, 0] and (bias != 0).sum() == 6


def test_where_nothing_else_is_left_to_be_seen_all_is_seen_as_it_was():
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 1, length, 8) for length in (4, 2, 2))
    bias = region_bias(cross(1, 4, 2), BoundText(((0,), (1,))), (LEFT, LEFT))
    attended = F.scaled_dot_product_attention(query, key, value, bias)
    plain = F.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(attended, plain, atol=1e-2, rtol=1e-2)
    for dtype in (torch.float16, torch.bfloat16):
        half = F.scaled_dot_product_attention(*(part.to(dtype) for part in (query, key, value, bias)))
        assert half.isfinite().all()


def test_one_mask_serves_all_layers_of_a_size_and_all_steps(made, monkeypatch):
    pipeline, made_for = made("SDXL"), []
    monkeypatch.setattr(
        binding, "region_bias", lambda spans, *rest: made_for.append(spans.size) or region_bias(spans, *rest)
    )
    sample(pipeline, bound(pipeline, share=1.0), guidance=3.0)
    # One for each part of the batch.
    assert sorted(made_for) == sorted(2 * [*{size for size in made_for}])


@WAYS
def test_compiled_blocks_run_uncompiled_where_they_are_bound(tokenizer, name):
    pipeline = tiny(name, tokenizer)
    expected = sample(pipeline, bound(pipeline, share=1.0))
    network = kind_of(pipeline).network_of(pipeline)
    network.compile(backend="eager")
    for block in _blocks(pipeline):
        block.compile(backend="eager")
    steering = bound(pipeline, share=1.0)
    torch.testing.assert_close(sample(pipeline, steering), expected, rtol=1e-3, atol=1e-3)
    assert steering.notes.bound == [0, 1]


def test_attention_of_another_backend_is_bound_and_put_back(tokenizer):
    pipeline = tiny("FLUX.1", tokenizer)
    expected = sample(pipeline, bound(pipeline))
    pipeline.transformer.set_attention_backend("_native_math")
    steering = bound(pipeline)
    torch.testing.assert_close(sample(pipeline, steering), expected, rtol=1e-3, atol=1e-3)
    backends = {processor._attention_backend for processor in pipeline.transformer.attn_processors.values()}
    assert {str(getattr(backend, "value", backend)) for backend in backends} == {"_native_math"}
    assert steering.notes.bound == [0]


@KINDS
def test_by_default_objects_of_a_joint_attention_are_bound(made, name):
    pipeline = made(name)
    steering = make_steering(pipeline)
    sample(pipeline, steering)
    is_joint = not isinstance(kind_of(pipeline).network_of(pipeline), UNet2DConditionModel)
    assert steering.notes.bound == ([0] if is_joint else [])
    assert (steering.binding(2) is None) is not is_joint
