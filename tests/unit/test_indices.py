"""What is asked of every layer of every probe brings no list of numbers to the device a second time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_classifier import small
from test_learned_loss import token_maps
from torch.utils._python_dispatch import TorchDispatchMode
from toys import pair_scene

from steering_core.attention import logit_variance, token_columns
from steering_core.indices import rows_of
from steering_core.losses import CentroidLoss, LearnedLoss, PresenceLoss
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation
from steering_core.token_maps import TokenMaps
from steering_core.tokens import GroundedRelation

TOKENS = ((1,), (2, 3), (9,))


class Brought(TorchDispatchMode):
    """Counts the numbers that are made tensors, and those that are read back."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.name() in {"aten::lift_fresh", "aten::_local_scalar_dense", "aten::nonzero"}
        return func(*args, **(kwargs or {}))


def of_words() -> TokenMaps:
    maps = torch.rand(2, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return TokenMaps({"up.0": maps}).with_words([(0,), (1, 2)])


def of_attention(read: Callable) -> Callable:
    q, k = torch.rand(2, 1, 3, 11, 8, generator=torch.Generator().manual_seed(0))
    return lambda: read(q, k, TOKENS)


RELATION, MAPS, LEARNED = pair_scene(Relation.LEFT_OF).relations[0], token_maps(), LearnedLoss(small())
ASKED = {
    "centroid": lambda: CentroidLoss("gelu")(MAPS, RELATION, 0.0),
    "place": lambda: CentroidLoss("gelu")(MAPS, GroundedRelation(0, Place.AT_TOP_LEFT), 0.0),
    "center": lambda: CentroidLoss("gelu")(MAPS, GroundedRelation(0, Place.AT_CENTER), 0.0),
    "learned": lambda: LEARNED(MAPS, RELATION, 0.0),
    "presence": lambda: PresenceLoss()(of_words(), RELATION, 0.0),
    "columns": of_attention(token_columns),
    "variance": of_attention(logit_variance),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_second_time_nothing_is_brought(name):
    first = ASKED[name]()
    with Brought() as brought:
        second = ASKED[name]()
    assert brought.count == 0
    torch.testing.assert_close(second, first, rtol=0, atol=0)


def test_what_is_counted():
    with Brought() as brought:
        torch.rand(3)[[1]].sum().item()
    assert brought.count == 2


def test_rows_come_in_the_order_that_is_asked_for_and_have_a_gradient():
    whole = torch.rand(2, 4, 3, requires_grad=True)
    torch.testing.assert_close(rows_of(whole, 1, (3, 0)), whole[:, [3, 0]])
    with torch.inference_mode():
        rows_of(whole, -1, [2])  # what is kept from here has a gradient all the same
    (gradient,) = torch.autograd.grad(rows_of(whole, -1, [2]).sum(), whole)
    assert gradient.sum(dim=(0, 1)).tolist() == [0, 0, 8]
