"""Tokenizers by name."""

from __future__ import annotations

from typing import Any

from ktoformats.errors import ConfigError


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model: a folder, or a name on the Hugging Face hub.

    Raises:
        ConfigError: `transformers` is not installed, or there is no such tokenizer.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ConfigError("a tokenizer needs transformers: pip install 'ktoformats[tokens]'") from error
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"tokenizer {name!r} cannot be loaded: {first}; name the folder of a model") from error
