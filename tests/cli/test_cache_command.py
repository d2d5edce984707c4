"""`ktoformats cache`: what it lists, checks and removes, and what it never touches."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ktoformats import KTODataConfig, KTODataLoader
from ktoformats.cli.main import main
from ktoformats.store.lock import only_one
from ktoformats.store.vault import Vault

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "ktoformats.cli.main"]
DAY = 24 * 3600
COMMANDS = ("ls", "verify", "prune", "clear")


class Done(NamedTuple):
    """How a command ended, and what it said."""

    status: object
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]
Build = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder, with a cache of its own; `answer` is what its standard input says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*args: str | Path, answer: str = "") -> Done:
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["cache", *map(str, args)])
        seen = capsys.readouterr()
        assert "Traceback" not in seen.err
        assert "a defect" not in seen.err + seen.out
        return Done(stop.value.code, seen.out, seen.err)

    return call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "ktoformats"


def write(folder: Path, name: str, count: int = 20) -> Path:
    """A file of so many answers."""
    path = folder / f"{name}.jsonl"
    rows = [{"prompt": f"{name} {i}", "response": f"a {i}", "label": i % 2 == 0} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(path: Path, cache: Path) -> list[dict[str, Any]]:
    """The samples of a file, which are kept from now on."""
    config = KTODataConfig(train_file=path, min_samples_per_label=0, balance_labels=False)
    return list(KTODataLoader(config, cache_dir=cache).load_dataset("train"))


@pytest.fixture
def build(run: Run, root: Path, tmp_path: Path) -> Build:
    """Load a file of so many answers, which keeps it; the samples."""
    del run  # its cache
    return lambda name, count=20: load(write(tmp_path, name, count), root)


class Kept(NamedTuple):
    """A cache of three entries."""

    root: Path
    names: list[str]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Built once, to be copied."""
    folder = tmp_path_factory.mktemp("kept")
    made: list[str] = []
    for name in ("one", "two", "three"):
        load(write(folder, name), folder / "cache")
        made += set(names(entries(folder / "cache"))) - set(made)
    return Kept(folder / "cache", made)


@pytest.fixture
def three(kept: Kept, root: Path, run: Run) -> list[Path]:
    """Three entries, of the files one, two and three; they were used 1, 10 and 100 days ago."""
    del run  # its cache
    shutil.copytree(kept.root, root)
    made = [root / "shards" / name for name in kept.names]
    for entry, days in zip(made, (1, 10, 100), strict=True):
        used(entry, days)
    return made


def entries(root: Path) -> list[Path]:
    return sorted(path for kind in ("shards", "views") for path in (root / kind).iterdir())


def note(entry: Path) -> Path:
    return entry.parents[1] / "checked" / f"{entry.parent.name}-{entry.name}.json"


def used(entry: Path, days: float) -> None:
    """Have an entry be one that was used so many days ago."""
    moment = time.time() - days * DAY
    os.utime(note(entry), (moment, moment))


