"""The plain way to say what text each token adds: decode ever longer beginnings of the whole."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

SENTENCES = [
    "a photo of a teddy bear above a xylophone, very fine " * 4,
    "a café above a naïve \N{HEAVY BLACK HEART} dog \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd "
    * 4,
    "\u4e00\u53ea\u72d7\u5728\u732b\u7684\u4e0a\u9762\uff0c\u65c1\u8fb9\u662f\u4e00\u67b6\u98de\u673a\u3002" * 4,
    "\uac01\uac01\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab dog " * 6,
    "e\u0301o\u0323\u0302 Z\u0353\u031e\u0345\u034d cafe\u0301 " * 6,
    "don't it's we're ... , . ! 1,000 \u00a0 x\u00b2 \ufb01 \u01c5 \u00df " * 4,
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e " * 5,
]


def reference_texts(ids: Sequence[int], decode: Callable[[list[int]], str]) -> list[str]:
    """What ``token_texts`` is to return, in time quadratic in the number of ids."""
    texts, before = [], ""
    for end in range(1, len(ids) + 1):
        whole = "".join(unicodedata.normalize("NFKC", decode(list(ids[:end]))).casefold().split())
        whole = whole.rstrip("\N{REPLACEMENT CHARACTER}")
        texts.append(whole[len(before) :])
        before = max(before, whole, key=len)
    return texts
