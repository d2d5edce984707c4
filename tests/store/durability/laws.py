"""What must hold of the cache, whatever happens. Each law is a function of a house; it fails where it is broken.

Tests call the laws on the product as it is, and, to show that a law can fail, on a product with a seeded bug.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Result = dict[str, Any]

CHILD: Final = Path(__file__).parent / "child.py"
DEADLOCK_S: Final = 60.0
"""Nothing here takes as long, unless it waits for ever."""
WORDS: Final = ("كتاب", "قلم", "نعم", "لا", "one", "two", "three", "four", "\u200cنص", "emoji 🌙")


class Nursery:
    """A process that has imported the product, and forks one for each job.

    Args:
        environment: What is set in it besides.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KTOFORMATS_")}
        self.environment = clean | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | (environment or {})
        self._process = subprocess.Popen(
            [sys.executable, CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(10)

    def ask(self, question: dict[str, Any]) -> Any:
        """Its answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Running:
    """A process with a job."""

    def __init__(self, nursery: Nursery, job: dict[str, Any]) -> None:
        self._nursery = nursery
        self._job = job
        self.pid: int = nursery.ask({"job": job})
        self._status: int | None = None

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        if self._status is None:
            self._status = self._nursery.ask({"of": self.pid})
        return self._status

    def wait(self, seconds: float = DEADLOCK_S) -> int:
        """Wait for its end."""
        until = time.monotonic() + seconds
        while (status := self.status) is None:
            if time.monotonic() > until:
                self.kill()
                raise AssertionError(f"the process did nothing more for {seconds:g} s; it said: {self.told}")
            time.sleep(0.002)
        return status

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
        self.wait(10)

    @property
    def told(self) -> str:
        """What it wrote."""
        path = Path(self._job["told"])
        return path.read_text() if path.exists() else ""

    def result(self, seconds: float = DEADLOCK_S) -> Result:
        """What came of it; a process that died of a signal, or said that it ignored an error, fails."""
        status = self.wait(seconds)
        assert status == 0, f"exit status {status}: {self.told}"
        assert "Exception ignored" not in self.told, self.told
        found: Result = json.loads(Path(self._job["result"]).read_text())
        return found


class House:
    """A folder with sources and a cache, and processes that load them.

    Args:
        nursery: Gives the processes.
        folder: Where.
        bug: A seeded bug in all of them.
    """

    def __init__(self, nursery: Nursery, folder: Path, *, bug: str | None = None) -> None:
        self.nursery = nursery
        self.folder = folder
        self.bug = bug
        self.cache = folder / "cache"
        self.patience = 20.0 if bug is None else 3.0
        """Seconds that a load of a small file may take."""
        self._jobs = 0
        folder.mkdir(parents=True, exist_ok=True)

    # what is in it

    def source(self, name: str = "pairs.jsonl", *, records: int = 360, seed: int = 0) -> Path:
        """A file of pairs, Arabic and other; some lines are broken."""
        chance = random.Random(seed)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as stream:
            for number in range(records):
                words = " ".join(chance.choices(WORDS, k=4))
                pair = {
                    "prompt": f"q{number} {words}",
                    "chosen": f"good {number:06} {words}",
                    "rejected": f"bad {number:06}",
                }
                broken = number % 29 == 28
                stream.write('{"prompt": \n' if broken else json.dumps(pair, ensure_ascii=False) + "\n")
        return path

    def files(self) -> list[Path]:
        """All files of all entries."""
        return sorted(path for kind in ("shards", "views") for path in self.cache.glob(f"{kind}/*/*"))

    def shards(self) -> list[Path]:
        """The folders of shards."""
        return sorted(self.cache.glob("shards/*"))

    def damaged(self) -> list[str]:
        """The names of what was moved aside."""
        return sorted(path.name for path in self.cache.glob("damaged/*/*"))

    def left_over(self) -> list[str]:
        """What is in the folder of builds, and temporary files of notes."""
        notes = [path for kind in ("checked", "digests") for path in self.cache.glob(f"{kind}/.*")]
        return sorted(str(path.relative_to(self.cache)) for path in (*self.cache.rglob("building/*"), *notes))

    def blocks_kept(self) -> int:
        """Blocks that stand in published shards."""
        facts = [json.loads((path / "manifest.json").read_bytes().split(b"\n")[0])["facts"] for path in self.shards()]
        return sum(end - start for start, end in (one["blocks"] for one in facts))

    def digest(self) -> str:
        """The SHA-256 over the names and bytes of all shards."""
        found = hashlib.sha256()
        for path in sorted(self.cache.glob("shards/*/*")):
            found.update(f"{path.relative_to(self.cache)}\0".encode() + path.read_bytes())
        return found.hexdigest()

    # who works in it

    def start(self, nursery: Nursery | None = None, **job: Any) -> Running:
        """Start a process."""
        self._jobs += 1
        if "sources" in job:
            job["sources"] = [str(path) for path in job["sources"]]
        own = {
            "cache": str(self.cache),
            "result": str(self.folder / f".result{self._jobs}"),
            "told": str(self.folder / f".told{self._jobs}"),
            "bug": self.bug,
        }
        options = {"on_error": "skip"} | job.pop("options", {})
        return Running(nursery or self.nursery, own | {"options": options} | job)

    def run(self, **job: Any) -> Result:
        """Have a process do something, and return what came of it."""
        return self.start(**job).result()

    def load(self, **job: Any) -> Result:
        """Load in a process of its own; an error fails."""
        result = self.run(**job)
        assert "error" not in result, result["error"]
        return result

    def fresh(self, **job: Any) -> Result:
        """What a product without bugs gives without a cache to begin with."""
        other = House(self.nursery, self.folder / "fresh")
        shutil.rmtree(other.cache, ignore_errors=True)
        return other.load(**job)

    def await_file(self, name: str, seconds: float = DEADLOCK_S) -> None:
        """Wait until a process has touched a file."""
        until = time.monotonic() + seconds
        while not (self.folder / name).exists():
            assert time.monotonic() < until, f"{name} was never reached"
            time.sleep(0.002)

    def not_whole(self) -> list[str]:
        """Entries that are other than their manifests say."""
        return _not_whole(self.cache)


def _not_whole(root: Path) -> list[str]:
    """As the product's own manifest says, read by hand."""
    found = []
    for path in (*root.glob("shards/*"), *root.glob("views/*")):
        try:
            body, digest = (path / "manifest.json").read_bytes().split(b"\n")[:2]
            files = json.loads(body)["files"]
            sound = hashlib.sha256(body).hexdigest().encode() == digest
            sound &= {one.name for one in path.iterdir()} == {*files, "manifest.json"}
            for name, facts in files.items():
                sound &= hashlib.sha256((path / name).read_bytes()).hexdigest() == facts["sha256"]
        except (OSError, ValueError, KeyError):
            sound = False
        if not sound:
            found.append(f"{path.parent.name}/{path.name}")
    return found


def gives_the_same(one: Result, other: Result, place: object = "") -> None:
    """Two loads give the same samples in the same order, and tell the same."""
    for name in ("rows", "samples", "fingerprint", "report"):
        assert one[name] == other[name], f"other {name}: {one[name]} instead of {other[name]} {place}"


def nothing_is_over(house: House, place: object = "") -> None:
    """Nothing unfinished is left in the cache."""
    assert house.left_over() == [], f"left over {place}: {house.left_over()}"


def all_is_whole(house: House, place: object = "") -> None:
    """What has a name is as its manifest says."""
    assert house.not_whole() == [], f"not whole {place}: {house.not_whole()}"


def nothing_is_built(result: Result, place: object = "") -> None:
    """A load took everything from the cache."""
    converted, cached = result["converted"], result["cached"]
    assert (converted, cached) == (0, True), f"{converted} blocks were converted, cached is {cached} {place}"


# --- 6: killed at any moment -----------------------------------------------------------------------------------

POINTS: Final[dict[str, list[Any]]] = {
    "before the lock": ["die before", "ktoformats.store.vault:only_one", 1],
    "holding the lock": ["die holding the lock"],
    "a folder to build in is made": ["die after", "ktoformats.store.vault:tempfile.mkdtemp", 1],
    "the first batch is to be written": ["die before", "ktoformats.store.sink:Sink._flush", 1],
    "the first batch is written": ["die after", "ktoformats.store.sink:Sink._flush", 1],
    "a batch of the third shard is written": ["die after", "ktoformats.store.sink:Sink._flush", 9],
    "the data files are to be closed": ["die before", "ktoformats.store.sink:_Files.close", 1],
    "the data files are closed": ["die after", "ktoformats.store.sink:_Files.close", 1],
    "the rejects are closed": ["die after", "ktoformats.store.shards:_Shard.finish", 1],
    "the source is to be checked": ["die before", "ktoformats.read.named:Source.check", 1],
    "the source is checked": ["die after", "ktoformats.read.named:Source.check", 1],
    **{f"fsync {nth} is to be done": ["die before", "os:fsync", nth] for nth in range(1, 7)},
    "the last fsync of a shard is done": ["die after", "os:fsync", 6],
    "half of the manifest is written": ["die in the manifest"],
    "the manifest is written": ["die after", "pathlib:Path.write_bytes", 1],
    "the folder is to be renamed": ["die before", "ktoformats.store.vault:_moved", 1],
    "the folder is renamed": ["die after", "ktoformats.store.vault:_moved", 1],
    "a note is being written": ["die before", "pathlib:Path.replace", 1],
    "the stamp is written": ["die after", "ktoformats.store.vault:Vault._stamp", 1],
    "the second shard is to be published": ["die before", "ktoformats.store.vault:Vault.publish", 2],
    "the second shard is published": ["die after", "ktoformats.store.vault:Vault.publish", 2],
    "the fourth shard is to be renamed": ["die before", "ktoformats.store.vault:_moved", 4],
    "before the sweep": ["die before", "ktoformats.store.vault:Vault.sweep", 1],
    "after the sweep": ["die after", "ktoformats.store.vault:Vault.sweep", 1],
    "the first array is written": ["die after", "numpy:save", 1],
    "the view's first array is written": ["die after", "ktoformats.store.cache:_write_chosen", 1],
    "the view's last array is written": ["die after", "numpy:save", 3],
    "the view is saved": ["die after", "ktoformats.store.cache:Kept.save_view", 1],
}
FEW_POINTS: Final = (
    "the first batch is written",
    "fsync 4 is to be done",
    "half of the manifest is written",
    "the folder is renamed",
    "the second shard is published",
    "the view's first array is written",
    "a note is being written",
)


def a_kill_costs_only_what_was_not_done(house: House, kill: Callable[..., Running], **job: Any) -> Result:
    """After a kill nothing partial has a name; a load is right, reuses what was done, and leaves nothing over."""
    reference = house.fresh(**job)
    kill(house, **job)
    all_is_whole(house)
    kept = house.blocks_kept()
    after = house.load(**job)
    gives_the_same(after, reference)
    assert after["converted"] == reference["converted"] - kept, "finished shards are reused, and nothing else is"
    nothing_is_over(house)
    again = house.load(**job)
    gives_the_same(again, reference)
    nothing_is_built(again)
    return {"kept": kept, "of": reference["converted"]}


def killed_at(point: str) -> Callable[..., Running]:
    """Have a build die at a named point."""

    def kill(house: House, **job: Any) -> Running:
        running = house.start(patches=[POINTS[point]], **job)
        assert running.wait() == -signal.SIGKILL, f"{point}: was never reached; {running.told}"
        return running

    return kill


def killed_after(seconds: float) -> Callable[..., Running]:
    """Have a build die after some time."""

    def kill(house: House, **job: Any) -> Running:
        running = house.start(**job)
        time.sleep(seconds)
        running.kill()
        return running

    return kill


def no_child_outlives_its_build(house: House, *, seconds: float = 5.0) -> None:
    """The children of a killed build end with it; what it leaves is built by the next."""
    source = house.source()
    job: dict[str, Any] = {"sources": [source], "options": {"preprocessing_num_workers": 2}}
    reference = house.fresh(sources=[source])
    running = house.start(patches=[POINTS["the second shard is to be published"]], **job)
    assert running.wait() == -signal.SIGKILL
    until = time.monotonic() + seconds
    while left := _of_session(running.pid):
        assert time.monotonic() < until, f"{left} outlived their parent"
        time.sleep(0.02)
    gives_the_same(house.load(**job), reference)
    nothing_is_over(house)


def _of_session(session: int) -> list[str]:
    """The processes of a session, but for the dead."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        state, _parent, _group, own = rest.split()[:4]
        if int(own) == session and state not in "ZX":
            found.append(name)
    return found


def nobody_sees_a_part(house: House, delays: Sequence[float]) -> Result:
    """While builds run, and are killed, whoever looks finds whole entries, and whoever loads gets all samples."""
    sources = [house.source(f"pairs{number}.jsonl", seed=number) for number in range(len(delays))]
    references = [house.fresh(sources=[source])["samples"] for source in sources]
    stop = house.folder / "stop"
    watcher = house.start(do="watch", stop=str(stop))
    reader = house.start(do="load often", stop=str(stop), each=[str(source) for source in sources])
    for source, delay in zip(sources, delays, strict=True):
        running = house.start(sources=[source])
        time.sleep(delay)
        running.kill()
    stop.touch()
    seen, read = watcher.result(), reader.result()
    assert seen["partial"] == [], f"somebody saw parts: {seen['partial']}"
    expected = {str(source): [told] for source, told in zip(sources, references, strict=True)}
    assert read["outcomes"] == expected, f"somebody read other samples: {read['outcomes']}"
    return {"looks": seen["looks"], "loads": read["loads"]}


# --- 11: what the cache is known by ------------------------------------------------------------------------------


def what_differs_is_built_again(house: House, case: Callable[[House], Iterator[dict[str, Any]]]) -> None:
    """A case gives two jobs: the second is built as if there were no cache."""
    jobs = case(house)
    first = house.load(**next(jobs))
    changed = next(jobs)
    second = house.load(**changed)
    fresh = house.fresh(**changed)
    assert not first["cached"], "the first load was not the first"
    assert second["converted"] == fresh["converted"] > 0, "it was not built, or only in part"
    gives_the_same(second, fresh)


def what_is_the_same_is_not_built_again(house: House, case: Callable[[House], Iterator[dict[str, Any]]]) -> None:
    """A case gives two jobs: for the second nothing is converted, and it gives what it would without a cache."""
    jobs = case(house)
    first = house.load(**next(jobs))
    changed = next(jobs)
    second = house.load(**changed)
    fresh = house.fresh(**changed)
    assert not first["cached"], "the first load was not the first"
    nothing_is_built(second)
    assert [second[name] for name in ("rows", "samples", "fingerprint")] == [
        fresh[name] for name in ("rows", "samples", "fingerprint")
    ]


def an_old_source_is_not_opened_again(house: House, options: Sequence[dict[str, Any]]) -> None:
    """A source that nobody touched for some seconds is opened by the first load alone, whatever is chosen later."""
    job: dict[str, Any] = {"sources": [house.source()]}
    time.sleep(2.2)
    assert house.load(**job)["opened"] > 0, "the first load did not open its source"
    for own in options:
        later = house.load(**job | {"options": own})
        nothing_is_built(later, own)
        assert later["opened"] == 0, f"the source was opened again for {own}"


def a_moment_is_enough_to_change_a_file(house: House) -> None:
    """Where clocks are coarse an edit right after a load changes no time; it is seen all the same."""
    source = house.source()
    job: dict[str, Any] = {"sources": [source], "patches": [["coarse clock"]]}
    house.load(**job)
    edit_in_place(source)
    gives_the_same(house.load(**job), house.fresh(sources=[source]))


def edit_in_place(path: Path) -> None:
    """Change one byte; size and time of the last change stay, as some tools leave them."""
    info = path.stat()
    data = path.read_bytes()
    at = data.index(b"good 000007") + 5
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"9")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (info.st_size, info.st_mtime_ns)


def what_is_published_is_what_was_digested(house: House, target: str) -> None:
    """A source that is written to in the middle of a build is not kept under its old digest."""
    source = house.source()
    patch = ["edit before", target, 1, str(source)]
    result = house.run(sources=[source], patches=[patch])
    assert result["error"]["kind"] == "SourceError"
    assert str(source) in result["error"]["message"]
    assert house.shards() == [], "bytes were published under the digest of others"
    nothing_is_over(house)
    job: dict[str, Any] = {"sources": [source]}
    gives_the_same(house.load(**job), house.fresh(**job))


# --- 9: bits that change --------------------------------------------------------------------------------------------


class Flip(NamedTuple):
    """One byte of one file becomes another."""

    file: str
    """Below the cache."""
    at: int
    by: int
    keep_time: bool = False

    def apply(self, root: Path) -> None:
        """Do it."""
        path = root / self.file
        info = path.stat()
        path.chmod(0o600)
        with path.open("r+b") as stream:
            stream.seek(self.at)
            [old] = stream.read(1)
            stream.seek(self.at)
            stream.write(bytes([old ^ self.by]))
        path.chmod(info.st_mode & 0o777)
        if self.keep_time:
            os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def random_flip(house: House, chance: random.Random, files: Sequence[Path] | None = None) -> Flip:
    """Any byte of any file of any entry: each file is as likely as another."""
    path = chance.choice(list(files) if files is not None else house.files())
    at = chance.randrange(path.stat().st_size)
    return Flip(str(path.relative_to(house.cache)), at, chance.randrange(1, 256), chance.random() < 0.5)


def a_changed_byte_is_seen(house: House, flip: Flip, verify: str, reference: Result, **job: Any) -> None:
    """The entry is moved aside before the first row, and built again; nothing looks at it again."""
    entry = Path(flip.file).parent
    before = house.damaged()
    flip.apply(house.cache)
    _have_it_looked_at(house, entry)
    options = {"cache_verify": verify}
    result = house.start(loader_options=options, **job).result(house.patience)
    assert "error" not in result, (flip, result["error"])
    gives_the_same(result, reference, place=flip)
    assert sorted([*before, entry.name]) == house.damaged(), f"{flip} was not noticed"
    if entry.parent.name == "shards":
        assert result["converted"] > 0, f"{flip}: nothing was built again"
    aside = _times_read(house)
    again = house.start(loader_options=options, **job).result(house.patience)
    gives_the_same(again, reference, place=flip)
    nothing_is_built(again, flip)
    assert len(house.damaged()) == len(before) + 1, f"{flip}: something sound was moved aside"
    assert _times_read(house) == aside, "what is damaged is left alone"


def _have_it_looked_at(house: House, entry: Path) -> None:
    """What says which answers repeat is opened only where a view has to be made: then let there be no view."""
    if entry.parent.name == "views" and (house.cache / entry / "again.npy").exists():
        for path in house.cache.glob("views/*"):
            if path.name != entry.name:
                shutil.rmtree(path)


def _times_read(house: House) -> list[tuple[str, int, int]]:
    """What tells that something was written to, or moved, among what is damaged."""
    found = sorted(house.cache.glob("damaged/*/*/*"))
    return [(str(path), path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in found]


def every_file_of_an_entry_is_watched(house: House, verify: str = "first") -> int:
    """One changed byte in the middle of each file of the first shard and of each view, one after the other."""
    job: dict[str, Any] = {"sources": [house.source()]}
    reference = house.load(**job)
    names = [str(path.relative_to(house.cache)) for path in house.files()]
    first = house.shards()[0].name
    names = [name for name in names if name.startswith("views/") or f"/{first}/" in name]
    for name in names:
        data = (house.cache / name).read_bytes()
        places = [len(data) // 2]
        if name.endswith("manifest.json"):
            places.append(data.index(b'"rows":') + len(b'"rows":'))
        for place in places:
            a_changed_byte_is_seen(house, Flip(name, place, 1, keep_time=True), verify, reference, **job)
    return len(names)


def a_lost_shard_is_built_by_itself(house: House, again: dict[str, Any] | None = None) -> None:
    """A shard in the middle that is gone, or the last, is built again as it was; the others are not.

    Args:
        house: The house.
        again: Options for the second time.
    """
    job: dict[str, Any] = {"sources": [house.source()]}
    reference = house.load(**job)
    digest = house.digest()
    for place in (0, 1, -1):
        whole = house.blocks_kept()
        shutil.rmtree(house.shards()[place])
        missing = whole - house.blocks_kept()
        after = house.load(**job | {"options": again or {}})
        gives_the_same(after, reference)
        if not again:
            assert after["converted"] == missing, f"{after['converted']} blocks were converted, {missing} were lost"
        assert house.digest() == digest, "the shards are other than they were"


def never_is_blind_but_for_lengths(house: House) -> None:
    """Without digests nothing is hashed, and a changed text passes; a cut file and a changed manifest do not."""
    job: dict[str, Any] = {"sources": [house.source()], "loader_options": {"cache_verify": "never"}}
    reference = house.load(**job)
    opened = house.load(**job)
    nothing_is_built(opened)
    assert opened["hashed"] == 0, "something was hashed"
    samples = house.shards()[0] / "samples.arrow"
    at = samples.read_bytes().index(b"good 000007") + 5
    flip = Flip(str(samples.relative_to(house.cache)), at, 1)
    flip.apply(house.cache)
    blind = house.load(**job)
    nothing_is_built(blind)
    assert (blind["hashed"], house.damaged()) == (0, []), "something was hashed"
    assert blind["samples"] != reference["samples"], "the changed text was noticed, or never read"
    flip.apply(house.cache)
    for path in (samples, house.shards()[1] / "manifest.json"):
        path.chmod(0o600)
        if path.name == "samples.arrow":
            os.truncate(path, path.stat().st_size - 1)
        else:
            Flip(str(path.relative_to(house.cache)), path.stat().st_size // 2, 1).apply(house.cache)
        count = len(house.damaged())
        after = house.run(**job)
        assert "error" not in after, f"a length was not compared: {after['error']}"
        gives_the_same(after, reference)
        assert after["converted"] > 0, "nothing was built again"
        assert len(house.damaged()) == count + 1, "a length, or a manifest, was not looked at"


def a_damaged_note_costs_only_time(house: House, chance: random.Random, flips: int) -> None:
    """Whatever is written in `checked` and `digests`, the samples are right and nothing is built or moved."""
    job: dict[str, Any] = {"sources": [house.source()]}
    time.sleep(2.2)  # younger sources have no note
    reference = house.load(**job)
    notes = sorted(path for kind in ("checked", "digests") for path in house.cache.glob(f"{kind}/*"))
    assert {path.parent.name for path in notes} == {"checked", "digests"}
    for _ in range(flips):
        random_flip(house, chance, notes).apply(house.cache)
        after = house.load(**job)
        gives_the_same(after, reference)
        nothing_is_built(after)
        assert house.damaged() == [], "a damaged note condemned an entry"
    for path in notes:
        path.write_bytes(notes[0].read_bytes())  # a sound note, of something else
    after = house.load(**job)
    gives_the_same(after, reference)
    nothing_is_built(after)
    assert house.damaged() == [], "a damaged note condemned an entry"


def a_note_is_of_its_own_file(house: House) -> None:
    """The note of one source, laid in the place of another's, is not believed."""
    one, two = house.source("one.jsonl", seed=1), house.source("two.jsonl", seed=2)
    time.sleep(2.2)
    house.load(sources=[one])
    before = set(house.cache.glob("digests/*"))
    reference = house.load(sources=[two])
    [own] = set(house.cache.glob("digests/*")) - before
    for path in before:
        own.write_bytes(path.read_bytes())
        gives_the_same(house.load(sources=[two]), reference)


# --- 10: many at once --------------------------------------------------------------------------------------------


def many_build_once(
    house: House, count: int, nurseries: Sequence[Nursery], patches: Sequence[Any] = (), *, once: bool = True
) -> Result:
    """Of many that begin at one moment one converts, and all get the same; nothing is left over."""
    shutil.rmtree(house.cache, ignore_errors=True)
    source = house.source(("long-" * 20 + "/") * 3 + "pairs.jsonl")
    assert len(str(source)) > 255
    reference = house.fresh(sources=[source])
    start = house.folder / "start"
    start.unlink(missing_ok=True)
    slowly = [*patches, ["slow"]]  # so that all are there while one builds
    running = [
        house.start(nurseries[number % len(nurseries)], sources=[source], start=str(start), patches=slowly)
        for number in range(count)
    ]
    time.sleep(0.1 + 0.01 * count)
    began = time.monotonic()
    start.touch()
    results = [one.result(DEADLOCK_S) for one in running]
    errors = [result["error"] for result in results if "error" in result]
    assert errors == [], f"{len(errors)} of {count} failed: {errors[:1]}"
    for result in results:
        gives_the_same(result, reference)
    converted = sum(result["converted"] for result in results)
    if once:
        assert converted == reference["converted"], f"{converted} blocks were converted, not {reference['converted']}"
    assert converted >= reference["converted"], "nobody built"
    all_is_whole(house)
    nothing_is_over(house)
    assert house.damaged() == [], "something was taken for damaged"
    return {"seconds": time.monotonic() - began, "digest": house.digest(), "converted": converted}


def another_takes_over(house: House, *, seconds: float = 5.0) -> float:
    """Who waits for a builder that is killed builds in its place, and soon."""
    job: dict[str, Any] = {"sources": [house.source()]}
    reference = house.fresh(**job)
    point = ["stall before", "ktoformats.store.vault:Vault.publish", 2]
    first = house.start(patches=[point], reached=str(house.folder / "reached"), go=str(house.folder / "never"), **job)
    house.await_file("reached")
    second = house.start(**job)
    time.sleep(0.3)
    assert second.status is None, f"the second did not wait for the first: {second.told}"
    first.kill()
    killed = time.time()
    result = second.result()
    gives_the_same(result, reference)
    assert result["ended"] - killed <= seconds, f"it took {result['ended'] - killed:.1f} s to take over"
    nothing_is_over(house)
    return float(result["ended"] - killed)


def who_builds_is_left_alone(house: House, target: str, nth: int) -> None:
    """What one process is building no other sweeps away, whatever it is building."""
    job: dict[str, Any] = {"sources": [house.source()]}
    reference = house.fresh(**job)
    first = house.start(
        patches=[["stall before", target, nth]],
        reached=str(house.folder / "reached"),
        go=str(house.folder / "go"),
        **job,
    )
    house.await_file("reached")
    other = house.source("other.jsonl", seed=5)
    house.load(sources=[other])
    (house.folder / "go").touch()
    result = first.result()
    assert "error" not in result, f"its work was taken away: {result['error']}"
    gives_the_same(result, reference)


def one_is_inside(house: House, count: int, turns: int) -> None:
    """A lock is held by one at a time, also while others come and go."""
    job: dict[str, Any] = {"do": "take turns", "lock": str(house.folder / "some.lock"), "turns": turns}
    start = house.folder / "start"
    running = [house.start(start=str(start), **job) for _ in range(count)]
    start.touch()
    results = [one.result() for one in running]
    assert all(result["alone"] for result in results), "somebody had no lock"
    met = sum(result["met"] for result in results)
    assert met == 0, f"two were inside at once, {met} times"
    assert not (house.folder / "some.lock").exists(), "the file of the lock is left"


# --- 7: what cannot be written -----------------------------------------------------------------------------------

HARMLESS: Final = re.compile(r"(checked|digests)/.+")
"""Notes: who cannot write one does without."""


def calls_of(house: House, **job: Any) -> list[tuple[str, str]]:
    """What a build asks of the system, in order."""
    other = House(house.nursery, house.folder / "recorded", bug=house.bug)
    shutil.rmtree(other.cache, ignore_errors=True)
    return [(what, path) for what, path in other.load(patches=[["record calls"]], **job)["calls"]]


def with_an_old_entry(house: House) -> tuple[dict[str, Any], Result]:
    """Empty the cache but for one older entry; returns its job, and what it gives."""
    shutil.rmtree(house.cache, ignore_errors=True)
    source = house.folder / "old.jsonl"
    if not source.exists():
        house.source("old.jsonl", records=40, seed=9)
    old: dict[str, Any] = {"sources": [source]}
    return old, house.load(**old)


def calls_worth_refusing(house: House, **job: Any) -> list[int]:
    """A call of every kind, by number."""
    with_an_old_entry(house)
    kinds: dict[tuple[str, str, str], int] = {}
    for number, (what, path) in enumerate(house.load(patches=[["record calls"]], **job)["calls"]):
        ending = Path(path).suffix if Path(path).suffix in (".arrow", ".jsonl", ".npy", ".json") else ""
        kinds.setdefault((what, Path(path).parts[0], ending), number)
    return sorted(kinds.values())


def a_refused_call_is_told(house: House, nth: int, code: str, reference: Result, **job: Any) -> str | None:
    """The n-th call of a build fails: our error names the cache, what was there stays, and the next try is right.

    A call that only writes a note may fail unheard.

    Returns:
        `told`, or `harmless`; None if there is no such call.
    """
    old, before = with_an_old_entry(house)
    result = house.run(patches=[["fail call", nth, code]], **job)
    if nth >= len(result["calls"]):
        gives_the_same(result, reference)
        return None
    failed = result["calls"][nth]
    place = f"call {nth} ({code}): {failed}"
    harmless = HARMLESS.fullmatch(failed[1])
    if harmless:
        assert "error" not in result, f"a note was needed: {place}: {result['error']}"
        gives_the_same(result, reference, place=place)
    else:
        assert "error" in result, f"{place} failed, and nobody said so"
        error = result["error"]
        assert error["kind"] in ("SourceError", "KTODataError"), f"no error of ours: {place}: {error}"
        assert str(house.cache) in error["message"], (place, error)
    all_is_whole(house, place)
    kept = house.load(**old)
    gives_the_same(kept, before, place=place)
    nothing_is_built(kept, place)
    gives_the_same(house.load(**job), reference, place=place)
    nothing_is_over(house, place)
    return "harmless" if harmless else "told"


def a_file_that_may_not_grow_is_told(house: House, size: int, reference: Result, **job: Any) -> bool:
    """No file grows beyond a size: our error names the cache, or all fits; the next try is right."""
    shutil.rmtree(house.cache, ignore_errors=True)
    result = house.run(patches=[["limit files", size]], **job)
    if "error" in result:
        assert result["error"]["kind"] in ("SourceError", "KTODataError"), result["error"]
        assert str(house.cache) in result["error"]["message"], result["error"]
    else:
        gives_the_same(result, reference)
    all_is_whole(house)
    gives_the_same(house.load(**job), reference)
    nothing_is_over(house)
    return "error" in result


# --- 8: the power goes ---------------------------------------------------------------------------------------------


def files_are_on_disk_before_their_names(house: House, **job: Any) -> int:
    """For every entry: its files, then its folder, then its name, then the folder of names.

    Returns:
        How many entries were looked at.
    """
    calls = calls_of(house, **job)
    renames = [
        (number, path)
        for number, (what, path) in enumerate(calls)
        if what == "rename" and path[:5] in ("shard", "views")
    ]
    assert renames, "nothing was renamed"
    begin = 0
    for number, place in renames:
        folder = Path(place).name
        own = [(at, what, path) for at, (what, path) in enumerate(calls[:number]) if at >= begin and folder in path]
        written = {path for _, what, path in own if what in ("write", "open") and "/" in path}
        written = {path for path in written if not path.startswith(("checked", "digests"))}
        assert any(path.endswith("manifest.json") for path in written), f"{place} has no manifest"
        for path in written:
            last = max(at for at, what, one in own if one == path and what in ("write", "open", "close"))
            synced = [at for at, what, one in own if one == path and what == "fsync"]
            assert synced, f"{path} is not on disk when its folder gets its name"
            assert max(synced) > last, f"{path} is written after it was on disk"
        building = str(Path(next(iter(written))).parent)
        names = [at for at, what, one in own if one == building and what == "fsync"]
        assert names, f"the names in {building} are not on disk"
        opened = max(at for at, what, one in own if what == "open" and one in written)
        assert max(names) > opened, f"a file was made in {building} after its names were on disk"
        after = [(what, path) for what, path in calls[number + 1 :]]
        parent = str(Path(place).parent)
        assert ("fsync", parent) in after, f"the name of {place} is not on disk"
        stamped = [at for at, (what, path) in enumerate(after) if what == "replace" and folder in path]
        if stamped:
            assert after.index(("fsync", parent)) < stamped[0], "the stamp comes after the name is on disk"
        begin = number
    return len(renames)


def a_cut_is_seen(house: House, file: str, data: bytes, verify: str, reference: Result, **job: Any) -> None:
    """A file of an entry ends early, or holds zeros where the disk had nothing yet: it is built again."""
    path = house.cache / file
    entry = path.parent
    before = len(house.damaged())
    _have_it_looked_at(house, entry.relative_to(house.cache))
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o444)
    result = house.start(loader_options={"cache_verify": verify}, **job).result(house.patience)
    place = f"{file} of {len(data)} bytes"
    assert "error" not in result, (place, result["error"])
    gives_the_same(result, reference, place=place)
    assert len(house.damaged()) == before + 1, f"{place}: nothing was noticed"
    assert entry.name in house.damaged(), f"{place}: something else was moved aside"
    all_is_whole(house, place)


def cuts_of(data: bytes, chance: random.Random, count: int) -> Iterator[bytes]:
    """Ends: between Arrow's messages, at chance, and tails of zeros; none is the file as it was."""
    bounds = [found.start() for found in re.finditer(rb"\xff\xff\xff\xff", data)] if data[:6] == b"ARROW1" else []
    bounds += [found.end() for found in re.finditer(rb"\n", data)] if data[:6] != b"ARROW1" else []
    places = {*bounds[:count], *(chance.randrange(len(data)) for _ in range(count)), 0, len(data) - 1}
    for place in sorted(places):
        if place < len(data):
            yield data[:place]
            zeroed = data[:place] + bytes(len(data) - place)
            if zeroed != data:
                yield zeroed


# --- 20: the same bytes ---------------------------------------------------------------------------------------------


def bytes_of_a_build(house: House, nursery: Nursery, *, workers: int = 1, reverse: bool = False) -> str:
    """The digest of all shards that a build leaves, from two sources."""
    shutil.rmtree(house.cache, ignore_errors=True)
    sources = [house.folder / "a.jsonl", house.folder / "b.jsonl"]
    for seed, source in enumerate(sources):
        if not source.exists():
            house.source(source.name, records=200, seed=seed)
    patches = [["any order"]] if reverse else []
    options = {"preprocessing_num_workers": workers, "keep": ["prompt"]}
    result = house.load(nursery=nursery, sources=sources, options=options, patches=patches)
    assert not result["cached"]
    assert len(house.shards()) > 4
    return house.digest()


def builds_leave_the_same_bytes(house: House, nurseries: Sequence[Nursery], workers: Sequence[int]) -> int:
    """Whatever the process, its environment, and who converts. Returns how many were compared."""
    found = [
        bytes_of_a_build(house, nursery, workers=count, reverse=reverse)
        for nursery in nurseries
        for count in workers
        for reverse in (False, True)
    ]
    assert len(set(found)) == 1, f"{len(set(found))} different digests"
    return len(found)
