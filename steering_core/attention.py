"""Token columns of an attention layer, without the attention map.

The mean probability that each image position gives to the tokens of a phrase is itself an
attention: the one whose values are, for every key, the weight of that token in the phrase's mean.
So the fused kernels do it, forward and backward: the softmax runs over all keys, and nothing of
the size positions × keys is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .indices import rows_of

#: Root mean square variation over the image to which the objects' logits are scaled. It is about that of FLUX's
#: miniature, and twice as much spoils its pictures. The first miniature's own is 2 to 3, and a quarter of that steers
#: it as well.
CONTRAST = 0.75
#: Less than this is what rounding leaves of logits that do not vary.
_LEAST_CONTRAST = 1e-3


def token_columns(
    q: Tensor,
    k: Tensor,
    tokens: Sequence[Sequence[int]],
    bias: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Attention that each position pays to each object's tokens, mean over the object's tokens.

    Args:
        q: image queries, (batch, heads, positions, head_dim).
        k: the keys that the softmax runs over, (batch, heads, keys, head_dim).
        tokens: for each object the indices of its tokens among the keys.
        bias: what the layer adds to its logits, such as a mask of keys; broadcasts to (batch, heads, positions, keys).
        scale: what the layer multiplies its logits with; head_dim**-0.5 when not given.

    Returns:
        (batch, objects, heads, positions) in float32, values in [0, 1].

    Raises:
        IndexError: a token index lies outside the keys.
    """
    batch, heads, keys, head_dim = k.shape
    highest = max(index for indices in tokens for index in indices)
    if highest >= keys:
        raise IndexError(
            f"Token {highest} of a phrase lies outside the {keys} tokens that this model is given: the "
            f"relations belong to another prompt than the conditioning. Connect both from the same parser."
        )
    # The kernels want values as wide as the keys: pad with columns that stay zero.
    width = max(head_dim, len(tokens))
    weights = _token_weights(tuple(map(tuple, tokens)), keys, width, k.device)
    values = weights.expand(batch, heads, keys, width)
    columns = F.scaled_dot_product_attention(
        q.float(), k.float(), values, attn_mask=None if bias is None else bias.float(), scale=scale
    )
    return columns[..., : len(tokens)].permute(0, 3, 1, 2)


def logit_variance(
    q: Tensor, k: Tensor, tokens: Sequence[Sequence[int]], bias: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """How much the logits of the objects' tokens vary over the image, in all heads and tokens together.

    A softmax sees no more of a token's logits than how they differ from those of the other keys; that is what is
    measured here, at each position against its mean over all of them.

    Args:
        q, k, tokens, bias, scale: see ``token_columns``. Keys that the bias leaves no attention do not count.

    Returns:
        (batch,), in float32.
    """
    q, k = q.float(), k.float()
    chosen = rows_of(k, -2, [index for indices in tokens for index in indices])
    logits = q @ (chosen - _mean_key(k, bias)).transpose(-1, -2)
    # Centred are the few logits and not the queries, of which a gradient would keep a copy.
    logits = (logits - logits.mean(dim=-2, keepdim=True)) * (k.shape[-1] ** -0.5 if scale is None else scale)
    return logits.square().mean(dim=(1, 2, 3))


def standardised_queries(q: Tensor, variances: Sequence[Tensor]) -> Tensor:
    """Queries by which the logits of the objects' tokens vary over the image by ``CONTRAST``.

    So maps that are read with these queries do not depend on the scale of the network's own logits. Heads keep their
    say against one another, and so do layers: the factor is that of all that have been read together.

    Args:
        q: (batch, heads, positions, head_dim).
        variances: ``logit_variance`` of this layer, and of those that were read before it.

    Returns:
        As q, in float32. Each image of the batch has a factor of its own.
    """
    variance = torch.stack([one.to(q.device) for one in variances]).mean(dim=0).clamp_min(_LEAST_CONTRAST**2)
    return q.float() * (CONTRAST / variance.sqrt()).view(-1, 1, 1, 1)


def _mean_key(k: Tensor, bias: Tensor | None) -> Tensor:
    """The mean of the keys by what attention the bias alone would give them, (batch, heads, 1, head_dim)."""
    if bias is None:
        return k.mean(dim=-2, keepdim=True)
    return bias.float().softmax(dim=-1).mean(dim=-2, keepdim=True) @ k


@lru_cache(maxsize=16)
def _token_weights(tokens: tuple[tuple[int, ...], ...], keys: int, width: int, device: torch.device) -> Tensor:
    """The weight of each key in each object's mean, (keys, width), zero in the columns of no object.

    Kept, because a run asks for the same again in every layer of every probe, and to bring them to a card is to wait
    for all that it has yet to compute.
    """
    with torch.inference_mode(False):  # other calls will differentiate with them
        weights = torch.zeros(keys, width)
        for column, indices in enumerate(tokens):
            weights[list(indices), column] = 1 / len(indices)
        return weights.to(device)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(batch, length, heads·head_dim) to (batch, heads, length, head_dim)."""
    batch, length, channels = x.shape
    return x.view(batch, length, heads, channels // heads).transpose(1, 2)
