"""A process that loads a data set as it is told, and dies, fails or errs where it is told.

`python child.py` waits for jobs on its standard input, a JSON object a line, and forks a process for each; so a job
does not wait for imports. `python child.py JOB` does one job in a process of its own. Nothing of this is known to
the product: what is to happen is patched over it here, before it is called.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from ktoformats import KTODataConfig, KTODataLoader, KtoFormatsError
from ktoformats.store.lock import only_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Job = dict[str, Any]

patching: Any = importlib.import_module("patching")  # beside this file, which is started as a script
PATCHES: Final = importlib.import_module("happenings").PATCHES
BUGS: Final = importlib.import_module("mistakes").BUGS
SMALL: Final = {"shard": 40_000, "block": 4096, "rows": 64, "worth": 64}
"""Sizes that make many blocks, batches and shards of a small file."""
_PROCESS: Final = Path("/proc/self/fd")


def main() -> None:
    """Do one job, or wait for jobs."""
    if len(sys.argv) > 1:
        work(json.loads(sys.argv[1]))
        return
    _import_all()
    running: dict[int, int | None] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "job" in asked:
            answer: Any = os.fork()
            if not answer:
                _be_born(asked["job"])
            running[answer] = None
        else:
            number = asked["of"]
            if running[number] is None:
                done, status = os.waitpid(number, os.WNOHANG)
                running[number] = os.waitstatus_to_exitcode(status) if done else None
            answer = running[number]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _import_all() -> None:
    """Have everything imported that a job needs, by doing one."""
    logging.disable()
    with TemporaryDirectory() as folder:
        path = Path(folder, "pairs.jsonl")
        path.write_text('{"prompt": "q", "chosen": "a", "rejected": "b"}\n' * 64)
        config = KTODataConfig(train_file=path, min_samples_per_label=0)
        KTODataLoader(config, cache_dir=Path(folder, "cache")).load_dataset()
    logging.disable(logging.NOTSET)


def _be_born(job: Job) -> None:
    """Be a process with a session and outputs of its own; does not return."""
    status = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        told = os.open(job["told"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target, source in ((0, nothing), (1, told), (2, told)):
            os.dup2(source, target)
        work(job)
        status = 0
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def work(job: Job) -> None:
    """Patch, load, and write down what came of it."""
    result = os.open(job["result"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.chdir(job.get("folder", "."))
    for folder in job.get("site", []):
        sys.path.insert(0, folder)
    importlib.invalidate_caches()
    small = SMALL | job.get("small", {})
    patching.put("ktoformats.store.shards:SHARD_BYTES", small["shard"])
    patching.put("ktoformats.store.shards:ROWS_PER_BATCH", small["rows"])
    patching.put("ktoformats.store.cache:WORTH_KEEPING", small["worth"])
    patching.wrap(
        "ktoformats.read.named:blocks", lambda blocks: functools.partial(blocks, block_bytes=small["block"])
    )
    told: dict[str, Any] = {"converted": 0, "opened": 0, "hashed": 0, "calls": []}
    _count(told, {os.path.realpath(path) for path in job.get("sources", [])})
    if job.get("bug"):
        BUGS[job["bug"]]()
    for name, *options in job.get("patches", []):
        PATCHES[name](job, told, *options)
    if "start" in job:
        patching.await_file(job["start"])
    doing = DOINGS[job.get("do", "load")]
    began = time.time()
    doing(job, told)
    told |= {"began": began, "ended": time.time()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    os.write(result, json.dumps(told).encode())


def _load(job: Job, told: dict[str, Any]) -> None:
    """Load, and tell the digests of what came, or the error."""
    try:
        loader = _loader(job)
        data = loader.load_dataset(job.get("split", "train"))
        samples = hashlib.sha256()
        for one in data:
            samples.update(repr(sorted(one.items())).encode())
        report = loader.report.to_json()
        report.pop("cached")
        told |= {
            "rows": len(data),
            "samples": samples.hexdigest(),
            "fingerprint": data.fingerprint,
            "labels": data["label"].count("good"),
            "report": hashlib.sha256(json.dumps(report, sort_keys=True, default=str).encode()).hexdigest(),
            "cached": loader.report.cached,
        }
    except BaseException as error:  # noqa: BLE001 - which error it is, is what is asked
        told["error"] = {
            "kind": type(error).__name__,
            "typed": isinstance(error, KtoFormatsError),
            "message": str(error),
            "path": str(getattr(error, "path", "")),
        }


def _loader(job: Job) -> KTODataLoader:
    values = {"min_samples_per_label": 0, "train_file": job.get("sources")} | job.get("options", {})
    config = KTODataConfig(**{name: value for name, value in values.items() if value is not None})
    if "yaml" in job:
        from ktoformats import KTOConfig

        config = KTOConfig.from_yaml(job["yaml"]).data
    kind = KTODataLoader
    if "loader" in job:
        module = importlib.import_module(job["loader"])
        kind = module.Loader
    return kind(config, cache_dir=job["cache"], **job.get("loader_options", {}))


def _load_often(job: Job, told: dict[str, Any]) -> None:
    """Load some sources again and again, each at least once, until a file says stop; tell all different outcomes."""
    stop = Path(job["stop"])
    outcomes: dict[str, set[str]] = {source: set() for source in job["each"]}
    told["loads"] = 0
    while not stop.exists() or not all(outcomes.values()):
        for source, known in outcomes.items():
            now: dict[str, Any] = {}
            _load(job | {"sources": [source]}, now)
            known.add(now.get("samples") or now["error"]["message"])
            told["loads"] += 1
    told["outcomes"] = {source: sorted(known) for source, known in outcomes.items()}


def _watch(job: Job, told: dict[str, Any]) -> None:
    """Look at everything that has a name in the cache, until a file says stop; tell what of it is not whole."""
    stop, root = Path(job["stop"]), Path(job["cache"])
    partial: set[str] = set()
    told["looks"] = 0
    while not stop.exists():
        partial.update(_not_whole(root))
        told["looks"] += 1
    told["partial"] = sorted(partial)


def _not_whole(root: Path) -> Iterator[str]:
    """The entries that are not what their manifest says. Written anew: the product is not asked about itself."""
    for path in (*root.glob("shards/*"), *root.glob("views/*")):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        opened = _PROCESS / str(handle)  # the folder that had the name, also when another has it by now
        try:
            body, digest = (opened / "manifest.json").read_bytes().split(b"\n")[:2]
            files = json.loads(body)["files"]
            sound = hashlib.sha256(body).hexdigest().encode() == digest
            sound &= {one.name for one in opened.iterdir()} == {*files, "manifest.json"}
            for name, facts in files.items():
                sound &= hashlib.sha256((opened / name).read_bytes()).hexdigest() == facts["sha256"]
            if not sound:
                yield f"{path.parent.name}/{path.name}: other than its manifest"
        except (OSError, ValueError, KeyError) as error:
            yield f"{path.parent.name}/{path.name}: {error!r}"
        finally:
            os.close(handle)


def _take_turns(job: Job, told: dict[str, Any]) -> None:
    """Take a lock many times; tell how often somebody else was inside."""
    path, inside = Path(job["lock"]), Path(job["lock"] + ".inside")
    told["met"] = 0
    for _ in range(job["turns"]):
        with only_one(path) as alone:
            told["alone"] = alone
            try:
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                told["met"] += 1
                continue
            time.sleep(0.0005)
            inside.unlink(missing_ok=True)


DOINGS: Final[dict[str, Callable[[Job, dict[str, Any]], None]]] = {
    "load": _load,
    "load often": _load_often,
    "watch": _watch,
    "take turns": _take_turns,
}


def _count(told: dict[str, Any], sources: set[str]) -> None:
    """Count converted blocks, opened sources and hashed entry files."""

    def counted(inner: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            told[name] += 1
            return inner(*args)

        return call

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            told["opened"] += os.path.realpath(os.fsdecode(arguments[0])) in sources

    patching.wrap("ktoformats.convert.pipeline:Pipeline.convert", lambda inner: counted(inner, "converted"))
    patching.wrap("ktoformats.store.vault:_sha256", lambda inner: counted(inner, "hashed"))
    sys.addaudithook(heard)


if __name__ == "__main__":
    main()
