"""Which of two versions of a table prevails, by what each was made from and by who started later."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from stages.errors import PhaseError
from stages.manifest import ALL, Commit, ManifestRef, last_commit, read_manifest
from stages.params import DedupParams, ExecutorParams
from stages.phase import Phase, PhaseReport
from stages.pipeline import Pipeline
from stages.run import Session, open_session
from stages.run.lineage import lineage_of_table
from stages.run.phases import PHASE_CLASSES
from stages.run.precedence import Precedence
from stages.run_records import RunRecord, read_runs
from stages.stage import ProcessingStage
from stages.storage import Storage
from stages.tasks import Row, Task, Video, VideoTask
from tests.made_tables import commit_items
from tests.phases import collect_toy

LOCAL = ExecutorParams(mode="local")
OTHER_PARAMS = DedupParams(eps=0.3)


class JoinStage(ProcessingStage[VideoTask, VideoTask]):
    """Lets something else happen while it works."""

    name = "join"
    meanwhile: ClassVar[list[Callable[[], object]]] = []
    """Called once each."""

    def process(self, task: VideoTask) -> VideoTask:
        while self.meanwhile:
            self.meanwhile.pop()()
        return task


class JoinPhase(Phase[DedupParams]):
    """All clips of all partitions, in the place of dedup."""

    inputs: ClassVar[tuple[str, ...]] = ("embeddings",)
    key_columns: ClassVar[tuple[str, ...]] = ("clip_id",)

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        return inputs["embeddings"].select(["partition", "video_id", "clip_id"])

    def task(self, item: Row, task_id: str) -> Task:
        return VideoTask(task_id, data=Video(item["video_id"], "/v", item["partition"], columns=item))

    def pipeline(self) -> Pipeline:
        return Pipeline("join", [JoinStage()], collect=collect_toy)


@pytest.fixture(autouse=True)
def join_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHASE_CLASSES, "dedup", JoinPhase)


def embed(root: Path, partition: str, clip_id: str) -> int:
    """Commit the one clip of a partition."""
    clip = {"partition": partition, "video_id": "v", "clip_id": clip_id, "status": "kept"}
    return commit_items(ManifestRef(str(root), "embeddings", partition), [(clip_id, [clip])]).number


def join(session: Session, root: Path, partitions: str, params: DedupParams | None = None) -> PhaseReport:
    inputs = {"embeddings": [ManifestRef(str(root), "embeddings", f"p{name}") for name in partitions]}
    return session.run_phase(params or DedupParams(), inputs, [ManifestRef(str(root), "unique_clips", ALL)])[ALL]


def run_of_other(root: Path, params: DedupParams | None = None) -> None:
    """A run that goes on from an older version of p1, and knows newer ones of p2 and p3."""
    embed(root, "p2", "b2")
    embed(root, "p3", "c1")
    with open_session(LOCAL) as other:
        other._committed_versions["embeddings", "p1"] = 1
        join(other, root, "123", params)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for partition, clip_id in (("p1", "a1"), ("p1", "a2"), ("p2", "b1")):
        embed(tmp_path, partition, clip_id)
    return tmp_path


def clips(root: Path) -> list[str]:
    return read_manifest(str(root), "unique_clips")["clip_id"].to_pylist()


def test_table_of_all_is_made_again_from_the_newer_parts_of_both_views(root: Path) -> None:
    JoinStage.meanwhile.append(lambda: run_of_other(root))
    with open_session(LOCAL) as session:
        report = join(session, root, "12")
        assert [list(reports) for reports in session.reports] == [[ALL]]
    assert clips(root) == ["a2", "b2", "c1"]
    assert (report.commit, report.superseded, report.missing) == (2, "", 0)
    commit = last_commit(Storage(root), ManifestRef(str(root), "unique_clips", ALL))
    assert commit is not None
    assert commit.lineage["inputs"] == {"embeddings": {"p1": 2, "p2": 2, "p3": 1}}


def test_later_run_with_other_parameters_ends_the_earlier_one(root: Path) -> None:
    JoinStage.meanwhile.append(lambda: run_of_other(root, OTHER_PARAMS))
    with open_session(LOCAL) as session:
        with pytest.raises(
            PhaseError, match=r"by version 1 of run 2 .* started later; against it, .* dedup\.eps"
        ) as told:
            join(session, root, "12")
        assert told.value.reports[ALL].superseded
    assert clips(root) == ["a1", "b2", "c1"]


def test_run_goes_on_from_the_version_that_prevailed_and_from_what_that_was_made_of(root: Path) -> None:
    def newer_run() -> None:
        assert embed(root, "p1", "a3") == 3
        with open_session(LOCAL) as other:
            join(other, root, "12")

    JoinStage.meanwhile.append(newer_run)
    with open_session(LOCAL) as session:
        session._committed_versions["embeddings", "p1"] = 2
        report = join(session, root, "12")
        assert session._committed_versions == {("embeddings", "p1"): 3, ("unique_clips", ALL): 1}
    assert report.superseded.endswith("which was made from newer tables")
    assert (report.commit, report.rows) == (1, 2)
    assert clips(root) == ["a3", "b1"]


OWN_RUN, EARLIER, LATER, UNKNOWN = 2, 1, 3, 9
VIEWS = {
    "older": ({"p1": 1}, {"p1": 2}, EARLIER, (True, False)),
    "newer": ({"p1": 2}, {"p1": 1}, LATER, (False, None)),
    "fewer": ({"p1": 2}, {"p1": 2, "p2": 1}, EARLIER, (True, False)),
    "equal, other started later": ({"p1": 2}, {"p1": 2}, LATER, (True, False)),
    "equal, other started earlier": ({"p1": 2}, {"p1": 2}, EARLIER, (False, None)),
    "equal, record of other is gone": ({"p1": 2}, {"p1": 2}, UNKNOWN, (False, None)),
    "tables were deleted since": ({"p1": 1}, {"p1": 7}, EARLIER, (False, None)),
    "each newer in a part": ({"p1": 2, "p2": 1}, {"p1": 1, "p2": 2}, EARLIER, (True, True)),
    "other without a number": ({"p1": 1}, {"p1": 2}, 0, (False, None)),
}


@pytest.mark.parametrize(("own", "theirs", "run", "expected"), VIEWS.values(), ids=VIEWS)
def test_view_prevails(
    own: dict[str, int], theirs: dict[str, int], run: int, expected: tuple[bool, bool | None], root: Path
) -> None:
    embed(root, "p2", "b2")
    for number in (EARLIER, OWN_RUN, LATER):
        RunRecord.begin(Storage(root), f"id{number}").end()
    phase, output = JoinPhase(DedupParams(), str(root)), ManifestRef(str(root), "unique_clips", ALL)

    def lineage(number: int, inputs: dict[str, int]) -> dict[str, Any]:
        return lineage_of_table(phase, output, run_id=f"id{number}", run_number=number, inputs={"embeddings": inputs})

    precedence = Precedence(phase, output, lineage(OWN_RUN, own))
    gives_way = precedence.gives_way(Commit(1, "", [], {}, {}, lineage(run, theirs)))
    found = precedence.superseded
    assert (gives_way, found and found.is_mixed) == expected
    assert [each.entry.has_ended for each in read_runs(Storage(root))] == [True] * 3
