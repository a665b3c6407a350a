"""An object store that goes away while it is used, and comes back.

1. An operation that failed in passing is tried again; away for less than the waits, nothing of it shows in the tables.
2. Away for longer, the phase or the command stops with one clear line and exit code 1. The next run finishes with the
   tables of a run that was never disturbed.
3. A source that cannot be read on is a passing failure, never a damaged or a shorter video.
4. An exclusive creation whose answer was lost is still exclusive, and known as ours.
"""

import dataclasses
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.config import conf

from curator_dagster.cli import app
from stages import retry
from stages.errors import SourceError, StorageError, StorageUnavailable
from stages.manifest import ManifestRef, read_manifest
from stages.media import decode_frames, open_video
from stages.params import ExecutorParams, ReadParams
from stages.phase import PhaseReport
from stages.retry import Backoff
from stages.run import Progress, open_session
from stages.storage import Storage, open_source, stat_source
from stages.tasks import Row
from tests.faults.command import arguments
from tests.faults.first_phases import register_folder
from tests.faults.lossy_proxy import LossyProxy
from tests.object_store import ObjectStore
from tests.videos import noise_shot, noisy_video, write_video

MANY_TRIES = ExecutorParams(mode="local", max_tries=80, backoff_s=0.25, max_backoff_s=1)
FEW_TRIES = ExecutorParams(mode="local", max_tries=2, backoff_s=0.05)


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
    partition = register_folder(sources, root)
    with open_session(executor, on_progress) as session:
        return session.run_phase(ReadParams(), {}, [ManifestRef(root, "videos", partition)])[partition]


def ignore(_: Progress) -> None:
    """Do nothing."""


def rows(root: str) -> list[Row]:
    return read_manifest(root, "videos").to_pylist()


@dataclasses.dataclass
class Outage:
    """Stops a store at the first sign of progress."""

    store: ObjectStore
    restart: threading.Timer | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.done == 1 and self.restart is None:
            self.store.stop(signal.SIGKILL)
            self.restart = threading.Timer(0.5, self.store.start)
            self.restart.start()

    def end(self) -> None:
        """Return once the store is back."""
        assert self.restart is not None
        self.restart.join()


def test_short_outage_is_waited_for(sources: str, s3_bucket: str, s3_server: ObjectStore) -> None:
    read(sources, f"{s3_bucket}/reference", MANY_TRIES, ignore)
    outage = Outage(s3_server)
    try:
        report = read(sources, f"{s3_bucket}/out", MANY_TRIES, outage)
    finally:
        outage.end()
    assert report.counts == {"kept": 3, "rejected": 0, "failed": 0}
    assert rows(f"{s3_bucket}/out") == rows(f"{s3_bucket}/reference")


@pytest.mark.system
def test_long_outage_stops_the_phase_and_the_next_run_finishes(
    sources: str, s3_bucket: str, s3_server: ObjectStore
) -> None:
    root = f"{s3_bucket}/out"
    with pytest.raises(StorageError, match=r"must answer, got no good answer to .* in 2 tries over \d+ s: .* goes on"):
        read(sources, root, FEW_TRIES, lambda progress: s3_server.stop(signal.SIGKILL))
    s3_server.start()
    assert Storage(root).list("manifests") == []
    assert read(sources, root, FEW_TRIES, ignore).computed == 3
    read(sources, f"{s3_bucket}/reference", MANY_TRIES, ignore)
    assert rows(root) == rows(f"{s3_bucket}/reference")


def test_curator_run_says_in_one_line_that_the_store_is_away(
    sources: str, s3_bucket: str, s3_server: ObjectStore, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"executor.mode": "local", "executor.max_tries": 2, "executor.backoff_s": 0.01}
    with s3_server.outage(signal.SIGKILL), pytest.raises(SystemExit) as exit_info:
        app(arguments(sources, f"{s3_bucket}/out", settings))
    output = capfd.readouterr().err
    assert exit_info.value.code == 1
    assert output.splitlines()[-1].startswith(f"curator: {s3_bucket}/out must answer, got no good answer to listing")
    assert "Traceback" not in output


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
        with s3_server.outage(signal.SIGKILL):
            assert [end_of(decoder) for decoder in decoders] == [StorageUnavailable] * 3


def test_source_is_read_on_after_a_short_outage(decoders: list[Iterator[int]], s3_server: ObjectStore) -> None:
    with retry.using(Backoff(60, 0.1, 0.5)):
        assert [next(decoder) for decoder in decoders] == [0, 0, 0]
        s3_server.stop(signal.SIGKILL)
        restart = threading.Timer(0.3, s3_server.start)
        restart.start()
        try:
            ends = [end_of(decoder) for decoder in decoders]
        finally:
            restart.join()
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


class ResumeAfterTwoRetries(logging.Handler):
    """Resumes a suspended store at the second logged retry; keeps the messages."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__()
        self.store = store
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        if len(self.messages) == 2:
            self.store.resume()


def test_hanging_store_is_asked_again(s3_bucket: str, s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conf["s3"], "config_kwargs", {"read_timeout": 0.3})
    storage, handler = Storage(f"{s3_bucket}/root"), ResumeAfterTwoRetries(s3_server)
    storage.write_bytes("a", b"1")
    monkeypatch.setattr(logging.getLogger("stages"), "handlers", [handler])
    with retry.using(Backoff(100, 0.1, 0.1)), s3_server.outage(signal.SIGSTOP):
        started = time.monotonic()
        assert storage.read_bytes("a") == b"1"  # it hangs until it was asked again twice
    assert time.monotonic() - started > 2 * 0.3
    assert len(handler.messages) >= 2
    assert all(": reading a failed, tried again in 0.1 s: " in message for message in handler.messages)


def test_create_bytes_knows_its_own_file_when_the_answer_was_lost(
    s3_bucket: str, s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LossyProxy(s3_server.url) as proxy, retry.using(Backoff(30, 0.05, 0.5)):
        monkeypatch.setitem(conf["s3"], "endpoint_url", proxy.url)
        monkeypatch.setitem(conf["s3"], "config_kwargs", {"read_timeout": 5})
        storage = Storage(f"{s3_bucket}/root")
        proxy.drop_next_response()
        assert storage.create_bytes("1.json", b"ours")
        proxy.drop_next_response()
        assert not storage.create_bytes("1.json", b"another's")
        assert proxy.num_dropped == 2
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
