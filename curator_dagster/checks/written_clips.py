"""The check that the files of the dataset are as its rows say."""

from collections.abc import Iterator

import pyarrow.compute as pc

from curator_dagster.checks.check_result import CheckResult
from curator_dagster.checks.checked_table import CheckedTable
from stages.tasks import Row
from stages.write import missing_files, sample_clips, unreadable_clips

_COLUMNS = ["clip_id", "status", "path", "preview_path", "metadata_path", "bytes", "num_frames"]
_MAX_DETAILS = 20


def written_clips(checked: CheckedTable) -> CheckResult:
    """Passes where every file of a kept row is there with its size, and each clip of a sample opens with its frames."""
    kept = checked.table(_COLUMNS).filter(pc.field("status") == "kept").to_pylist()
    opened = sample_clips(kept, checked.params.clips_opened)
    damage = list(_damaged_files(checked, kept, opened))
    metadata = {"clips": len(kept), "opened": len(opened), "damaged": len(damage), "allowed": 0}
    description = f"Damaged clips: 0 of {len(kept)} (at most 0), {len(opened)} of them opened."
    if damage:
        description = (
            f"Damaged files: {len(damage)}, of clips: {len(kept)}. The first: {damage[0]} Delete what is damaged and "
            "materialize the partition again: only what is not there is cut anew."
        )
    return CheckResult(
        not damage, description, metadata, [{"damage": each} for each in damage[:_MAX_DETAILS]], len(damage)
    )


def _damaged_files(checked: CheckedTable, kept: list[Row], opened: list[Row]) -> Iterator[str]:
    missing = list(missing_files(checked.storage, checked.report.partition, kept))
    yield from missing
    if not missing:
        yield from unreadable_clips(checked.storage, checked.report.partition, opened)
