"""Exact copies of sources: the one registered earlier is kept, whatever is read when, and nothing is read twice.

The truth is a hash of every file, or what the test wrote.
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.maintenance import forget_source
from stages.manifest import ManifestRef, read_manifest
from stages.params import ExecutorParams, ReadParams
from stages.phase import PhaseReport
from stages.read import fingerprint_store, fingerprints
from stages.run import DryRun, Progress, open_session
from stages.sources import Register, list_sources, register_sources, registered_partitions
from stages.storage import Storage
from stages.tasks import Row
from tests.videos import noise_shot, write_video

ONE_EACH = ReadParams(partition_size=1, max_failed_fraction=1)
MIDDLE, UNSAMPLED = 500_000, 300_000
"""Places in a file of a million bytes: inside its middle sample, and in none."""


@cache
def video_bytes(seed: int) -> bytes:
    with TemporaryDirectory() as folder:
        return write_video(Path(folder) / "a.mp4", noise_shot(seed, 5)).read_bytes()


def large_bytes(*changed: int) -> bytes:
    """A million bytes, no video, with some of them changed."""
    data = bytearray(b"byte" * 250_000)
    for place in changed:
        data[place] ^= 1
    return bytes(data)


class Library:
    """A folder of sources and a root that takes them up one call after another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "sources"
        self.folder.mkdir()
        self.root = Storage(folder / "root")

    def put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def register(self, *names: str, params: ReadParams = ONE_EACH) -> list[str]:
        """Register these files, which are there, in this order."""
        listed = {Path(source.uri).name: source for source in list_sources(str(self.folder), params)}
        return register_sources(self.root, [listed[name] for name in names], params)

    def add(self, **contents: bytes) -> list[str]:
        """Write and register one file a partition."""
        for name, content in contents.items():
            self.put(f"{name}.mp4", content)
        return self.register(*(f"{name}.mp4" for name in contents))

    def read(
        self, *partitions: str, params: ReadParams = ONE_EACH, on_progress: Callable[[Progress], None] | None = None
    ) -> dict[str, PhaseReport]:
        outputs = [ManifestRef(self.root.root, "videos", partition) for partition in partitions]
        with open_session(ExecutorParams(mode="local"), on_progress) as session:
            return session.run_phase(params, {}, outputs)

    def rows(self) -> dict[str, Row]:
        return {Path(row["uri"]).name: row for row in read_manifest(self.root.root, "videos").to_pylist()}

    def outcomes(self) -> dict[str, str]:
        """By name without its ending: ``kept``, or the reason; of a copy, what it is a copy of."""
        rows = self.rows()
        names = {row["video_id"]: name.removesuffix(".mp4") for name, row in rows.items()}
        return {
            names[row["video_id"]]: f"copy of {names[row['copy_of']]}"
            if row["reason"] == "exact_copy"
            else row["reason"] or row["status"]
            for row in rows.values()
        }

    def fingerprint_files(self) -> list[str]:
        return [info.path for info in self.root.list("fingerprints")]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_the_source_registered_first_is_kept_whatever_is_read_first(library: Library, order: tuple[int, ...]) -> None:
    partitions = library.add(a=video_bytes(1), b=video_bytes(2), c=video_bytes(1), d=video_bytes(1))
    for index in order:
        library.read(partitions[index])
    assert library.outcomes() == {"a": "kept", "b": "kept", "c": "copy of a", "d": "copy of a"}
    row = library.rows()["d.mp4"]
    assert (row["status"], row["copy_of"]) == ("rejected", library.rows()["a.mp4"]["video_id"])
    assert str(library.folder / "a.mp4") in row["error"]
    assert row["size_bytes"] == len(video_bytes(1))
    again = library.read(*partitions)
    assert [(report.reused, report.computed) for report in again.values()] == [(1, 0)] * 4


def test_copies_inside_one_partition_are_found(library: Library) -> None:
    for name in "cab":
        library.put(f"{name}.mp4", video_bytes(1))
    (partition,) = library.register("c.mp4", "a.mp4", "b.mp4", params=ReadParams())
    report = library.read(partition)[partition]
    assert library.outcomes() == {"a": "copy of c", "b": "copy of c", "c": "kept"}
    assert (report.reasons, report.missing) == ({"exact_copy": 2}, 0)


