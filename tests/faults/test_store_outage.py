"""An object store that goes away while it is used, and comes back.

1. An operation that failed in passing is tried again; away for less than the waits, nothing of it shows in the tables.
2. Away for longer, the phase or the command stops with one clear line and exit code 1. Every commit and every file
   that it names is whole, and the next run finishes with the tables of a run that was never disturbed.
3. A source that cannot be read on is a passing failure, never a damaged or a shorter video.
4. An exclusive creation whose answer was lost is still exclusive, and known as ours.
"""

import dataclasses
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.config import conf

from curator_dagster.cli import app
from stages import retry
from stages.errors import TRANSIENT_REASONS, SourceError, StorageError, StorageUnavailable
from stages.manifest import ManifestRef, committed_partitions, last_commit, read_manifest
from stages.media.container import open_video
from stages.media.decode import decode_frames
from stages.params import ExecutorParams, ReadParams
from stages.phase import PhaseReport
from stages.retry import Backoff
from stages.row_files import read_footer
from stages.run import Progress, open_session
from stages.schemas import ASSETS
from stages.sources import list_sources, register_sources
from stages.storage import Storage, open_source, stat_source
from stages.tasks import Row
from tests.faults.figures import note
from tests.faults.lossy_proxy import LossyProxy
from tests.object_store import ObjectStore
from tests.videos import noise_shot, noisy_video, write_video

PATIENT = ExecutorParams(mode="local", max_tries=8, backoff_s=0.25, max_backoff_s=1)
HASTY = ExecutorParams(mode="local", max_tries=2, backoff_s=0.05)


@pytest.fixture
def sources(s3_bucket: str, tmp_path: Path) -> str:
    """A folder of three videos in the bucket."""
    for seed in range(3):
        fsspec.filesystem("s3").put(
            str(write_video(tmp_path / f"{seed}.mp4", noise_shot(seed, 30))), f"{s3_bucket}/in/{seed}.mp4"
        )
    return f"{s3_bucket}/in"


def read(sources: str, root: str, executor: ExecutorParams, on_progress: Callable[[Progress], None]) -> PhaseReport:
    """The read phase, as a session runs it."""
    (partition,) = register_sources(Storage(root), list_sources(sources, ReadParams()), 64)
    with open_session(executor, on_progress) as session:
        (report,) = session.run_phase(ReadParams(), {}, [ManifestRef(root, "videos", partition)]).values()
    return report


def ignore(_: Progress) -> None:
    """Look on."""


def rows(root: str, asset: str = "videos") -> list[Row]:
    return read_manifest(root, asset).to_pylist()


def check_commits(root: str, asset: str, partition: str) -> None:
    """The newest commit can be read, and every file that it names is whole."""
    storage = Storage(root)
    commit = last_commit(storage, ManifestRef(root, asset, partition))
    for entry in commit.files if commit else []:
        assert hashlib.sha256(storage.read_bytes(entry.path)).hexdigest() == entry.sha256


@dataclasses.dataclass
class Outage:
    """Stops a store at the first sign of progress."""

    store: ObjectStore
    until: threading.Timer | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.done == 1 and self.until is None:
            self.store.stop(signal.SIGKILL)
            self.until = threading.Timer(0.5, self.store.start)
            self.until.start()


def test_short_outage_is_waited_for(sources: str, s3_bucket: str, s3_server: ObjectStore) -> None:
    read(sources, f"{s3_bucket}/calm", PATIENT, ignore)
    outage = Outage(s3_server)
    report = read(sources, f"{s3_bucket}/out", PATIENT, outage)
    assert outage.until is not None
    outage.until.join()
    assert report.counts == {"kept": 3, "rejected": 0, "failed": 0}
    assert rows(f"{s3_bucket}/out") == rows(f"{s3_bucket}/calm")


def test_long_outage_stops_the_phase_and_the_next_run_finishes(
    sources: str, s3_bucket: str, s3_server: ObjectStore
) -> None:
    root = f"{s3_bucket}/out"
    with pytest.raises(StorageError, match=r"must answer, got no good answer to .* in 2 tries over 0 s: .* goes on"):
        read(sources, root, HASTY, lambda progress: s3_server.stop(signal.SIGKILL))
    s3_server.start()
    assert Storage(root).list("manifests") == []
    assert read(sources, root, HASTY, ignore).computed == 3
    read(sources, f"{s3_bucket}/calm", PATIENT, ignore)
    assert rows(root) == rows(f"{s3_bucket}/calm")


