"""Processes that publish versions of one root at once, and are killed at random moments.

1. Whenever a version is the newest, every file that it names is in ``dataset/``.
2. After the last run, ``dataset/`` holds exactly the files of the newest version.
3. Every file that any version names is in ``dataset/`` or ``former/``.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stages.manifest import ManifestRef, load_commit, load_version, newest_version, read_commit, version_numbers
from stages.storage import Storage
from stages.write.publishing import named_files, present_files, publish
from tests.faults.measurements import record
from tests.faults.waiting import wait_until

pytestmark = pytest.mark.system

PARTITION = "p"
CLIPS = 12
PROGRAM = """
import sys
from tests.faults.test_publishing import publish_at_random
publish_at_random(sys.argv[1], int(sys.argv[2]))
"""


def publish_at_random(root: str, seed: int) -> None:
    """Commit and publish tables of random variants of clips, as runs with changing parameters do, until killed."""
    from tests.made_tables import commit_items

    chance, storage = random.Random(seed), Storage(root)
    ref = ManifestRef(storage.root, "dataset", PARTITION)
    while True:
        rows = [
            {
                "partition": PARTITION,
                "clip_id": f"{number:020x}",
                "path": f"{PARTITION}/{number:020x}-{chance.randrange(3):08x}.mp4",
                "metadata_path": f"{PARTITION}/{number:020x}-{chance.randrange(3):08x}.json",
                "status": "kept",
            }
            for number in range(CLIPS)
            if chance.random() < 0.7
        ]
        for row in rows:
            for path in (row["path"], row["metadata_path"]):
                if not storage.exists(f"dataset/{path}") and not storage.exists(f"former/{path}"):
                    storage.write_bytes(f"former/{path}", path.encode())
        commit_items(ref, [(f"{seed} {chance.random()}", [row]) for row in rows])
        publish(storage, [ref])


@contextmanager
def running(root: str, seed: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", PROGRAM, root, str(seed)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        try:
            yield process
        finally:
            process.kill()


def files_of(storage: Storage, number: int) -> set[str]:
    """The files that a version names."""
    ref = ManifestRef(storage.root, "dataset", PARTITION)
    commit = load_version(storage, number).commit_of("dataset", PARTITION)
    return named_files(read_commit(storage, ref, load_commit(storage, ref, commit)), PARTITION) if commit else set()


def check_newest(storage: Storage) -> bool:
    """Check the first promise; False where another version came meanwhile, so that nothing can be said."""
    version = newest_version(storage)
    if version is None:
        return False
    missing = files_of(storage, version.number) - present_files(storage, PARTITION)
    if version_numbers(storage)[-1] != version.number:
        return False
    assert not missing, f"version {version.number} names files that are not in dataset/: {sorted(missing)}"
    return True


@pytest.mark.parametrize(
    ("kills", "where"),
    [
        (6, "folder"),
        pytest.param(60, "folder", marks=pytest.mark.long),
        pytest.param(20, "bucket", marks=pytest.mark.long),
    ],
)
@pytest.mark.timeout(1800)
def test_killed_publishers_lose_no_file(kills: int, where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = str(tmp_path / "root") if where == "folder" else f"{request.getfixturevalue('s3_bucket')}/root"
    storage, chance = Storage(root), random.Random(kills)
    checks = 0
    for number in range(kills):
        before = len(version_numbers(storage))
        with running(root, 2 * number) as first, running(root, 2 * number + 1) as second:
            wait_until(
                lambda before=before: len(version_numbers(storage)) > before + 1,
                describe=lambda: [info.path for info in storage.list("leases")],
            )
            ends_at = time.monotonic() + chance.uniform(0, 0.5)
            while time.monotonic() < ends_at:
                checks += check_newest(storage)
            for process in (first, second):
                process.send_signal(signal.SIGKILL)
                process.wait()
        assert check_newest(storage), "nobody publishes now"
        checks += 1
    publish(storage, [ManifestRef(storage.root, "dataset", PARTITION)])
    newest = version_numbers(storage)[-1]
    assert present_files(storage, PARTITION) == files_of(storage, newest)
    everywhere = present_files(storage, PARTITION) | present_files(storage, PARTITION, "former")
    for number in version_numbers(storage):
        assert files_of(storage, number) <= everywhere
    record("killed publishers", kills=2 * kills, versions=newest, checks=checks, where=where)
