"""An object store that goes away at a random moment of `curator run`, for a short or for a long time.

1. Away for less than the waits, nothing of it shows; away for longer, the command ends with exit code 1. It never
   shows a traceback.
2. Every commit and every file that it names is whole.
3. The next run finishes with the tables of a run that was never disturbed, and computes nothing that is in a file.
"""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import fsspec
import pytest
from fsspec.config import conf

from stages.manifest import committed_partitions
from stages.params import ExecutorParams
from stages.storage import Storage
from tests.faults.command import arguments, running_process, wait_for_exit
from tests.faults.measurements import record
from tests.faults.tables import check_files_whole, committed_tables, lasting_rows, tables, versions
from tests.faults.waiting import wait_for
from tests.object_store import ObjectStore
from tests.videos import noise_shot, write_video

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

LAST_MOMENT = "dataset"
"""The moment after which all may be committed before the store goes away."""
MAX_DELAY_S = {
    "manifests/videos": 2.0,
    "frames": 2.0,
    "manifests/clips": 2.0,
    "manifests/filtered_clips": 2.0,
    "manifests/embeddings": 0.3,
    LAST_MOMENT: 0.1,
}
"""By what must have been written, the longest time until the store goes away: the end of small videos is made fast."""


def running_curator(
    bucket: str, root: str, *, tries: int = ExecutorParams().max_tries
) -> AbstractContextManager[subprocess.Popen[str]]:
    """`curator run` on a Ray of its own, from the bucket into the bucket."""
    settings: dict[str, object] = {"split.min_length_s": 1, "executor.num_workers": 2, "executor.max_tries": tries}
    settings["read.exact_copies"] = False
    settings["filter.score_only"] = ["all"]  # filters reject noise, of which the videos are made
    return running_process(arguments(f"{bucket}/in", f"{bucket}/{root}", settings))


def finish(bucket: str, root: str) -> float:
    """Run to the end, which must be a success; return the seconds that this took."""
    started = time.monotonic()
    with running_curator(bucket, root) as run:
        code, output = wait_for_exit(run)
    assert code == 0, output
    return round(time.monotonic() - started, 1)


@pytest.fixture(scope="module")
def bucket(s3_server: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket with eight sources in `in`, and the root of an undisturbed run in `reference`."""
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
        finish(bucket, "reference")
        yield bucket


@pytest.mark.parametrize("seed", range(12))
def test_outage_at_a_random_moment_loses_nothing(seed: int, bucket: str, s3_server: ObjectStore) -> None:
    rng, is_short, storage = random.Random(seed), seed % 2 == 0, Storage(f"{bucket}/out-{seed}")
    stop_signal = [signal.SIGINT, signal.SIGKILL, signal.SIGSTOP][seed // 2 % 3]
    length_s, tries = (rng.uniform(1, 4), 8) if is_short else (rng.uniform(20, 40), 2)
    moment = rng.choice(list(MAX_DELAY_S))
    with running_curator(bucket, f"out-{seed}", tries=tries) as disturbed:
        wait_for(disturbed, lambda: bool(storage.list(moment)))
        time.sleep(rng.uniform(0, MAX_DELAY_S[moment]))
        is_hit = disturbed.poll() is None and not committed_partitions(storage, "dataset")
        with s3_server.outage(stop_signal):
            time.sleep(length_s)
        code, output = wait_for_exit(disturbed)
    assert is_hit or moment == LAST_MOMENT, output
    assert "Traceback" not in output
    assert code == 0 or (code == 1 and not is_short), output
    check_versions(storage)
    recovery_s = finish(bucket, f"out-{seed}")
    assert tables(storage.root) == tables(f"{bucket}/reference")
    written = lasting_rows(storage.root)
    assert set(written.values()) == {1}, "what is in a file is not computed again"
    figures = {
        "how": stop_signal.name,
        "moment": moment,
        "hit": is_hit,
        "seconds": round(length_s, 1),
        "exit_code": code,
    }
    record("store away", **figures, items=len(written), recovery_s=recovery_s)


def check_versions(storage: Storage) -> None:
    """Every version of every table can be read, and every file that it names is whole."""
    for ref in committed_tables(storage):
        for commit in versions(storage, ref):
            check_files_whole(storage, ref, commit)
