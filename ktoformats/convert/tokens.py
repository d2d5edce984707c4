"""Finding texts that hold the special tokens of chat templates, which a tokenizer may read as turns of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_TOKENS: Final = (
    r"<\|[a-z_]+\|>|<｜[^<>]{1,30}｜>|\[/?INST\]|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS)\]|<</?SYS>>"
    r"|<(?:start|end)_of_turn>|</?s>"
)
_SIGNS: Final = (b"<", b"[")
"""A batch without either holds no token; looking for one byte costs next to nothing."""


def hold_template_tokens(texts: pa.LargeStringArray) -> NDArray[np.bool_]:
    """Which texts hold a token such as `<|im_end|>` or `[INST]`.

    Args:
        texts: A column without nulls.

    Returns:
        A mask of shape (rows,).
    """
    data = texts.buffers()[2]
    content = data.to_pybytes() if data is not None else b""
    if not any(sign in content for sign in _SIGNS):
        return np.zeros(len(texts), np.bool_)
    return np.asarray(pc.match_substring_regex(texts, _TOKENS).to_numpy(zero_copy_only=False), np.bool_)
