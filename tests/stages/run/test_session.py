"""What every phase may rely on: resume by item, commits, decisions, the failed share."""

import json
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from stages.errors import ManifestError, ParamsError, PhaseError
from stages.manifest import ManifestRef, read_manifest
from stages.params import EmbedParams, ExecutorParams, FilterParams, Params, ReadParams, SplitParams
from stages.phase import PhaseReport
from stages.run.phases import PHASE_CLASSES, check_phases
from stages.run.progress import Progress
from stages.run.session import open_session
from stages.tasks import Row, VideoTask
from tests.phases import ToyPhase, register_names

LOCAL = ExecutorParams(mode="local", max_tries=1)


@pytest.fixture(autouse=True)
def work_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The toy phase in place of read; returns the file in which it notes each item that it works on."""
    monkeypatch.setitem(PHASE_CLASSES, "read", ToyPhase)
    log = tmp_path / "worked.txt"
    log.touch()
    monkeypatch.setattr(ToyPhase, "log", str(log))
    return log


def run(root: Path, partitions: list[str], params: ReadParams | None = None) -> dict[str, PhaseReport]:
    outputs = [ManifestRef(str(root), "videos", partition) for partition in partitions]
    with open_session(LOCAL) as session:
        return session.run_phase(params or ReadParams(max_failed_fraction=1), {}, outputs)


def test_run_phase_gives_every_item_a_row(tmp_path: Path) -> None:
    (partition,) = register_names(tmp_path, ["a", "corrupt", "offline", "short"])
    report = run(tmp_path, [partition])[partition]
    rows = {row["uri"][8:]: row for row in read_manifest(str(tmp_path), "videos").to_pylist()}
    assert {name: (row["status"], row["reason"]) for name, row in rows.items()} == {
        "a": ("kept", None),
        "corrupt": ("failed", "corrupt_stream"),
        "offline": ("failed", "storage"),
        "short": ("rejected", "too_short"),
    }
    assert (report.items, report.computed, report.missing) == (4, 4, 0)
    assert "StageError: the picture is torn" in rows["corrupt"]["error"]


def test_run_phase_reuses_all_but_passing_failures(tmp_path: Path, work_log: Path) -> None:
    partitions = register_names(tmp_path, ["a", "corrupt", "offline", "short"])
    first = run(tmp_path, partitions)[partitions[0]]
    work_log.write_text("")
    second = run(tmp_path, partitions)[partitions[0]]
    assert work_log.read_text().split() == ["/videos/offline"]
    assert (second.reused, second.computed) == (3, 1)
    assert (second.commit, second.data_version) == (first.commit, first.data_version)


def test_run_phase_tries_chosen_failures_again(tmp_path: Path, work_log: Path) -> None:
    partitions = register_names(tmp_path, ["a", "corrupt", "offline", "short"])
    run(tmp_path, partitions)
    work_log.write_text("")
    again = ReadParams(max_failed_fraction=1, retry_reasons=["corrupt_stream"])
    report = run(tmp_path, partitions, again)[partitions[0]]
    assert set(work_log.read_text().split()) == {"/videos/corrupt", "/videos/offline"}
    assert (report.reused, report.computed) == (2, 2)


class MendedPhase(ToyPhase):
    """The same work, which nothing disturbs any more."""

    def task(self, item: Row, task_id: str) -> VideoTask:
        return super().task({**item, "uri": item["uri"].replace("corrupt", "mended")}, task_id)


def test_run_phase_keeps_to_the_try_that_went_well(
    tmp_path: Path, work_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = register_names(tmp_path, ["a", "corrupt"])
    first = run(tmp_path, partitions)[partitions[0]]
    monkeypatch.setitem(PHASE_CLASSES, "read", MendedPhase)
    again = ReadParams(max_failed_fraction=1, retry_reasons=["corrupt_stream"])
    mended = run(tmp_path, partitions, again)[partitions[0]]
    assert (mended.counts["kept"], mended.commit) == (2, 2)
    assert mended.data_version != first.data_version
    work_log.write_text("")
    last = run(tmp_path, partitions)[partitions[0]]
    assert work_log.read_text() == ""
    assert (last.reused, last.commit, last.counts["failed"]) == (2, 2, 0)


@pytest.mark.parametrize(("transient", "worked"), [(["corrupt_stream"], "corrupt"), (["storage"], "offline")])
def test_run_phase_takes_for_passing_what_it_is_told(
    tmp_path: Path, work_log: Path, transient: list[str], worked: str
) -> None:
    partitions = register_names(tmp_path, ["a", "corrupt", "offline"])
    run(tmp_path, partitions)
    work_log.write_text("")
    outputs = [ManifestRef(str(tmp_path), "videos", partitions[0])]
    with open_session(ExecutorParams(mode="local", max_tries=2, backoff_s=0, transient=transient)) as session:
        session.run_phase(ReadParams(max_failed_fraction=1), {}, outputs)
    assert set(work_log.read_text().split()) == {f"/videos/{worked}"}


def test_run_phase_computes_only_what_is_new(tmp_path: Path, work_log: Path) -> None:
    run(tmp_path, register_names(tmp_path, ["a", "b"]))
    work_log.write_text("")
    partitions = register_names(tmp_path, ["a", "b", "c"])
    assert len(partitions) == 2
    run(tmp_path, partitions)
    assert work_log.read_text().split() == ["/videos/c"]
    assert len(read_manifest(str(tmp_path), "videos")) == 3


def test_run_phase_resumes_from_files_without_commit(tmp_path: Path, work_log: Path) -> None:
    partitions = register_names(tmp_path, ["a", "b"])
    run(tmp_path, partitions)
    (commit,) = tmp_path.glob("manifests/videos/*/_commits/1.json")
    commit.unlink()
    work_log.write_text("")
    report = run(tmp_path, partitions)[partitions[0]]
    assert work_log.read_text() == ""
    assert (report.reused, report.commit) == (2, 1)


def test_run_phase_recomputes_when_code_version_changes(
    tmp_path: Path, work_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = register_names(tmp_path, ["a"])
    run(tmp_path, partitions)
    monkeypatch.setattr(ReadParams, "code_version", "next")
    report = run(tmp_path, partitions)[partitions[0]]
    assert (report.computed, report.commit) == (1, 2)


class StrictPhase(ToyPhase):
    """Decides anew that nothing may be called b."""

    refused: ClassVar[str] = "b"

    def decision_key(self) -> str:
        return f"refuse {self.refused}"

    def decide(self, row: Row) -> Row:
        refused = row["uri"].endswith(self.refused)
        return {**row, "status": "rejected" if refused else "kept", "reason": "name" if refused else None}


def test_run_phase_decides_again_without_work(tmp_path: Path, work_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partitions = register_names(tmp_path, ["a", "b"])
    run(tmp_path, partitions)
    work_log.write_text("")
    monkeypatch.setitem(PHASE_CLASSES, "read", StrictPhase)
    report = run(tmp_path, partitions)[partitions[0]]
    assert work_log.read_text() == ""
    assert (report.redecided, report.computed, report.counts["rejected"], report.commit) == (2, 0, 1, 2)


def test_run_phase_goes_back_to_earlier_decisions(
    tmp_path: Path, work_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions = register_names(tmp_path, ["a", "b"])
    first = run(tmp_path, partitions)[partitions[0]]
    with monkeypatch.context() as patch:
        patch.setitem(PHASE_CLASSES, "read", StrictPhase)
        run(tmp_path, partitions)
    back = run(tmp_path, partitions)[partitions[0]]
    assert (back.reused, back.redecided, back.commit) == (2, 0, 3)
    assert back.data_version == first.data_version


def test_run_phase_commits_before_it_rejects_the_failed_share(tmp_path: Path) -> None:
    partitions = register_names(tmp_path, ["a", "corrupt", "corrupt2"])
    with pytest.raises(PhaseError, match=r"at most 50%.*got 2 of 3") as caught:
        run(tmp_path, partitions, ReadParams())
    assert list(caught.value.reports) == partitions
    assert len(read_manifest(str(tmp_path), "videos")) == 3


def test_run_phase_rejects_a_missing_input(tmp_path: Path) -> None:
    output = ManifestRef(str(tmp_path), "embeddings", "p")
    source = ManifestRef(str(tmp_path), "filtered_clips", "p")
    with open_session(LOCAL) as session, pytest.raises(ManifestError, match="Materialize it first"):
        session.run_phase(EmbedParams(), {"filtered_clips": [source]}, [output])


def test_run_phase_tells_progress_over_partitions(tmp_path: Path) -> None:
    partitions = register_names(tmp_path, ["a", "b", "corrupt"], partition_size=1)
    seen: list[Progress] = []
    outputs = [ManifestRef(str(tmp_path), "videos", partition) for partition in partitions]
    with open_session(LOCAL, seen.append) as session:
        session.run_phase(ReadParams(max_failed_fraction=1), {}, outputs)
    assert (seen[-1].done, seen[-1].failed, seen[-1].total) == (3, 1, 3)
    assert (seen[-1].share, seen[-1].remaining_s) == (1, 0)


class CostlyPhase(ToyPhase):
    """Items take as long as their name says."""

    longest_first = True

    def cost(self, item: Row) -> float:
        return float(item["uri"].rsplit("-", 1)[-1])


def test_run_phase_begins_with_the_longest_items(
    tmp_path: Path, work_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PHASE_CLASSES, "read", CostlyPhase)
    run(tmp_path, register_names(tmp_path, ["a-1", "b-7", "c-2"]))
    assert work_log.read_text().split() == ["/videos/b-7", "/videos/c-2", "/videos/a-1"]


def test_run_phase_finishes_the_partitions_that_can_be_begun(tmp_path: Path) -> None:
    first, second = register_names(tmp_path, ["a", "b"], partition_size=1)
    with pytest.raises(PhaseError, match=r"1 of 3 partitions could not be begun, the first is 'nowhere'") as caught:
        run(tmp_path, [first, "nowhere", second])
    assert set(caught.value.reports) == {first, second}
    assert len(read_manifest(str(tmp_path), "videos")) == 2


class OddPhase(ToyPhase):
    """Some rows do not fit the table, and some decisions raise."""

    def decide(self, row: Row) -> Row:
        name = row["uri"].rsplit("/", 1)[-1]
        if name == "raises":
            raise ZeroDivisionError("in a user's decision")
        odd: dict[str, Row] = {
            "number": {"width": "wide"},
            "fate": {"status": "lost"},
            "text": {"status": "failed", "reason": "stage_error", "error": "caf\udce9"},
        }
        return {**row, **odd.get(name, {})}


@pytest.mark.parametrize("name", ["raises", "number", "fate", "text"])
def test_run_phase_fails_only_the_item_whose_rows_are_odd(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PHASE_CLASSES, "read", OddPhase)
    partitions = register_names(tmp_path, ["a", name, "z"])
    report = run(tmp_path, partitions)[partitions[0]]
    assert (report.counts, report.missing) == ({"kept": 2, "rejected": 0, "failed": 1}, 0)
    assert report.reasons == {"stage_error": 1}


def test_run_phase_repairs_a_table_whose_row_file_is_gone(tmp_path: Path, work_log: Path) -> None:
    partitions = register_names(tmp_path, ["a", "b"])
    run(tmp_path, partitions)
    (rows,) = tmp_path.glob("manifests/videos/*/rows-*.parquet")
    rows.unlink()
    report = run(tmp_path, partitions)[partitions[0]]
    assert (report.computed, report.commit) == (2, 2)
    assert len(read_manifest(str(tmp_path), "videos")) == 2


def test_run_phase_computes_again_what_a_damaged_file_held(tmp_path: Path) -> None:
    partitions = register_names(tmp_path, ["a", "b"])
    run(tmp_path, partitions)
    (rows,) = tmp_path.glob("manifests/videos/*/rows-*.parquet")
    rows.write_bytes(rows.read_bytes()[:-100])
    report = run(tmp_path, partitions)[partitions[0]]
    assert report.computed == 2


def test_commit_names_the_run_and_the_inputs(tmp_path: Path) -> None:
    partitions = register_names(tmp_path, ["a"])
    run(tmp_path, partitions)
    (path,) = tmp_path.glob("manifests/videos/*/_commits/1.json")
    lineage = json.loads(path.read_text())["lineage"]
    assert len(lineage["run_id"]) == 32
    assert lineage["inputs"] == {}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (FilterParams(filters=["size", "sise"]), "filter must be one of .*got 'sise'"),
        (FilterParams(filters=["nowhere.filters:Text"]), "requires nowhere.filters:Text, which cannot be imported"),
        (
            SplitParams(method="os:system"),
            "splitter must be a class with the methods .* 'os:system' is no class but a builtin_function_or_method",
        ),
        (EmbedParams(embedder="clap"), "embedder must be one of .*got 'clap'"),
    ],
)
def test_check_phases_rejects_before_any_work(tmp_path: Path, params: Params, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_phases([params], str(tmp_path))
    assert not list(tmp_path.glob("manifests"))


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_run_phase_rejects_a_root_that_workers_cannot_see(mode: Literal["streaming", "batch"]) -> None:
    with open_session(ExecutorParams(mode=mode)) as session, pytest.raises(ParamsError, match="What lies in memory"):
        session.run_phase(ReadParams(), {}, [ManifestRef("memory://root", "videos", "p")])
