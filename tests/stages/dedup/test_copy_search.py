"""The search for copies is divided among workers, and finds the same in whatever parts it is done."""

import itertools
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages.dedup import copy_candidates, copy_votes
from stages.dedup.copy_candidates import LookedFor, StoredLandmarks, find_candidates
from stages.dedup.copy_landmarks import Landmarks
from stages.dedup.copy_pairs import CopyPairs, copy_pairs
from stages.dedup.copy_parts import FOLDER, PictureSource, remove_landmarks, save_landmarks
from stages.dedup.copy_views import MORE_WINDOWS, STORED_WINDOWS, WINDOWS
from stages.dedup.copy_votes import PLACEMENTS_MAX, best_candidates
from stages.dedup.copy_windows import PARTS, WHOLE
from stages.dedup.dedup_tasks import DedupTask, FoundTask, SearchTask, again, collect, name_of
from stages.dedup.phase import DedupPhase, steps_of
from stages.dedup.searches import VECTORS, Deciding
from stages.dedup.stage import DedupStage, SearchStage
from stages.errors import StageError
from stages.executors.local import LocalExecutor
from stages.manifest import ALL, ManifestRef
from stages.params import DedupParams, ExecutorParams
from stages.pipeline import Pipeline, RunStats
from stages.run.inputs import InputTables
from stages.run.rounds import run_rounds
from stages.run.table_run import TableRun
from stages.stage import NodeInfo, WorkerMetadata
from stages.storage import Storage
from tests.stages.dedup.drawn_clips import clip, crop, mark
from tests.stages.dedup.random_hashes import RANDOM, landmarks, random_hashes
from tests.stages.dedup.tables import Library
from tests.stages.dedup.test_copy_step import add


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Of a there are two copies, d and e; b and c have none."""
    made = Library(tmp_path_factory.mktemp("library"))
    add(made, "p1", {"a": clip(), "c": clip(seed=2, action=3)})
    add(made, "p2", {"b": clip(seed=3, action=4), "d": clip(0.5, 3.0, speed=1.5, change=mark)})
    add(made, "p3", {"e": clip(change=crop(0.85, 0.2, 0.2))})
    return made


def looked_for(new: Landmarks) -> LookedFor:
    """Of the five pictures of each clip, three are looked for other than whole."""
    some = np.isin(np.arange(len(new.clip)) % 5, (0, 1, 3))
    return LookedFor(Landmarks(new.clip, new.hashes[:, :1]), Landmarks(new.clip[some], new.hashes[some, 1:]))


@pytest.mark.parametrize("is_large", [False, True])
def test_candidates_do_not_depend_on_who_looks_for_which_clip(is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_candidates, "QUERY_BATCH", 33)
    pictures = random_hashes(20)
    stored = StoredLandmarks(landmarks(12, len(STORED_WINDOWS), pictures))
    new = landmarks(12, len(WINDOWS), pictures)
    whole = find_candidates(looked_for(new), stored, is_large=is_large)
    assert len(whole) == PLACEMENTS_MAX * 12 * 11 / 2
    for bounds in ([0, 12], [0, 1, 5, 6, 12]):
        parts = []
        for begin, end in itertools.pairwise(bounds):
            mine = (new.clip >= begin) & (new.clip < end)
            part = Landmarks(new.clip[mine], new.hashes[mine])
            parts.append(find_candidates(looked_for(part), stored, is_large=is_large))
        assert best_candidates(parts[::-1]).equals(whole)


def test_windows_with_most_weight_of_all_pictures_are_the_best() -> None:
    """By sums over all pairs of pictures."""
    pictures = random_hashes(6)
    stored, new = landmarks(4, len(STORED_WINDOWS), pictures), landmarks(4, len(WINDOWS), pictures)
    sums: dict[tuple[int, int], dict[tuple[bool, int, int], int]] = {}
    numbers = itertools.product(range(20), range(len(WINDOWS)), range(20), range(len(STORED_WINDOWS)))
    for row, window, picture, among in numbers:
        view, other = WINDOWS[window], STORED_WINDOWS[among]
        is_part, is_more = {view.window, other.window} & {*PARTS}, view.window in MORE_WINDOWS
        if (view != other) if is_part else (is_more and other.window != WHOLE):
            continue
        if window > 0 and row % 5 not in (0, 1, 3):  # of five pictures, three are looked for otherwise than whole
            continue
        bits = int(np.unpackbits(new.hashes[row, window] ^ stored.hashes[picture, among]).sum())
        left, right = int(new.clip[row]), int(stored.clip[picture])
        if bits <= 84 and left != right:
            entry = sums.setdefault((min(left, right), max(left, right)), {})
            key = (left > right, window, among)
            entry[key] = entry.get(key, 0) + (85 - bits) ** 2
    found = find_candidates(looked_for(new), StoredLandmarks(stored), is_large=False)
    weights: dict[tuple[int, int], list[float]] = {}
    for row in found.to_pylist():
        weights.setdefault((row["left"], row["right"]), []).append(row["weight"])
    assert weights == {pair: sorted(each.values(), reverse=True)[:PLACEMENTS_MAX] for pair, each in sums.items()}


def in_parts(work: Deciding[CopyPairs], count: int, root: Path) -> CopyPairs:
    """As workers do it: every part from its pickle, the last part first, each with what it reads itself."""
    found: Any = None
    while True:
        try:
            search = work.send(found)
        except StopIteration as end:
            return end.value
        parts = search.parts(count)
        sent = [pickle.loads(pickle.dumps(part)) for part in reversed(parts)]
        tables = [part.run(PictureSource(Storage(root))) for part in sent]
        found = search.combine(tables[::-1])


@pytest.mark.parametrize("exact_comparisons", [copy_candidates.EXACT_COMPARISONS, 0])
def test_copies_are_the_same_in_any_parts(
    library: Library, exact_comparisons: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_candidates, "EXACT_COMPARISONS", exact_comparisons)
    rows = copy_rows(library)
    tables = []
    for count in (1, 2, 50):
        shutil.rmtree(library.root / "index", ignore_errors=True)
        work = copy_pairs(Storage(library.root), rows, np.arange(1, len(rows)), np.array([0]), overlap_min=0.5)
        tables.append(in_parts(work, count, library.root).pairs.to_pylist())
    assert tables[0] == tables[1] == tables[2]
    assert {(pair["left"], pair["right"]) for pair in tables[0]} == {(0, 3), (0, 4), (3, 4)}


def test_stages_of_dedup_divide_the_search(library: Library) -> None:
    """As many rounds as searches are large; nothing is left of them, and nothing is counted twice."""
    shutil.rmtree(library.root / "index", ignore_errors=True)
    root, params = str(library.root), DedupParams(eps=0.01)
    phase = DedupPhase(params, root)
    refs = {asset: [ManifestRef(root, asset, name) for name in library.partitions] for asset in phase.inputs}
    run = TableRun(phase, ManifestRef(root, "unique_clips", ALL), InputTables(phase, refs), "r", ())
    stages = [DedupStage(steps_of(params, root), root, part_products=1e8), SearchStage(root)]
    pipeline = Pipeline("dedup", [*stages], collect=collect, again=again).build()
    stats = RunStats()
    executor = LocalExecutor(ExecutorParams(mode="local"))
    (result,) = [each for each in run_rounds(executor, pipeline, run.tasks(), stats) if each is not None]
    (table,) = result.outcomes
    made = rows_of(table)
    assert stats.stage("dedup").tasks == 4, "landmarks, candidates, and pairs are looked for in rounds of their own"
    assert stats.stage("dedup_search").tasks >= 10
    counters = stats.stage("dedup").counters
    assert (counters["dedup_copies"], counters["dedup_copy_candidates"]) == (2, 3)
    assert list((library.root / FOLDER).glob("*")) == []
    assert not list((library.root / "index").glob("*/layout-*"))
    library.dedup(eps=0.01)
    names = ["clip_id", "status", "reason", "copy_of", "copy_rate", "copy_offset_s", "group_id", "nearest_clip_id"]
    undivided = library.table().select(names).to_pylist()
    assert sorted(made.select(names).to_pylist(), key=str) == sorted(undivided, key=str)


def test_a_run_keeps_its_files_while_another_over_the_same_clips_ends(library: Library) -> None:
    """One has written what its parts look among; before these begin, another one does all, and removes its own."""
    shutil.rmtree(library.root / "index", ignore_errors=True)
    divided(library)  # so that all clips are in the index, and candidates are what is looked for first
    pictures, vectors = first_parts(library, copies=True), first_parts(library, copies=False)
    divided(library)
    search = SearchStage(str(library.root))
    search.setup(WorkerMetadata("w", NodeInfo("n", 1, 0)))
    found = [search.process(part) for part in (*pictures, *vectors)]
    search.teardown()
    assert {name_of(part.search) for part in pictures} == {"CandidateSearch"}
    assert {part.search.searched_in for part in vectors} == {VECTORS}
    assert all(isinstance(each, FoundTask) for each in found)


def first_parts(library: Library, *, copies: bool) -> list[SearchTask]:
    """The parts of the first search of a run that has just begun."""
    stage, task = begun(library, DedupParams(eps=0.02, rebuild=True, copies=copies))
    stage.setup(WorkerMetadata("w", NodeInfo("n", 1, 0)))
    parts = stage.process(task)
    stage.teardown()
    assert isinstance(parts, list)
    return parts


def divided(library: Library) -> None:
    """A whole run whose searches are divided; it commits nothing."""
    stage, task = begun(library, DedupParams(eps=0.02, rebuild=True))
    pipeline = Pipeline("dedup", [stage, SearchStage(str(library.root))], collect=collect, again=again).build()
    executor = LocalExecutor(ExecutorParams(mode="local"))
    ((table,),) = [each.outcomes for each in run_rounds(executor, pipeline, [task], RunStats()) if each is not None]
    assert isinstance(table, pa.Table)


def begun(library: Library, params: DedupParams) -> tuple[DedupStage, DedupTask]:
    """A run's stage, whose searches are all large, and its task."""
    root = str(library.root)
    phase = DedupPhase(params, root)
    refs = {asset: [ManifestRef(root, asset, name) for name in library.partitions] for asset in phase.inputs}
    run = TableRun(phase, ManifestRef(root, "unique_clips", ALL), InputTables(phase, refs), "r", ())
    (task,) = run.tasks()
    assert isinstance(task, DedupTask)
    return DedupStage(steps_of(params, root), root, part_products=1.0), task


