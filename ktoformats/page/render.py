"""Pages as HTML: one file that holds its style and its script, and lets nothing else run or load."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from ktoformats.errors import ConfigError
from ktoformats.page.model import Bar, Sides
from ktoformats.page.text import plain, shown

if TYPE_CHECKING:
    from ktoformats.page.model import Cell, Page

_TEMPLATE, _STYLE, _SCRIPT = "page.html.j2", "page.css", "page.js"
INSTALL: Final = "pip install 'ktoformats[report]'"


def to_html(page: Page) -> str:
    """The page as one HTML file.

    Every text is escaped. Nothing is loaded from elsewhere, and only the style and the script of this file may run:
    the policy names them by their digests. Without a script all of it can be read.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    style, script = _file(_STYLE), _file(_SCRIPT)
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    made: str = _environment().get_template(_TEMPLATE).render(page=page, style=style, script=script, policy=policy)
    return made


def check_installed() -> None:
    """Refuse to begin where what makes pages is missing.

    Raises:
        ConfigError: jinja2 or matplotlib is not installed.
    """
    for name in ("jinja2", "matplotlib"):
        if find_spec(name) is None:
            raise ConfigError(f"the report as a page needs {name}: {INSTALL}")


@cache
def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise ConfigError(f"the report as a page needs jinja2: {INSTALL}") from error
    from markupsafe import Markup

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["shown"] = lambda text: Markup(shown(text))  # noqa: S704 - `shown` escapes
    made.filters["plain"] = plain
    made.filters["cell"] = cell
    made.filters["is_number"] = lambda value: isinstance(value, int | float)
    made.tests["sides"] = lambda value: isinstance(value, Sides)
    made.tests["bar"] = lambda value: isinstance(value, Bar)
    return made


def cell(value: Cell) -> str:
    """A cell in words."""
    if isinstance(value, float):
        return f"{value:.1%}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str):
        return plain(value, 400)
    return (
        f"{value.count / max(1, value.of):.1%}"
        if isinstance(value, Bar)
        else f"{value.good:,} good, {value.bad:,} bad"
    )


def _file(name: str) -> str:
    return files("ktoformats.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """A source for a Content-Security-Policy: the digest of an inline element's text."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
