from __future__ import annotations

import pytest
import torch
from toys import Calls

from steering_core.attention import CONTRAST, logit_variance, split_heads, standardised_queries, token_columns

TOKENS = ((1,), (2, 3), (9,))


def explicit_columns(q, k, tokens):
    """From the whole attention map, in the same order of axes."""
    probabilities = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    return torch.stack([probabilities[..., list(indices)].mean(dim=-1) for indices in tokens], dim=1)


def queries_and_keys(head_dim=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 3, 20, head_dim, generator=generator, dtype=torch.float32)
    k = torch.randn(2, 3, 11, head_dim, generator=generator, dtype=torch.float32)
    return q.to(dtype), k.to(dtype)


@pytest.mark.parametrize("head_dim", [2, 8, 40])
def test_columns_are_those_of_the_whole_map(head_dim):
    q, k = queries_and_keys(head_dim)
    torch.testing.assert_close(token_columns(q, k, TOKENS), explicit_columns(q, k, TOKENS))


def test_half_precision_inputs_give_float32_columns():
    q, k = queries_and_keys(dtype=torch.float16)
    columns = token_columns(q, k, TOKENS)
    assert columns.dtype == torch.float32
    torch.testing.assert_close(columns, explicit_columns(q.float(), k.float(), TOKENS))


def test_gradients_are_those_of_the_whole_map():
    gradients = []
    for columns in (token_columns, explicit_columns):
        q, k = queries_and_keys()
        q.requires_grad_()
        (columns(q, k, TOKENS) ** 2).sum().backward()
        gradients.append(q.grad)
    torch.testing.assert_close(*gradients)


def test_all_tokens_together_get_all_attention():
    q, k = queries_and_keys()
    columns = token_columns(q, k, [(index,) for index in range(11)])
    torch.testing.assert_close(columns.sum(dim=1), torch.ones(2, 3, 20))


def test_a_token_beyond_the_keys_is_named():
    q, k = queries_and_keys()
    with pytest.raises(IndexError, match=r"Token 11 .* 11 tokens"):
        token_columns(q, k, [(11,)])


def standardised_alone(q, k, bias=None, scale=None):
    """The queries of a layer that is read by itself."""
    return standardised_queries(q, [logit_variance(q, k, TOKENS, bias, scale)])


@pytest.mark.parametrize("scale", [None, 0.3])
def test_standardised_logits_vary_by_the_contrast(scale):
    """Less the mean key's, over the positions, in all heads and tokens of an image together."""
    q, k = queries_and_keys()
    q = q * torch.tensor([0.2, 5.0])[:, None, None, None] + 1
    standardised = standardised_alone(q, k, scale=scale)
    logits = standardised @ (k - k.mean(dim=-2, keepdim=True)).transpose(-1, -2) * (scale or q.shape[-1] ** -0.5)
    variance = logits[..., [1, 2, 3, 9]].var(dim=-2, correction=0)
    torch.testing.assert_close(variance.mean(dim=(1, 2)).sqrt(), torch.full((2,), CONTRAST))


def test_layers_that_are_read_together_have_one_factor():
    """So that a layer that hardly tells objects apart is not made to."""
    q, _ = queries_and_keys()
    faint, strong = torch.tensor([0.02, 0.5]), torch.tensor([1.98, 1.5])
    torch.testing.assert_close(standardised_queries(q, [strong, faint]), CONTRAST * q)
    alone = standardised_queries(q, [strong])
    torch.testing.assert_close(alone, q * (CONTRAST / strong.sqrt())[:, None, None, None])


@pytest.mark.parametrize("times", [0.01, 0.25, 4.0])
def test_standardised_columns_do_not_depend_on_the_scale_of_the_logits(times):
    q, k = queries_and_keys()

    def columns(q, k):
        return token_columns(standardised_alone(q, k), k, TOKENS)

    torch.testing.assert_close(columns(times * q, k), columns(q, k))
    torch.testing.assert_close(columns(q, times * k), columns(q, k))
    # Their gradients have one direction.
    leaves = [(queries_and_keys()[0] * factor).requires_grad_() for factor in (1.0, times)]
    gradients = [torch.autograd.grad((columns(leaf, k) ** 2).sum(), leaf)[0] for leaf in leaves]
    torch.testing.assert_close(gradients[1] * times, gradients[0])


def test_what_all_keys_share_does_not_count_as_contrast():
    """A softmax does not see it."""
    q, k = queries_and_keys()
    standardised = standardised_alone(q, k)
    torch.testing.assert_close(standardised_alone(q, k + 7 * k[:, :, :1]), standardised, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("least", [float("-inf"), -1e4])
def test_masked_keys_do_not_count_in_the_contrast(least):
    q, k = queries_and_keys()
    bias = torch.zeros(1, 1, 1, 11)
    bias[..., 10:] = least
    masked = standardised_alone(q, torch.cat([k[..., :10, :], 100 * k[..., 10:, :]], dim=-2), bias)
    torch.testing.assert_close(masked, standardised_alone(q, k[..., :10, :]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_that_do_not_vary_stay_finite_and_flat(dtype):
    q, k = queries_and_keys()
    leaf = q[..., :1, :].expand_as(q).to(dtype).clone().requires_grad_()
    columns = token_columns(standardised_alone(leaf, k.to(dtype)), k, TOKENS)
    torch.testing.assert_close(columns, columns[..., :1].expand_as(columns), rtol=1e-2, atol=1e-2)
    assert torch.autograd.grad((columns**2).sum(), leaf)[0].isfinite().all()


def test_heads_are_split_as_attention_layers_do():
    x = torch.arange(24.0).view(1, 2, 12)
    heads = split_heads(x, 3)
    assert heads.shape == (1, 3, 2, 4)
    torch.testing.assert_close(heads[0, 1, 1], x[0, 1, 4:8])


def test_the_weights_of_the_tokens_are_made_once_and_bear_a_gradient_later():
    """To bring them to a card again for each layer would be to wait for it."""
    q, k, tokens = torch.rand(1, 2, 6, 4), torch.rand(1, 2, 9, 4), [(1, 2), (8,)]
    with torch.inference_mode():
        before = token_columns(q, k, tokens)
    leaf = q.clone().requires_grad_()
    with Calls() as calls:
        after = token_columns(leaf, k, tokens)
    assert torch.equal(after, before) and not calls.count["__setitem__"]
    after.sum().backward()
    assert leaf.grad is not None
