"""The check that the dataset's files are what its rows say."""

from collections.abc import Iterator

import pyarrow.compute as pc

from curator_dagster.checks.verdict import Subject, Verdict
from stages.tasks import Row
from stages.write import missing_files, sample_clips, unreadable_clips

_COLUMNS = ["clip_id", "status", "path", "preview_path", "metadata_path", "bytes", "num_frames"]
_SHOWN = 20


def written_clips(subject: Subject) -> Verdict:
    """Passes where every file of a kept row is there with its size, and each clip of a sample opens with its frames."""
    kept = subject.table(_COLUMNS).filter(pc.field("status") == "kept").to_pylist()
    opened = sample_clips(kept, subject.params.clips_opened)
    damage = list(_damage(subject, kept, opened))
    figures = {"clips": len(kept), "opened": len(opened), "damaged": len(damage)}
    told = f"Damaged clips: 0 of {len(kept)}, {len(opened)} of them opened."
    if damage:
        told = (
            f"Damaged files: {len(damage)}, of clips: {len(kept)}. The first: {damage[0]} Delete what is damaged and "
            "materialize the partition again: only what is not there is cut anew."
        )
    return Verdict(not damage, told, figures, [{"damage": each} for each in damage[:_SHOWN]], len(damage))


def _damage(subject: Subject, kept: list[Row], opened: list[Row]) -> Iterator[str]:
    missing = list(missing_files(subject.storage, subject.report.partition, kept))
    yield from missing
    if not missing:
        yield from unreadable_clips(subject.storage, opened)
