"""Plugins as pip would leave them: a `.dist-info` folder and a module on the path, gone after the test."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Final

import pytest

from ktoformats import Registry
from ktoformats.plugin.discovery import Found, discover
from ktoformats.plugin.kinds import GROUPS
from ktoformats.testing import Subject

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD: Final = """\
import collections, csv, functools, gzip, hashlib, html, io, itertools, json, math, random, re, sys, tempfile, threading
import time, unicodedata
from pathlib import Path
from typing import Any, Callable, ClassVar, Literal
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_validator
import ktoformats
from ktoformats import (
    Claim, Context, Dropped, Exporter, Filter, Format, Gather, Judged, JudgedLayout, KTOLabelError, Labels, Message, Pair, Quality,
    Ranked, Rated, Reading, RecordError, Response, Scale, Unjudged, Utility, claim_of, hookimpl, or_error, scale_of,
)
"""
HOOK: Final = """
@hookimpl
def ktoformats_plugins():
    return [Mine]
"""
APART: Final = {"preset": "ktoformats.presets", "observer": "ktoformats.observers"}
INSTALLED: Final = discover()
"""Asked once: the metadata of an environment is slow to read."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of `sys.path`."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.delenv("KTOFORMATS_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def plant(site: Path) -> Callable[..., Subject]:
    """`plant("format", SOURCE)`: plugin `mine` of distribution acme-mine, installed; SOURCE holds a class `Mine`.

    Imports and the hook are added unless SOURCE has a hook of its own. Of a preset SOURCE is the file's text, and of an
    observer its module's, which needs no class.
    """
    found = list(INSTALLED)

    def planted(kind: str, source: str, name: str = "mine", **options: Any) -> Subject:
        module, group = f"acme_{name}", GROUPS.get(kind) or APART[kind]
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
        if kind != "preset":
            hook = HOOK * (kind in GROUPS and "ktoformats_plugins" not in source)
            (site / f"{module}.py").write_text(HEAD + source + hook)
        else:
            (site / module).mkdir()
            (site / module / "__init__.py").touch()
            (site / module / f"{name}.yaml").write_text(source)
        importlib.invalidate_caches()
        point = EntryPoint(name, module, group)
        found.append(Found(kind, name, module, f"acme-{name}", "1.0", allowed=True, entry_point=point))
        return Subject(kind, name, registry=Registry(found), **options)

    return planted
