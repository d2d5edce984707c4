"""Observers hear of a build what there is to hear, if they are named, and change nothing in it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from ktoformats import (
    ConfigError,
    KTODataConfig,
    KTODataLoader,
    PluginContractError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
    Registry,
)
from ktoformats.plugin.discovery import OBSERVER, discover
from ktoformats.store.workers import can_be_told
from ktoformats.testing import Subject, check

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Install = Callable[..., Path]
    Run = Callable[..., subprocess.CompletedProcess[str]]

OBSERVERS: Final = "ktoformats.observers"
LISTENER: Final = """
import json, os
from ktoformats import hookimpl
def note(**told):
    with open(os.environ["HEARD"], "a") as stream:
        print(json.dumps({"process": os.getpid()} | told), file=stream)
note(imported=__name__)
@hookimpl
def ktoformats_record_rejected(source, line, reason, field, message):
    note(source=os.path.basename(source), line=line, reason=reason, field=field, message=message)
@hookimpl
def ktoformats_dataset_built(split, report):
    note(split=split, report=dict(report))
"""
RAISING: Final = """
from ktoformats import hookimpl
@hookimpl
def {hook}({argument}):
    raise {error}
"""
HOOKS: Final = {"ktoformats_record_rejected": "reason", "ktoformats_dataset_built": "report"}
BAD_LINES: Final = {2: "maybe", 5: "perhaps", 6: "so-so"}


@pytest.fixture
def ears(install: Install) -> None:
    """Two observers in two distributions."""
    for name in ("ears", "more-ears"):
        module = f"acme_{name.replace('-', '_')}"
        install(f"acme-{name}", {OBSERVERS: {name: module}}, {module: LISTENER})


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """What was noted since the last look."""
    log = tmp_path / "heard"
    monkeypatch.setenv("HEARD", str(log))

    def read() -> list[dict[str, Any]]:
        told = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return told

    return read


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two files, each with three bad records among others."""
    for name in ("one.jsonl", "two.jsonl"):
        labels = [BAD_LINES.get(line, "good" if line % 2 else "bad") for line in range(1, 41)]
        rows = [
            {"prompt": f"{name} {line}", "response": f"r{line}", "label": label} for line, label in enumerate(labels)
        ]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["one.jsonl", "two.jsonl"]


def config_of(folder: Path, files: list[str], **values: Any) -> KTODataConfig:
    defaults: dict[str, Any] = {"balance_labels": False, "min_samples_per_label": 0}
    return KTODataConfig(train_file=[str(folder / name) for name in files], **defaults | values)


def rejects(told: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["source"], one["line"]) for one in told if "line" in one]


def builds(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["report"] for one in told if "report" in one]


EVERY_REJECT: Final = [(name, line) for name in ("one.jsonl", "two.jsonl") for line in BAD_LINES]


