"""Runs the first two phases, read and split, on one folder, without Dagster."""

from pathlib import Path

from stages.manifest import ManifestRef
from stages.params import ExecutorParams, ReadParams, SplitParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.sources import list_sources, register_sources
from stages.storage import Storage

PARTITION_SIZE = 1024


def register_folder(sources: Path | str, root: Path | str) -> str:
    """Register the sources of a folder as one partition; return its key."""
    listed = list_sources(str(sources), ReadParams())
    (partition,) = register_sources(Storage(root), listed, ReadParams(partition_size=PARTITION_SIZE))
    return partition


def read_and_split(
    sources: Path | str, root: Path | str, split: SplitParams, executor: ExecutorParams
) -> tuple[PhaseReport, PhaseReport]:
    """The reports of the read phase, run in this process, and of the split phase, run by the executor."""
    partition = register_folder(sources, root)
    videos, clips = (ManifestRef(str(root), asset, partition) for asset in ("videos", "clips"))
    with open_session(ExecutorParams(mode="local")) as session:
        read = session.run_phase(ReadParams(), {}, [videos])[partition]
    with open_session(executor) as session:
        return read, session.run_phase(split, {"videos": [videos]}, [clips])[partition]