def rows_of(outcome: Any) -> pa.Table:
    assert isinstance(outcome, pa.Table)
    return outcome


def copy_rows(library: Library) -> pa.Table:
    phase = DedupPhase(DedupParams(), str(library.root))
    refs = {
        asset: [ManifestRef(str(library.root), asset, name) for name in library.partitions] for asset in phase.inputs
    }
    return InputTables(phase, refs).tables_for(ManifestRef(str(library.root), "unique_clips", ALL))["filtered_clips"]


def test_landmarks_for_parts_that_are_damaged_or_gone_are_told(tmp_path: Path) -> None:
    storage, made = Storage(tmp_path), landmarks(3, len(STORED_WINDOWS), random_hashes(3))
    stored = StoredLandmarks(made)
    path = save_landmarks(storage, stored, "run")
    read = PictureSource(storage).landmarks(path).landmarks
    assert (read.clip.tolist(), read.hashes.tolist()) == (made.clip.tolist(), made.hashes.tolist())
    whole = storage.read_bytes(path)
    storage.write_bytes(path, whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    with pytest.raises(StageError, match=r"gone or damaged\. Run dedup again"):
        PictureSource(storage).landmarks(path)
    remove_landmarks(storage, stored, "another")
    assert storage.exists(path)
    remove_landmarks(storage, stored, "run")
    with pytest.raises(StageError, match="gone or damaged"):
        PictureSource(storage).landmarks(path)


def test_of_faint_pairs_each_new_clip_has_its_likeliest(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a list of each clip's pairs."""
    monkeypatch.setattr(copy_votes, "FAINT_PAIRS", 3)
    pairs = sorted({tuple(sorted(RANDOM.integers(0, 30, 2).tolist())) for _ in range(300)})
    pairs = [pair for pair in pairs if pair[0] != pair[1]]
    weights = RANDOM.integers(1, 1100, len(pairs)).astype(float).tolist()
    rows = [
        (*pair, windows, weight / windows) for pair, weight in zip(pairs, weights, strict=True) for windows in (1, 2)
    ]
    found = pa.table([*zip(*rows, strict=True)], schema=copy_votes.VOTES_SCHEMA)
    new = set(range(0, 30, 2))
    expected = {pair for pair, weight in zip(pairs, weights, strict=True) if weight >= 1000}
    for clip_number in new:
        faint = [
            (-weight, pair)
            for pair, weight in zip(pairs, weights, strict=True)
            if clip_number in pair and weight < 1000
        ]
        expected |= {pair for _, pair in sorted(faint)[:3]}
    likely = copy_votes.likely_candidates(found, np.array(sorted(new)))
    assert set(copy_votes.candidate_pairs(likely)) == expected
    assert len(likely) == 2 * len(expected)
    assert 0 < len(expected) < len(pairs) / 2
    heavy = copy_votes.likely_candidates(found, np.array(sorted(new)), least=700)
    weight_of = dict(zip(pairs, weights, strict=True))
    assert set(copy_votes.candidate_pairs(heavy)) == {pair for pair in expected if weight_of[pair] >= 700}
    nothing = copy_votes.likely_candidates(found.slice(0, 0), np.array([1]))
    assert len(nothing) == 0