def everything(folder: Path) -> dict[str, bytes | str | None]:
    """All that stands below a folder, with its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[path.relative_to(folder).as_posix()] = content
    return found


def names(paths: Iterable[Path]) -> list[str]:
    return [path.name for path in paths]


# --- where there is nothing ---


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_cache_there_is_nothing_to_do_and_nothing_is_made(run: Run, tmp_path: Path, command: str) -> None:
    for extra in ([], ["--json"], ["--cache-dir", "none"]):
        done = run(command, *extra)
        assert (done.status, done.err) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_ls_says_where_the_cache_will_be(run: Run, root: Path) -> None:
    assert run("ls").out == f"{root}: nothing is kept; the next conversion begins it\n"
    assert run("ls", "--json").json == {"folder": str(root), "bytes": 0, "entries": []}


def test_an_empty_folder_may_become_a_cache(run: Run, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for command in COMMANDS:
        assert run(command, "--cache-dir", "new").status == 0
    assert list((tmp_path / "new").iterdir()) == []


# --- ls ---


def test_ls_lists_the_most_recently_used_first(run: Run, build: Build, three: list[Path], root: Path) -> None:
    one, two, old = three
    assert [row["name"] for row in run("ls", "--json").json["entries"]] == names([one, two, old])
    lines = run("ls").out.splitlines()
    assert lines[0] == str(root)
    assert [line.split()[:5] for line in lines[2:5]] == [
        ["shards", f"{entry.name[:12]}.00000", *ago.split()]
        for entry, ago in ((one, "24 hours ago"), (two, "10 days ago"), (old, "100 days ago"))
    ]
    build("three")  # opens it
    assert [row["name"] for row in run("ls", "--json").json["entries"]] == names([old, one, two])
    assert "just now" in run("ls").out.splitlines()[2]


def test_ls_tells_what_the_files_take(run: Run, build: Build, root: Path) -> None:
    build("small")
    build("large", 1000)
    found = run("ls", "--json").json
    sizes = {entry.name: sum(file.stat().st_size for file in entry.iterdir()) for entry in entries(root)}
    assert {row["name"]: row["bytes"] for row in found["entries"]} == sizes
    assert found["bytes"] == sum(sizes.values())
    assert sorted(row["samples"] for row in found["entries"]) == [20, 1000]
    assert {(row["kind"], row["damaged"]) for row in found["entries"]} == {("shards", False)}
    assert run("ls").out.splitlines()[-1] == f"2 entries, {sum(sizes.values()) / 1000:.1f} kB"


def test_ls_lists_views_too_and_marks_what_is_damaged(run: Run, build: Build, root: Path) -> None:
    build("large", 5000)
    found = run("ls", "--json").json["entries"]
    assert {row["kind"] for row in found} == {"shards", "views"}
    [shard] = (root / "shards").iterdir()
    (shard / "manifest.json").chmod(0o600)
    (shard / "manifest.json").write_text("{}")
    [damaged] = [row for row in run("ls", "--json").json["entries"] if row["damaged"]]
    assert damaged["name"] == shard.name
    [line] = [line for line in run("ls").out.splitlines() if "damaged" in line]
    assert line.startswith("shards")


# --- verify ---


def test_verify_finds_sound_entries_sound_and_does_not_use_them(run: Run, three: list[Path], root: Path) -> None:
    before = [note(entry).stat().st_mtime for entry in three]
    done = run("verify")
    assert (done.status, done.out, done.err) == (0, "3 entries checked, 0 damaged\n", "")
    assert run("verify", "--json").json == {"checked": 3, "damaged": []}
    assert [note(entry).stat().st_mtime for entry in three] == pytest.approx(before)
    assert run("prune", "--json").json["removed"] == [three[2].name]


@pytest.mark.parametrize("number", range(3))
def test_a_flipped_byte_is_found_moved_aside_and_built_again(run: Run, build: Build, root: Path, number: int) -> None:
    samples = build("one")
    [flipped] = entries(root)
    build("two")
    file = sorted(flipped.iterdir())[number]
    content, stamp = bytearray(file.read_bytes()), file.stat()
    content[len(content) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # nothing but the digest can tell
    done = run("verify")
    assert (done.status, done.out) == (1, "2 entries checked, 1 damaged\n")
    assert done.err == f"warning: {flipped.name} was damaged, and is moved aside\n"
    assert not flipped.exists()
    assert not note(flipped).exists()
    assert [path.name for path in (root / "damaged").glob("*/*")] == [flipped.name]
    assert run("verify").status == 0
    assert build("one") == samples
    assert flipped.exists()


def test_verify_tells_what_is_damaged_as_json(run: Run, build: Build, root: Path) -> None:
    build("one")
    [entry] = entries(root)
    (entry / "samples.arrow").unlink()
    done = run("verify", "--json")
    assert (done.status, done.json, done.err) == (1, {"checked": 1, "damaged": [entry.name]}, "")


# --- prune ---


@pytest.mark.parametrize(
    ("args", "left"),
    [
        ([], 2),
        (["--older-than", "9"], 1),
        (["--older-than", "0.5"], 0),
        (["--older-than", "0"], 0),
        (["--older-than", "200"], 3),
        (["--older-than", "1e300"], 3),
    ],
    ids=str,
)
def test_prune_removes_what_was_not_used_for_so_many_days(
    run: Run, three: list[Path], root: Path, args: list[str], left: int
) -> None:
    before = everything(root)
    dry = run("prune", *args, "--dry-run")
    assert dry.out.startswith(f"would remove {3 - left} of 3 entries, ")
    assert everything(root) == before
    seen = run("prune", *args, "--dry-run", "--json").json
    done = run("prune", *args, "--json").json
    assert done == seen | {"dry_run": False}
    assert done["removed"] == names(reversed(three[left:]))
    assert entries(root) == sorted(three[:left])
    assert {path.name for path in (root / "checked").iterdir()} == {note(entry).name for entry in three[:left]}
    assert run("ls", "--json").json["bytes"] + done["bytes"] == sum(len(one) for one in entry_bytes(before))


def entry_bytes(found: dict[str, Any]) -> list[bytes]:
    return [content for name, content in found.items() if content and name.startswith(("shards", "views"))]


@pytest.mark.parametrize("left", range(4))
def test_max_size_removes_the_least_recently_used_first(run: Run, three: list[Path], root: Path, left: int) -> None:
    sizes = [sum(file.stat().st_size for file in entry.iterdir()) for entry in three]
    most = sum(sizes[:left])
    assert run("prune", "--older-than", "1000", "--max-size", f"{most}B").status == 0
    assert entries(root) == sorted(three[:left])


def test_what_is_old_makes_room_before_what_is_recent(run: Run, three: list[Path], root: Path) -> None:
    sizes = [sum(file.stat().st_size for file in entry.iterdir()) for entry in three]
    run("prune", "--older-than", "30", "--max-size", str(sum(sizes[:2])))
    assert entries(root) == sorted(three[:2])


def test_prune_removes_what_is_damaged_and_what_killed_builds_left(run: Run, build: Build, root: Path) -> None:
    build("one")
    build("two")
    sound, damaged = entries(root)
    (damaged / "manifest.json").chmod(0o600)
    (damaged / "manifest.json").write_text("{}")
    aside = root / "damaged" / f"{'c' * 64}.00000-x1" / f"{'c' * 64}.00000"
    aside.mkdir(parents=True)
    (aside / "samples.arrow").write_bytes(b"x" * 5000)
    killed, alive = (root / "building" / f"{letter * 64}.00000-x1" for letter in "ab")
    for folder in (killed, alive):
        folder.mkdir()
        (folder / "samples.arrow").write_bytes(b"x")
    stale = root / "checked" / f"shards-{'d' * 64}.00000.json"
    stale.write_text("of an entry that is gone")
    with only_one(root / "building" / f"{'b' * 64}.lock"):
        dry = run("prune", "--dry-run")
        assert dry.out.startswith("would remove 1 of 2 entries and 1 set aside as damaged, ")
        assert all(path.exists() for path in (aside, killed, alive, stale, damaged))
        seen = run("prune", "--dry-run", "--json").json
        done = run("prune", "--json").json
        assert done == seen | {"dry_run": False}
        assert done["removed"] == [damaged.name]
        assert done["bytes"] > 5000
        assert alive.is_dir()  # somebody builds it
    assert entries(root) == [sound]
    assert not any(path.exists() for path in (killed, stale))
    assert list((root / "damaged").iterdir()) == []


READER = """
import sys
from ktoformats import KTODataConfig, KTODataLoader
loader = KTODataLoader(KTODataConfig(train_file="one.jsonl", min_samples_per_label=0, balance_labels=False))
dataset = loader.load_dataset("train")
assert loader.report.cached
first = dataset[0]  # files are opened when they are first looked at
print("open", flush=True)
sys.stdin.readline()
for sample in dataset:
    print(sample["prompt"], sample["response"], sample["label"])
