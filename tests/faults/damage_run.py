"""Runs damaged sources through the phases that read sources: read, split and write."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import av

from stages.errors import Reason
from stages.manifest import ManifestRef, read_manifest
from stages.params import Params, ReadParams, SplitParams, WriteParams
from stages.run import Inputs, Session
from stages.tasks import Row
from tests.faults.first_phases import register_folder
from tests.made_tables import commit_items

REASON_BY_ERROR = {
    "UnreadableSource": Reason.UNREADABLE,
    "NoVideoStream": Reason.NO_VIDEO_STREAM,
    "CorruptStream": Reason.CORRUPT_STREAM,
    "StageError": Reason.STAGE_ERROR,
}
"""Error classes that the error of a failed row may name, with the row's reason. For a lost worker it is PoolError."""


class DamagedSource(Protocol):
    """A damaged source that can be written to a folder."""

    @property
    def kind(self) -> str:
        """The kind of damage."""
        ...

    def make(self, folder: Path) -> Path:
        """Write the source below the folder; return its path."""
        ...


@dataclass
class OutcomeCounts:
    """Counts of the outcomes of damaged copies.

    Attributes:
        outcomes: copies by kind of damage and outcome: kept, or the phase and the reason of the row that ended it.
        clips: written clips by the method of cutting.
        deaths: lost workers by phase and reason.
        longest_s: duration of the longest batch by phase.
        problems: a message for each row that violates an invariant.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=lambda: Counter())
    clips: Counter[str] = field(default_factory=lambda: Counter())
    deaths: Counter[str] = field(default_factory=lambda: Counter())
    longest_s: dict[str, float] = field(default_factory=lambda: {})
    problems: list[str] = field(default_factory=lambda: [])


class DamageRun:
    """Runs one batch of copies after another through the phases.

    Args:
        folder: for copies and tables of one batch; removed after it.
        session: runs the phases.
        split: parameters of the split phase.
    """

    def __init__(self, folder: Path, session: Session, split: SplitParams) -> None:
        self.counts = OutcomeCounts()
        self._folder = folder
        self._session = session
        self._split = split
        self._root = str(folder / "root")

    def run(self, copies: Sequence[DamagedSource]) -> None:
        """Make the damaged copies, run read, split and write on them, and count the outcomes."""
        sources = self._folder / "sources"
        sources.mkdir(parents=True)
        uris = {str(copy.make(sources)): copy.kind for copy in copies}
        partition = register_folder(sources, self._root)
        videos = self._phase(ReadParams(max_failed_fraction=1, exact_copies=False), {}, partition)
        clips = self._phase(self._split, {"videos": [ManifestRef(self._root, "videos", partition)]}, partition)
        kept = [row for row in clips if row["status"] == "kept"]
        inputs: Inputs = {
            "unique_clips": [commit(self._root, "unique_clips", partition, kept)],
            "filtered_clips": [commit(self._root, "filtered_clips", partition, kept)],
            "captions": [commit(self._root, "captions", partition, [])],
        }
        written = self._phase(WriteParams(quality=40, max_failed_fraction=1), inputs, partition)
        self._count(uris, videos, clips, written)
        shutil.rmtree(self._folder, ignore_errors=True)  # the record of the run may be written meanwhile

    def _phase(self, params: Params, inputs: Inputs, partition: str) -> list[Row]:
        output = ManifestRef(self._root, params.asset, partition)
        report = self._session.run_phase(params, inputs, [output])[partition]
        for stats in report.stages.values():
            self.counts.deaths.update({f"{params.phase}: {reason}": count for reason, count in stats.deaths.items()})
            self.counts.longest_s[params.phase] = max(self.counts.longest_s.get(params.phase, 0), stats.longest_s)
        rows = read_manifest(self._root, params.asset, partition).to_pylist()
        self.counts.problems += [message for row in rows if (message := problem(params.phase, row))]
        return rows

    def _count(self, uris: dict[str, str], videos: list[Row], clips: list[Row], written: list[Row]) -> None:
        counts, outcome_of = self.counts, {row["uri"]: f"read: {row['reason']}" for row in videos}
        assert sorted(outcome_of) == sorted(uris)
        assert len(videos) == len(uris)
        kept = {row["uri"] for row in videos if row["status"] == "kept"}
        assert {row["uri"] for row in clips} == kept
        outcome_of.update({row["uri"]: f"split: {row['reason']}" for row in clips})
        assert [row["clip_id"] for row in written] == [row["clip_id"] for row in clips if row["status"] == "kept"]
        outcome_of.update({row["uri"]: "kept" for row in written})
        outcome_of.update({row["uri"]: f"write: {row['reason']}" for row in written if row["status"] != "kept"})
        counts.outcomes.update((uris[uri], outcome) for uri, outcome in outcome_of.items())
        counts.clips.update(row["cut"] or row["reason"] for row in written)
        for row in written:
            if (
                row["status"] == "kept"
                and (frames := frames_of(f"{self._root}/dataset/{row['path']}")) != row["num_frames"]
            ):
                counts.problems.append(f"write: {row['uri']} holds {frames} frames, not {row['num_frames']}")


def problem(phase: str, row: Row) -> str | None:
    """A message if the outcome of a row is inconsistent, else None."""
    if row["status"] == "kept":
        return None
    name, _, message = (row["error"] or "").partition(": ")
    lost = name == "PoolError" and "workers were lost" in message
    rejected = row["status"] == "rejected" and row["reason"] in list(Reason) and row["error"]
    if rejected or (row["status"] == "failed" and message and (lost or REASON_BY_ERROR.get(name) == row["reason"])):
        return None
    return f"{phase}: {row['uri']}: {row['status']}, {row['reason']}, {row['error']}"


def frames_of(path: str) -> int:
    """Number of frames by the header of a written clip."""
    with av.open(path) as container:
        return container.streams.video[0].frames


def commit(root: str, asset: str, partition: str, rows: list[Row]) -> ManifestRef:
    """Commit these rows as the asset's table, one item per row."""
    ref = ManifestRef(root, asset, partition)
    commit_items(ref, ((row["clip_id"], [row]) for row in rows))
    return ref