def test_curator_run_says_in_one_line_that_the_store_is_away(
    sources: str, s3_bucket: str, s3_server: ObjectStore, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", sources, "--root", f"{s3_bucket}/out", "--set", "executor.mode=local"]
    with s3_server.away(signal.SIGKILL), pytest.raises(SystemExit) as ended:
        app([*arguments, "--set", "executor.max_tries=2", "--set", "executor.backoff_s=0.01"])
    printed = capfd.readouterr().err
    assert ended.value.code == 1
    assert printed.splitlines()[-1].startswith(f"curator: {sources} must answer, got no good answer to listing in 2")
    assert "Traceback" not in printed


@pytest.fixture
def decoders(s3_bucket: str, tmp_path: Path) -> list[Iterator[int]]:
    """Frame indices of videos in several containers, each larger than what the first read takes."""
    uris = [f"{s3_bucket}/video.{suffix}" for suffix in ("mp4", "mkv", "avi")]
    for uri in uris:
        fsspec.filesystem("s3").put(str(noisy_video(tmp_path / Path(uri).name, 50)), uri)
    return [frames_of(uri) for uri in uris]


def test_source_that_cannot_be_read_on_is_no_damaged_video(
    decoders: list[Iterator[int]], s3_server: ObjectStore
) -> None:
    with retry.using(Backoff(2, 0.05)):
        assert [next(decoder) for decoder in decoders] == [0, 0, 0]
        with s3_server.away(signal.SIGKILL):
            assert [end_of(decoder) for decoder in decoders] == [StorageUnavailable] * 3


def test_source_is_read_on_after_a_short_outage(decoders: list[Iterator[int]], s3_server: ObjectStore) -> None:
    with retry.using(Backoff(60, 0.1, 0.5)):
        assert [next(decoder) for decoder in decoders] == [0, 0, 0]
        s3_server.stop(signal.SIGKILL)
        back = threading.Timer(0.3, s3_server.start)
        back.start()
        ends = [end_of(decoder) for decoder in decoders]
        back.join()
    assert ends == [49, 49, 49]


def frames_of(uri: str) -> Iterator[int]:
    with open_video(uri) as container:
        for decoded in decode_frames(container):
            yield decoded.index


def end_of(decoder: Iterator[int]) -> int | type[SourceError]:
    """The last frame's index, or what came instead of the end."""
    try:
        return list(decoder)[-1]
    except SourceError as error:
        return type(error)


def test_hanging_store_is_asked_again(s3_bucket: str, s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conf["s3"], "config_kwargs", {"read_timeout": 0.3})
    storage = Storage(f"{s3_bucket}/root")
    storage.write_bytes("a", b"1")
    with retry.using(Backoff(10, 0.1, 0.1)), s3_server.away(signal.SIGSTOP):
        threading.Timer(0.6, s3_server.go_on).start()
        started = time.monotonic()
        assert storage.read_bytes("a") == b"1"
    assert 0.5 < time.monotonic() - started < 3


def test_create_bytes_knows_its_own_file_when_the_answer_was_lost(
    s3_bucket: str, s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LossyProxy(s3_server.url) as proxy, retry.using(Backoff(3, 0.05)):
        monkeypatch.setitem(conf["s3"], "endpoint_url", proxy.url)
        monkeypatch.setitem(conf["s3"], "config_kwargs", {"read_timeout": 0.5})
        storage = Storage(f"{s3_bucket}/root")
        proxy.lose_next_answer()
        assert storage.create_bytes("1.json", b"ours")
        proxy.lose_next_answer()
        assert not storage.create_bytes("1.json", b"another's")
        assert proxy.lost == 2
    assert storage.read_bytes("1.json") == b"ours"


@pytest.mark.parametrize("tries", [1, 3])
def test_storage_rejects_at_once_what_does_not_pass(tries: int, s3_bucket: str) -> None:
    storage = Storage(f"{s3_bucket}-missing/root")
    with retry.using(Backoff(tries, 60)):
        with pytest.raises(FileNotFoundError):
            storage.read_bytes("x")
        with pytest.raises(SourceError, match="not there any more"), open_source(f"{s3_bucket}/x.mp4"):
            pass
        with pytest.raises(SourceError, match="not there any more"):
            stat_source(f"{s3_bucket}/x.mp4")


PROGRAM = "from curator_dagster.cli import main; main()"
LIMIT_S = 280
MOMENTS = (
    "manifests/videos",
    "frames",
    "manifests/clips",
    "manifests/filtered_clips",
    "manifests/embeddings",
    "dataset",
)
"""What must have been written when the store goes away."""


def start(bucket: str, root: str, *settings: str) -> subprocess.Popen[str]:
    """`curator run` on a Ray of its own, from the bucket into the bucket."""
    command = [sys.executable, "-c", PROGRAM, "run", f"{bucket}/in", "--root", f"{bucket}/{root}"]
    for setting in ("split.min_length_s=1", "executor.num_workers=2", *settings):
        command += ["--set", setting]
    environment = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "CURATOR_ROOT")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> float:
    """Seconds until it ended well."""
    started = time.monotonic()
    printed = process.communicate(timeout=LIMIT_S)[0]
    assert process.returncode == 0, printed
    return round(time.monotonic() - started, 1)


@pytest.fixture(scope="module")
def calm(s3_server: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket with eight sources in `in`, and the root of a run that nothing disturbed in `calm`."""
    folder = tmp_path_factory.mktemp("videos")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.settings.items():
            patch.setenv(f"FSSPEC_S3_{name.upper()}", value)
        patch.setitem(conf, "s3", dict(s3_server.settings))
        filesystem, bucket = fsspec.filesystem("s3"), "s3://outages"
        filesystem.mkdir(bucket)
        for number in range(6):
            pictures = [picture for seed in (1, 2, 6) for picture in noise_shot(seed + 10 * number, 60)]
            filesystem.put(str(write_video(folder / f"{number}.mp4", pictures)), f"{bucket}/in/{number}.mp4")
        filesystem.put(str(folder / "0.mp4"), f"{bucket}/in/copy.mp4")
        filesystem.pipe(f"{bucket}/in/text.mp4", b"no video")
        finish(start(bucket, "calm"))
        yield bucket


def lasting_rows(root: str) -> Counter[str]:
    """By row key, in how many row files an item has rows that are there to stay."""
    found: Counter[str] = Counter()
    storage = Storage(root)
    for info in storage.list("manifests"):
        if info.path.endswith(".parquet"):
            footer = read_footer(storage, info.path)
            passing = {key for key, reasons in footer["failed"].items() if set(reasons) & set(TRANSIENT_REASONS)}
            found.update(set(footer["items"]) - set(footer["transient"]) - passing)
    return found


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(12))
def test_outage_at_a_random_moment_loses_nothing(seed: int, calm: str, s3_server: ObjectStore) -> None:
    chance, is_short, root = random.Random(seed), seed % 2 == 0, f"{calm}/out-{seed}"
    how = [signal.SIGINT, signal.SIGKILL, signal.SIGSTOP][seed // 2 % 3]
    length_s, tries = (chance.uniform(1, 4), 8) if is_short else (chance.uniform(20, 40), 2)
    disturbed = start(calm, f"out-{seed}", f"executor.max_tries={tries}")
    wait_for(Storage(root), chance.choice(MOMENTS))
    time.sleep(chance.uniform(0, 2))
    with s3_server.away(how):
        time.sleep(length_s)
    printed = disturbed.communicate(timeout=LIMIT_S)[0]
    assert "Traceback" not in printed
    assert disturbed.returncode == 0 or (disturbed.returncode == 1 and not is_short), printed
    for asset in ASSETS:
        for partition in committed_partitions(Storage(root), asset):
            check_commits(root, asset, partition)
    recovery_s = finish(start(calm, f"out-{seed}"))
    for asset in ASSETS:
        assert rows(root, asset) == rows(f"{calm}/calm", asset), asset
    written = lasting_rows(root)
    assert set(written.values()) == {1}, "what is in a file is not computed again"
    figures = {"how": how.name, "seconds": round(length_s, 1), "exit_code": disturbed.returncode}
    note("store away", **figures, items=len(written), recovery_s=recovery_s)


def wait_for(storage: Storage, prefix: str) -> None:
    """Return once something lies there."""
    limit = time.monotonic() + LIMIT_S
    while not storage.list(prefix):
        assert time.monotonic() < limit, "the moment never came"
        time.sleep(0.1)