@pytest.mark.usefixtures("ears")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_loader_tells_each_reject_once_in_source_order_and_then_the_build(
    workers: int, tmp_path: Path, files: list[str], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    config = config_of(tmp_path, files, observers=["ears"], preprocessing_num_workers=workers)
    assert can_be_told(config), "or there would be no workers"
    loader = KTODataLoader(config, enable_cache=False)
    loader.load_dataset()
    told = heard()
    assert rejects(told) == EVERY_REJECT
    assert [one.get("imported") for one in told if "imported" in one] == ["acme_ears"]
    assert len({one["process"] for one in told}) == 1, "a worker has nothing to hear"
    assert builds(told) == [loader.report.to_json()]
    assert "report" in told[-1]
    first = next(one for one in told if "line" in one)
    assert (first["reason"], first["field"]) == ("label_unrecognised", "label")
    assert first["message"].startswith("'maybe' is no value of scale")


@pytest.mark.usefixtures("ears")
@pytest.mark.parametrize("workers", [1, 2])
def test_convert_tells_the_same(
    workers: int, run: Run, files: list[str], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    words = ("--workers", workers, "--json", "--set", "observers=[ears, more-ears]")
    done = run("convert", *files, "-o", "out.jsonl", *words)
    assert done.returncode == 0, done.stderr
    told = heard()
    assert {one["imported"] for one in told if "imported" in one} == {"acme_ears", "acme_more_ears"}
    assert rejects(told) == [one for one in EVERY_REJECT for _ in range(2)]
    assert [one["kept"] for one in (report["total"] for report in builds(told))] == [74, 74]
    assert json.loads(done.stdout)["plugins"]["observer"] == {
        "ears": "acme-ears 1.0",
        "more-ears": "acme-more-ears 1.0",
    }


@pytest.mark.usefixtures("ears")
def test_each_split_is_a_build_and_a_reject_is_told_once(
    run: Run, files: list[str], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    words = ("--split", "train=0.8,validation=0.2", "--set", "observers=[ears]", "--no-cache")
    assert run("convert", *files, "-o", "out", *words).returncode == 0
    told = heard()
    assert rejects(told) == EVERY_REJECT
    assert [one["split"] for one in told if "split" in one] == ["train", "validation"]


@pytest.mark.usefixtures("ears")
def test_an_observer_that_nobody_names_is_not_imported_and_hears_nothing(
    run: Run, tmp_path: Path, files: list[str], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    KTODataLoader(config_of(tmp_path, files), enable_cache=False).load_dataset()
    assert run("convert", *files, "-o", "out.jsonl").returncode == 0
    assert run("plugin", "list").returncode == 0
    assert heard() == []


@pytest.mark.usefixtures("ears")
def test_only_the_observers_of_this_configuration_hear_though_others_are_loaded(
    tmp_path: Path, files: list[str], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    registry = Registry()
    for observers in (["ears"], ["more-ears"], []):
        heard()
        loader = KTODataLoader(config_of(tmp_path, files, observers=observers), enable_cache=False, registry=registry)
        loader.load_dataset()
        assert len(builds(heard())) == len(observers)


@pytest.mark.usefixtures("ears")
def test_what_is_opened_from_the_cache_is_told_as_a_build_without_rejects(
    tmp_path: Path, files: list[str], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    config = config_of(tmp_path, files[:1], observers=["ears"])
    for cached in (False, True):
        KTODataLoader(config, cache_dir=tmp_path / "cache").load_dataset()
        told = heard()
        assert rejects(told) == ([] if cached else EVERY_REJECT[:3])
        [report] = builds(told)
        assert (report["cached"], report["total"]["rejected"]) == (cached, {"label_unrecognised": 3})
    both = config_of(tmp_path, files, observers=["ears"])
    KTODataLoader(both, cache_dir=tmp_path / "cache").load_dataset()
    told = heard()
    assert rejects(told) == EVERY_REJECT[3:]
    assert builds(told)[0]["cached"] is False


@pytest.mark.usefixtures("ears", "heard")
def test_observers_change_neither_samples_nor_what_is_cached(tmp_path: Path, files: list[str]) -> None:
    seen = []
    for observers in ([], ["ears"], ["more-ears", "ears"], []):
        loader = KTODataLoader(config_of(tmp_path, files, observers=observers), cache_dir=tmp_path / "cache")
        dataset = loader.load_dataset()
        seen.append((list(dataset), dataset.fingerprint))
        assert loader.report.cached == (len(seen) > 1)
    assert all(one == seen[0] for one in seen)
    assert len({path.name for path in (tmp_path / "cache" / "shards").iterdir()}) == len(files)


@pytest.mark.usefixtures("ears")
def test_a_view_that_is_kept_is_found_whoever_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    monkeypatch.setattr("ktoformats.store.cache.WORTH_KEEPING", 1)
    views = []
    for observers in ([], ["ears"]):
        KTODataLoader(config_of(tmp_path, files, observers=observers), cache_dir=tmp_path / "cache").load_dataset()
        views.append(sorted(path.name for path in (tmp_path / "cache" / "views").iterdir()))
    assert views[0] == views[1] != []
    assert len(builds(heard())) == 1


@pytest.mark.usefixtures("ears")
def test_a_stream_is_no_build(tmp_path: Path, files: list[str], heard: Callable[[], list[dict[str, Any]]]) -> None:
    loader = KTODataLoader(config_of(tmp_path, files, observers=["ears"], balance_labels=False), enable_cache=False)
    assert len(list(loader.stream(shuffle=False))) == 74
    assert heard() == []


@pytest.mark.parametrize(
    ("hook", "error", "workers"),
    [
        ("ktoformats_record_rejected", "ValueError('full')", 2),
        ("ktoformats_record_rejected", "ktoformats.RecordError('too_short', 'x')", 1),
        ("ktoformats_dataset_built", "SystemExit(0)", 1),
        ("ktoformats_dataset_built", "OSError(28, 'full')", 2),
    ],
)
def test_an_observer_that_raises_ends_the_run_before_anything_is_published(
    hook: str, error: str, workers: int, install: Install, run: Run, tmp_path: Path, files: list[str]
) -> None:
    source = "import ktoformats\n" + RAISING.format(hook=hook, argument=HOOKS[hook], error=error)
    install("acme-evil", {OBSERVERS: {"evil": "acme_evil"}}, {"acme_evil": source})
    kept = {"out.jsonl": "earlier", "out-jsonl.rejects.txt": "earlier", "out-jsonl.manifest.yaml": "earlier"}
    for name, text in kept.items():
        (tmp_path / name).write_text(text)
    done = run("convert", *files, "-o", "out.jsonl", "--workers", workers, "--set", "observers=[evil]", "--json")
    told = json.loads(done.stdout)["error"]
    assert (done.returncode, told["type"]) == (3, "PluginError")
    assert re.fullmatch(
        rf"{hook} in acme_evil failed \(\w+: .*\); it is observer 'evil' of acme-evil 1\.0", told["message"]
    )
    assert "Traceback" not in done.stderr
    assert {name: (tmp_path / name).read_text() for name in kept} == kept
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    again = run("convert", *files, "-o", "out.jsonl", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["total"]["kept"] == 74


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("error", [KeyError, SystemExit])
def test_a_loader_raises_the_same_and_writes_no_rejects(
    hook: str, error: type[BaseException], install: Install, tmp_path: Path, files: list[str]
) -> None:
    source = RAISING.format(hook=hook, argument=HOOKS[hook], error=f"{error.__name__}('x')")
    install("acme-evil", {OBSERVERS: {"evil": "acme_evil"}}, {"acme_evil": source})
    config = config_of(tmp_path, files, observers=["evil"], rejects_file=tmp_path / "rejects.jsonl")
    with pytest.raises(
        PluginError, match=rf"^{hook} in acme_evil failed \({error.__name__}: '?x'?\); it is"
    ) as caught:
        KTODataLoader(config, enable_cache=False).load_dataset()
    assert (caught.value.kind, caught.value.plugin) == (OBSERVER, "evil")
    assert isinstance(caught.value.__cause__, error)
    assert not (tmp_path / "rejects.jsonl").exists()


@pytest.mark.usefixtures("ears")
def test_rejects_that_an_observer_choked_on_are_told_again_by_the_next_build(
    install: Install, tmp_path: Path, files: list[str], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    """Nothing of a build that stopped is taken for converted, so nothing it did not tell is lost."""
    source = RAISING.format(hook="ktoformats_record_rejected", argument="reason", error="KeyError('x')")
    install("acme-evil", {OBSERVERS: {"evil": "acme_evil"}}, {"acme_evil": source})
    with pytest.raises(PluginError, match="acme_evil"):
        KTODataLoader(config_of(tmp_path, files, observers=["evil"]), cache_dir=tmp_path / "cache").load_dataset()
    KTODataLoader(config_of(tmp_path, files, observers=["ears"]), cache_dir=tmp_path / "cache").load_dataset()
    assert rejects(heard()) == EVERY_REJECT


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("import no_such_library", PluginLoadError, r"cannot be imported .*pip install no_such_library"),
        (
            "from ktoformats import hookimpl",
            PluginContractError,
            "its module hears of no event; mark ktoformats_record",
        ),
        ("def ktoformats_dataset_built(report): ...", PluginContractError, "hears of no event"),
        (
            "from ktoformats import hookimpl\n@hookimpl\ndef ktoformats_dataset_built(rapport): ...",
            PluginLoadError,
            "cannot be registered .*(.|\n)*rapport",
        ),
    ],
)
def test_a_broken_observer_is_an_error_that_names_its_distribution(
    source: str, error: type[PluginError], message: str, install: Install, run: Run, tmp_path: Path
) -> None:
    install("acme-evil", {OBSERVERS: {"evil": "acme_evil"}}, {"acme_evil": source})
    registry = Registry()
    for _ in range(2):
        with pytest.raises(error, match=rf"^observer 'evil' of acme-evil 1\.0(.|\n)*{message}"):
            registry.observe("evil")
    assert {one.name: one.state for one in registry.statuses()}["evil"] == "failed"
    (tmp_path / "kto.yaml").write_text("data: {observers: [evil]}\n")
    assert run("config", "check", "kto.yaml").returncode == 3


@pytest.mark.usefixtures("ears")
def test_an_observer_is_listed_found_blocked_and_missed_as_a_plugin_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARD", "/dev/null")
    assert [(one.name, one.owner) for one in discover() if one.kind == OBSERVER] == [
        ("ears", "acme-ears 1.0"),
        ("more-ears", "acme-more-ears 1.0"),
    ]
    registry = Registry()
    with pytest.raises(PluginNotFoundError, match="no observer is called 'eras'; did you mean 'ears'"):
        registry.observe("eras")
    registry.load_all()
    assert {one.state for one in registry.statuses() if one.kind == OBSERVER} == {"loaded"}
    monkeypatch.setenv("KTOFORMATS_PLUGINS", "more-ears")
    with pytest.raises(PluginLoadError, match=r"^observer 'ears' of acme-ears 1\.0 is blocked"):
        Registry().observe("ears")


def test_an_observer_that_is_named_twice_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="observers: 'ears' is named twice"):
        KTODataConfig(observers=["ears", "ears"])


def test_a_module_that_is_a_plugin_and_an_observer_hears_once(
    install: Install, tmp_path: Path, files: list[str], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    source = LISTENER + (
        "import numpy as np\n"
        "from ktoformats import Utility\n"
        "class Flat(Utility):\n"
        "    def utility(self, quality, good):\n"
        "        return np.where(good, 1.0, -1.0)\n"
        "@hookimpl\n"
        "def ktoformats_plugins():\n"
        "    return [Flat]\n"
    )
    install("acme", {OBSERVERS: {"both": "acme"}, "ktoformats.utilities": {"both": "acme"}}, {"acme": source})
    for values in ({"observers": ["both"]}, {"utility": "both"}, {"observers": ["both"], "utility": "both"}):
        registry = Registry()
        registry.observe("both")
        loader = KTODataLoader(config_of(tmp_path, files, **values), enable_cache=False, registry=registry)
        loader.load_dataset()
        told = heard()
        assert rejects(told) == EVERY_REJECT
        assert len(builds(told)) == 1


@pytest.mark.usefixtures("ears", "heard")
def test_the_laws_of_an_observer() -> None:
    verdicts = [(one.law, one.state) for one in check(Subject(OBSERVER, "ears"), quick=False)]
    assert verdicts == [("registered", "holds"), ("events", "holds")]


def test_the_laws_find_an_observer_that_does_not_bear_an_empty_field(install: Install) -> None:
    source = RAISING.format(hook="ktoformats_record_rejected", argument="field", error="KeyError(field)")
    install("acme-evil", {OBSERVERS: {"evil": "acme_evil"}}, {"acme_evil": source})
    [_, verdict] = check(Subject(OBSERVER, "evil"), quick=False)
    assert (verdict.law, verdict.state) == ("events", "broken")
    assert "must not end a run" in verdict.message
