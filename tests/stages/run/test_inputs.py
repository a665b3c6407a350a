"""Which version of its inputs a phase reads."""

from pathlib import Path

import pytest

from stages.manifest import ManifestRef
from stages.params import SplitParams
from stages.run.inputs import InputTables
from stages.split import SplitPhase
from tests.made_tables import commit_items

VIDEOS, CLIPS = "videos", "clips"


def commit(root: Path, name: str) -> int:
    """A version of the videos of partition p with one row."""
    row = {"partition": "p", "video_id": name, "uri": name, "status": "kept"}
    return commit_items(ManifestRef(str(root), VIDEOS, "p"), [(name, [row])]).number


@pytest.mark.parametrize(
    ("made", "read"), [({}, "other's"), ({(VIDEOS, "p"): 1}, "ours"), ({(CLIPS, "p"): 1}, "other's")]
)
def test_run_goes_on_from_the_version_that_it_made(tmp_path: Path, made: dict[tuple[str, str], int], read: str) -> None:
    assert [commit(tmp_path, "ours"), commit(tmp_path, "other's")] == [1, 2]
    phase = SplitPhase(SplitParams(), str(tmp_path))
    tables = InputTables(phase, {VIDEOS: [ManifestRef(str(tmp_path), VIDEOS, "p")]}, made)
    kept = tables.tables_for(ManifestRef(str(tmp_path), CLIPS, "p"))[VIDEOS]
    assert kept["video_id"].to_pylist() == [read]
    assert tables.versions == {VIDEOS: {"p": 1 if read == "ours" else 2}}