def test_sources_of_other_sizes_are_not_compared(library: Library) -> None:
    partitions = library.add(a=large_bytes(), b=large_bytes()[:-1], c=b"", d=b"")
    reports = library.read(*partitions)
    assert library.outcomes() == dict.fromkeys("abcd", "unreadable")
    assert [list(report.stages) for report in reports.values()] == [["probe"]] * 4
    assert library.fingerprint_files() == []


@pytest.mark.parametrize(("changed", "stages"), [(MIDDLE, {"sample"}), (UNSAMPLED, {"sample", "hash"})])
def test_one_different_byte_makes_no_copy(library: Library, changed: int, stages: set[str]) -> None:
    """Samples tell most sources of one size apart; where they agree, all bytes do."""
    partitions = library.add(a=large_bytes(), b=large_bytes(changed))
    report = library.read(*partitions)[partitions[1]]
    assert library.outcomes() == {"a": "unreadable", "b": "unreadable"}
    assert set(report.stages) == {"probe", *stages}


def test_each_source_is_hashed_once(library: Library) -> None:
    """However many copies there are, and whenever they are read."""
    partitions = library.add(a=large_bytes(), b=large_bytes(), c=large_bytes())
    hashed = [library.read(each)[each].counters.get("compared_bytes", 0) for each in (partitions[1], *partitions)]
    assert hashed == [2_000_000, 0, 0, 1_000_000]
    (last,) = library.add(d=large_bytes(MIDDLE))
    assert "compared_bytes" not in library.read(last)[last].counters


def test_a_known_copy_is_not_opened(library: Library) -> None:
    first, second = library.add(a=video_bytes(1), b=video_bytes(1))
    library.read(first, second)
    shutil.rmtree(Path(library.root.root) / "manifests")
    (library.folder / "b.mp4").unlink()
    report = library.read(second)[second]
    assert (report.computed, report.reasons) == (1, {"exact_copy": 1})
    assert set(report.stages) == {"probe"}