"""


@pytest.mark.parametrize("args", [["prune", "--max-size", "0"], ["clear", "--yes"]], ids=str)
def test_a_dataset_that_is_open_elsewhere_stays_usable(
    run: Run, build: Build, root: Path, tmp_path: Path, args: list[str]
) -> None:
    samples = build("one", 5000)
    with subprocess.Popen(
        [sys.executable, "-c", READER], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        assert run(*args).status == 0
        assert entries(root) == []
        out, _ = reader.communicate("\n", timeout=60)
    assert reader.returncode == 0
    assert out.splitlines() == [f"{one['prompt']} {one['response']} {one['label']}" for one in samples]
    assert build("one", 5000) == samples


def test_an_entry_that_another_process_removes_meanwhile_is_no_error(
    run: Run, three: list[Path], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, remove = Vault.facts, Vault.remove

    def facts_of(vault: Vault, path: Path) -> Any:
        found = facts(vault, path)
        if path == three[0]:
            shutil.rmtree(path)  # before its files are counted
        return found

    def removed(vault: Vault, path: Path) -> None:
        shutil.rmtree(path)
        remove(vault, path)

    with monkeypatch.context() as patch:
        patch.setattr(Vault, "facts", facts_of)
        assert len(run("ls", "--json").json["entries"]) == 2
    monkeypatch.setattr(Vault, "remove", removed)
    assert run("clear", "--yes").status == 0
    assert entries(root) == []


# --- clear ---


@pytest.mark.parametrize("answer", ["n\n", "\n", "no\n", ""], ids=repr)
def test_clear_removes_nothing_unless_somebody_says_yes(run: Run, three: list[Path], root: Path, answer: str) -> None:
    before = everything(root)
    done = run("clear", answer=answer)
    assert (done.status, done.out) == (130, "")
    size = sum(len(one) for one in entry_bytes(before)) / 1000
    assert done.err.startswith(f"Remove 3 entries, {size:.1f} kB, from {root}? [y/N]: ")
    assert "error: interrupted; nothing was removed" in done.err
    assert ("--yes does not ask" in done.err) == (not answer)
    assert everything(root) == before
    refused = run("clear", "--json", answer=answer)
    assert (refused.status, refused.json["error"]["exit_status"]) == (130, 130)
    assert refused.json["error"]["message"].startswith("interrupted; nothing was removed")
    assert everything(root) == before


@pytest.mark.parametrize(("args", "answer"), [([], "y\n"), (["--yes"], "")])
def test_clear_removes_everything(run: Run, build: Build, root: Path, args: list[str], answer: str) -> None:
    samples = build("one")
    build("two")
    (root / "digests" / f"{'a' * 64}.json").write_text("a note")
    done = run("clear", *args, answer=answer)
    assert done.status == 0
    assert done.out.startswith("removed 2 entries, ")
    assert [path for path in root.rglob("*") if not path.is_dir()] == []
    assert {path.name for path in root.iterdir()} == {
        "shards", "views", "tokens", "plans", "building", "checked", "digests", "damaged",
    }  # fmt: skip
    assert build("one") == samples


def test_clear_as_json_says_what_is_gone(run: Run, three: list[Path], root: Path) -> None:
    size = sum(len(one) for one in entry_bytes(everything(root)))
    done = run("clear", "--yes", "--json")
    assert done.json == {"removed": names(sorted(three)), "set_aside": 0, "bytes": size}
    asked = run("clear", "--json", answer="")
    assert asked.json == {"removed": [], "set_aside": 0, "bytes": 0}  # there is nothing to ask about


# --- what is not ours ---


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody else, such as an entry would be."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "samples.arrow").write_text("precious")
    (folder / "inner").mkdir()
    (folder / "inner" / "manifest.json").write_text("precious, too")
    return folder


@pytest.mark.parametrize(
    "args",
    [["prune", "--older-than", "0"], ["prune", "--max-size", "0"], ["clear", "--yes"], ["verify"], ["ls"]],
    ids=str,
)
def test_links_are_not_followed_and_strangers_stay(
    run: Run, three: list[Path], root: Path, outside: Path, args: list[str]
) -> None:
    name = f"{'a' * 64}.00000"
    (root / "shards" / name).symlink_to(outside)
    (root / "damaged" / f"{name}-x1").mkdir()
    (root / "damaged" / f"{name}-x1" / name).symlink_to(outside)
    (root / "building" / f"{name}-x1").mkdir()
    (root / "building" / f"{name}-x1" / "samples.arrow").symlink_to(outside / "samples.arrow")
    (root / "building" / f"{'b' * 64}-x1").symlink_to(outside)
    (root / "shards" / "notes.txt").write_text("mine")
    (root / "mine").mkdir()
    (root / "mine" / "thesis.txt").write_text("mine")
    before = everything(outside)
    assert run(*args).status in {0, 1}
    assert everything(outside) == before
    assert (root / "shards" / "notes.txt").read_text() == "mine"
    assert (root / "mine" / "thesis.txt").read_text() == "mine"
    assert (root / "shards" / name).is_symlink() == (
        args[0] in {"ls", "verify"} and (root / "shards" / name).exists()
    )


@pytest.mark.parametrize(
    "folder", ["shards", "views", "tokens", "plans", "building", "checked", "digests", "damaged"]
)
@pytest.mark.parametrize("args", [["prune", "--max-size", "0"], ["clear", "--yes"]], ids=str)
def test_a_cache_whose_folders_lead_elsewhere_is_refused(
    run: Run, three: list[Path], root: Path, outside: Path, folder: str, args: list[str]
) -> None:
    shutil.rmtree(root / folder)
    (root / folder).symlink_to(outside)
    before = everything(root), everything(outside)
    done = run(*args)
    assert done.status == 2
    assert f"error: {root} is no cache: it has no folder '{folder}' of its own; nothing was touched" in done.err
    assert (everything(root), everything(outside)) == before


@pytest.mark.parametrize("args", [["ls"], ["verify"], ["prune", "--max-size", "0"], ["clear", "--yes"]], ids=str)
def test_a_folder_that_is_no_cache_is_refused(run: Run, tmp_path: Path, args: list[str]) -> None:
    """A project may well have a folder `building`, and `--cache-dir .` is soon written."""
    for name in ("building", "checked", "damaged"):
        (tmp_path / "project" / name / "inner").mkdir(parents=True)
        (tmp_path / "project" / name / "inner" / "thesis.txt").write_text("mine")
        (tmp_path / "project" / name / "thesis.txt").write_text("mine")
    before = everything(tmp_path)
    done = run(*args, "--cache-dir", "project")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: project is no cache: it has no folder ")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_is_no_cache(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "votes.jsonl").write_text("{}")
    done = run(command, "--cache-dir", "votes.jsonl", "--json")
    assert done.status == 2
    assert done.json["error"]["message"] == "votes.jsonl is no folder; --cache-dir names the folder of a cache"


@pytest.mark.parametrize("args", [["verify"], ["prune", "--max-size", "0"], ["clear", "--yes"]], ids=str)
def test_a_cache_of_somebody_else_is_left_alone(
    run: Run, three: list[Path], root: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    owner = root.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:
        os.chown(root, 12345, 12345)  # root's own is everybody's
    before = everything(root)
    done = run(*args)
    assert done.status == 1
    assert f"error: {root}: the cache folder belongs to another user" in done.err
    assert everything(root) == before


@pytest.mark.parametrize(
    ("mode", "shown"), [(0o000, COMMANDS), (0o500, ("clear", "prune"))], ids=["closed", "read-only"]
)
def test_a_folder_without_the_rights_is_an_error_that_names_it(
    three: list[Path], root: Path, mode: int, shown: tuple[str, ...]
) -> None:
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    before = everything(root)
    (root / "shards").chmod(mode)
    try:
        for command in shown:
            extra = {"clear": ["--yes"], "prune": ["--max-size", "0"]}.get(command, [])
            done = subprocess.run(
                [*drop, *COMMAND, "cache", command, *extra], capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 1, done
            assert done.stderr.startswith(f"error: {root / 'shards'}")
            assert "the cache cannot be read or changed (Permission denied)" in done.stderr
    finally:
        (root / "shards").chmod(0o700)
    assert everything(root) == before


# --- what is said ---


@pytest.mark.parametrize(
    "text", ["-5", "-1kB", "5XB", "GB", "", "nan", "inf", "-inf", "1e400", "five", "5 GB GB", "1,5GB"]
)
def test_a_size_that_is_none_is_refused(run: Run, three: list[Path], root: Path, text: str) -> None:
    done = run("prune", f"--max-size={text}")
    assert done.status == 2
    assert "is no size; write bytes, or 500M, or 20GB" in done.err
    assert len(entries(root)) == 3


@pytest.mark.parametrize("text", ["9" * 400, "1e300", "99999999TB", "20 GB", "500m", "1.5gb"])
def test_any_size_and_spelling_is_taken(run: Run, three: list[Path], root: Path, text: str) -> None:
    done = run("prune", "--older-than", "1000", "--max-size", text)
    if text == "9" * 400:
        assert done.status == 2  # more than a float can say
    else:
        assert done.out == "removed 0 of 3 entries, 0 B\n"
    assert len(entries(root)) == 3


def test_a_negative_age_is_refused(run: Run) -> None:
    done = run("prune", "--older-than", "-1")
    assert done.status == 2
    assert "-1.0 is not in the range x>=0" in done.err


def test_the_name_of_a_folder_is_shown_escaped(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[31mred \u202eكاش"
    done = run("ls", "--cache-dir", folder)
    assert "\\u{1b}[31mred \\u{202e}كاش" in done.out
    assert not set("\x1b\u202e") & set(done.out)
    assert run("ls", "--cache-dir", folder, "--json").json["folder"] == str(folder)
    odd = os.fsdecode(b"\xff")
    assert run("ls", "--cache-dir", odd).status == 0
    assert run("ls", "--cache-dir", odd, "--json").json["folder"] == odd


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["ls", "verify", "prune", "clear", "Compare every kept file with its digest", "copies of your texts"]),
        (["ls"], ["most recently used first", "--cache-dir", "--json"]),
        (["verify"], ["Exit status: 0 all is whole, 1 something was damaged", "built again"]),
        (["prune"], ["--older-than", "30", "500M, 20GB", "--dry-run", "stay readable"]),
        (["clear"], ["asks first", "--yes"]),
    ],
    ids=str,
)
def test_help_teaches(run: Run, args: list[str], words: list[str]) -> None:
    done = run(*args, "--help")
    assert done.status == 0
    assert "..." not in done.out.replace("[ARGS]...", "")  # no sentence is cut
    for word in words:
        assert word in " ".join(done.out.split())


def test_ls_into_a_program_that_stops_reading_ends_quietly(three: list[Path]) -> None:
    writer = subprocess.Popen([*COMMAND, "cache", "ls"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.close()
    _, stderr = writer.communicate(timeout=60)
    assert (writer.returncode, stderr) == (0, "")
