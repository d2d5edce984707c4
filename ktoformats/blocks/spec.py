"""What all parts of a mapping have in common: frozen models whose errors name the YAML key."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from ktoformats.blocks.path import read_path


def _is_path(text: str) -> str:
    read_path(text)
    return text


PathText = Annotated[str, AfterValidator(_is_path)]
"""A path as it is written; `path()` gives it ready to be read."""


class Spec(BaseModel):
    """A part of a mapping."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


path = read_path
"""A path, read once and remembered."""


def one_of(spec: Spec, *names: str) -> str:
    """The one of these fields that is set.

    Raises:
        ValueError: None or several are.
    """
    given = [name for name in names if getattr(spec, name) is not None]
    if len(given) != 1:
        raise ValueError(f"expected exactly one of {', '.join(names)}, got {' and '.join(given) or 'none'}")
    return given[0]