def test_two_runs_at_once_decide_alike(library: Library) -> None:
    names = [f"{content}{number}" for number in range(4) for content in "abc"]
    partitions = library.add(**{name: video_bytes("abc".index(name[0])) for name in names})
    barrier = threading.Barrier(2)

    def read(order: Sequence[str]) -> None:
        barrier.wait(60)
        library.read(*order)

    threads = [threading.Thread(target=read, args=(order,)) for order in (partitions, partitions[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {name: "kept" if name[1] == "0" else f"copy of {name[0]}0" for name in names}
    assert library.outcomes() == expected


def test_a_copy_takes_the_place_of_one_that_is_gone_and_gives_it_back(library: Library) -> None:
    """The first was never read, so nothing is made of it; nobody may have listed anew that it is gone."""
    first, second, third = library.add(a=video_bytes(1), b=video_bytes(1), c=video_bytes(1))
    assert library.read(third)[third].reasons == {"exact_copy": 1}
    kept = (library.folder / "a.mp4").rename(library.folder.parent / "a.mp4")
    library.read(second, third)
    assert library.outcomes() == {"b": "kept", "c": "copy of b"}
    kept.rename(library.folder / "a.mp4")
    library.read(first, second, third)
    assert library.outcomes() == {"a": "kept", "b": "copy of a", "c": "copy of a"}


def test_one_that_was_read_and_removed_since_still_counts(library: Library) -> None:
    first, second = library.add(a=video_bytes(1), b=video_bytes(1))
    library.read(first, second)
    (library.folder / "a.mp4").unlink()
    assert library.read(second)[second].reused == 1
    library.read(first)
    assert library.outcomes() == {"a": "kept", "b": "copy of a"}


def test_one_that_is_gone_before_it_was_ever_sampled_does_not_count(library: Library) -> None:
    first, second = library.add(a=video_bytes(1), b=video_bytes(1))
    (library.folder / "a.mp4").unlink()
    library.read(second)
    library.read(first)
    assert library.outcomes() == {"a": "gone", "b": "kept"}


def test_a_copy_takes_the_place_of_one_that_changed(library: Library) -> None:
    first, second = library.add(a=video_bytes(1), b=video_bytes(1))
    library.read(first, second)
    old = os.stat(library.folder / "a.mp4")
    (third,) = library.add(a=video_bytes(2))
    library.read(first, second, third)
    rows = read_manifest(library.root.root, "videos").to_pylist()
    assert [(Path(row["uri"]).name, row["reason"]) for row in rows if row["status"] != "kept"] == [
        ("a.mp4", "superseded")
    ]
    library.put("a.mp4", video_bytes(1))
    os.utime(library.folder / "a.mp4", ns=(old.st_mtime_ns, old.st_mtime_ns))
    library.register("a.mp4")
    library.read(first, second, third)
    rows = read_manifest(library.root.root, "videos", second).to_pylist()
    assert [row["reason"] for row in rows] == ["exact_copy"]


def test_a_source_that_is_written_again_with_equal_content_is_no_copy_of_itself(library: Library) -> None:
    (first,) = library.add(a=video_bytes(1))
    library.read(first)
    os.utime(library.folder / "a.mp4", (1, 1))
    (second,) = library.register("a.mp4")
    library.read(first, second)
    assert [row["reason"] for row in read_manifest(library.root.root, "videos", first).to_pylist()] == ["superseded"]
    assert [row["status"] for row in read_manifest(library.root.root, "videos", second).to_pylist()] == ["kept"]


def test_a_copy_of_an_unreadable_source_is_a_copy(library: Library) -> None:
    partitions = library.add(a=large_bytes(), b=large_bytes())
    library.read(*partitions)
    assert library.outcomes() == {"a": "unreadable", "b": "copy of a"}


def test_a_copy_takes_the_place_of_a_forgotten_source_which_leaves_no_trace(library: Library) -> None:
    partitions = library.add(a=video_bytes(1), b=video_bytes(1), c=video_bytes(3))
    library.read(*partitions)
    forgotten = library.rows()["a.mp4"]
    removed = forget_source(library.root, forgotten["uri"])
    assert removed.rows["videos"] == 2
    assert removed.num_versions == 1
    assert set(library.rows()) == {"c.mp4"}
    files = [Path(library.root.location(info.path)) for info in library.root.list()]
    texts = [str(pq.read_table(path).to_pylist()) for path in files if path.suffix == ".parquet"]
    texts += [path.read_text() for path in files if path.suffix != ".parquet"]
    assert not any(forgotten["uri"] in text or forgotten["video_id"] in text for text in texts)
    library.read(*partitions[1:])
    assert library.outcomes() == {"b": "kept", "c": "kept"}


def test_without_exact_copies_all_are_kept_and_only_copies_are_computed_anew(library: Library) -> None:
    both = ReadParams(exact_copies=False)
    partitions = library.add(a=video_bytes(1), b=video_bytes(1))
    library.read(*partitions, params=both)
    assert library.outcomes() == {"a": "kept", "b": "kept"}
    assert library.fingerprint_files() == []
    assert [report.computed for report in library.read(*partitions).values()] == [0, 1]
    assert library.outcomes() == {"a": "kept", "b": "copy of a"}
    again = library.read(*partitions, params=both)
    assert [report.computed for report in again.values()] == [0, 0]
    assert again[partitions[1]].changes == ["read.exact_copies changed from True to False"]
    assert library.outcomes() == {"a": "kept", "b": "kept"}


def test_a_dry_run_reads_no_source_and_knows_what_a_run_would_reuse(library: Library) -> None:
    partitions = library.add(a=video_bytes(1), b=video_bytes(1))
    outputs = [ManifestRef(library.root.root, "videos", partition) for partition in partitions]

    def plan() -> tuple[int, int]:
        found = DryRun(library.root.root, library.root.root, ()).plan(ONE_EACH, {}, outputs)
        return found.reused, found.computed

    assert plan() == (0, 2)
    assert library.fingerprint_files() == []
    library.read(*partitions)
    assert plan() == (2, 0)


def test_damaged_fingerprints_are_made_anew(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    partitions = library.add(a=video_bytes(1), b=video_bytes(1))
    library.read(*partitions)
    for path in library.fingerprint_files():
        library.root.write_bytes(path, library.root.read_bytes(path)[:-9])
    report = library.read(*partitions)[partitions[1]]
    assert "is damaged and is passed over" in caplog.text
    assert (report.reused, set(report.stages)) == (1, {"sample", "hash"})


def test_fingerprints_of_many_runs_are_merged(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where two stores merge the same files, and each only knows its own."""
    monkeypatch.setattr(fingerprint_store, "MAX_FILES", 3)
    stores = [fingerprint_store.FingerprintStore(library.root) for _ in range(2)]
    assert [store.known for store in stores] == [{}, {}]
    expected: dict[str, fingerprints.Fingerprint] = {}
    for number in range(20):
        found = fingerprints.Fingerprint(f"{number:064x}", "" if number % 3 else f"{number:064x}")
        expected[f"v{number}"] = found
        stores[number % 2].add(f"v{number}", found)
        stores[number % 2].flush()
        assert len(library.fingerprint_files()) <= 2 * 3 + 1
        assert fingerprint_store.FingerprintStore(library.root).known == expected


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[list[str]], list[int], list[int]]:
    """Contents by partition, an order to read the partitions in, and sources that get new contents before that."""
    # Three samples of two bytes lie at 0, 3 and 7 of nine bytes: some contents differ in a sample, some elsewhere.
    content = st.sampled_from(["000000000", "100000000", "000010000", "000000001", "001000000", "000001000", "000000"])
    partitions = draw(st.lists(st.lists(content, min_size=1, max_size=3), min_size=1, max_size=4))
    order = draw(st.permutations(range(len(partitions))))
    num_sources = sum(map(len, partitions))
    return partitions, order, draw(st.lists(st.integers(0, num_sources - 1), max_size=2, unique=True))


@given(histories())
@settings(max_examples=15)
def test_copies_are_those_that_hashes_of_all_files_tell(history: tuple[list[list[str]], list[int], list[int]]) -> None:
    contents, order, replaced = history
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "SAMPLE_BYTES", 2)
        library, partitions, hashes = Library(Path(folder)), list[str](), dict[str, str]()
        for group in contents:
            names = [f"{len(hashes) + number:02}.mp4" for number in range(len(group))]
            for name, content in zip(names, group, strict=True):
                path = library.put(name, content.encode())
                hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            partitions += library.register(*names, params=ReadParams())
        for number in replaced:
            name = f"{number:02}.mp4"
            (library.folder / name).write_bytes(b"replaced")
            hashes.pop(name)
            os.utime(library.folder / name, (number, number))
        if replaced:
            library.register(*(f"{number:02}.mp4" for number in replaced), params=ReadParams())
        for index in order:
            library.read(partitions[index])
        if new := [key for key in registered_partitions(library.root) if key not in partitions]:
            library.read(*new)
        rows = [row for row in read_manifest(library.root.root, "videos").to_pylist() if row["reason"] != "superseded"]
        by_id = {row["video_id"]: Path(row["uri"]).name for row in rows}
        first: dict[str, str] = {}
        for name, sha256 in hashes.items():
            first.setdefault(sha256, name)
        for number in replaced:  # they are of one content, and registered last
            hashes[f"{number:02}.mp4"] = "replaced"
            first.setdefault("replaced", f"{replaced[0]:02}.mp4")
        expected = {name: first[sha256] for name, sha256 in hashes.items() if first[sha256] != name}
        assert {by_id[row["video_id"]]: by_id[row["copy_of"]] for row in rows if row["copy_of"]} == expected


def test_the_register_says_which_partitions_may_hold_copies_of_what_changed(library: Library) -> None:
    first, second, _ = library.add(a=b"of a size", b=b"as large ", c=b"larger than that")
    library.add(a=b"of any other size")
    entry = Register(library.root).entries_after(3)[0]
    assert entry.affected_partitions == tuple(sorted((first, second)))


def test_progress_is_told_while_sources_are_compared(tmp_path: Path) -> None:
    """By sources while they are sampled; by their bytes while they are compared, inside each too."""
    library = Library(tmp_path)
    partitions = library.add(a=large_bytes(), b=large_bytes(), c=large_bytes(UNSAMPLED), d=large_bytes(MIDDLE))
    told: list[Progress] = []
    library.read(*partitions, on_progress=told.append)
    sampling = [each for each in told if each.activity.startswith("sampling") and each.is_working]
    assert [(each.done, each.total, each.share) for each in sampling if each.done][-1] == (4, 4, 1.0)
    assert {each.done for each in sampling} >= {1, 2, 3, 4}
    comparing = [each for each in told if each.activity.startswith("comparing") and each.is_working]
    first = {each.done: each.share for each in reversed(comparing) if each.done}
    assert first == {1: pytest.approx(1 / 3), 2: pytest.approx(2 / 3), 3: 1.0}
    shares = [each.share for each in told if each.is_preparing and each.activity.startswith("comparing")]
    assert shares == sorted(shares)
    assert not told[-1].is_preparing
