"""The stages of dedup: one decides over all clips, step by step; the other does parts of its large searches.

    DedupTask ── DedupStage ──┬── all is decided ──────────────────────────────> DedupedTask
                              └── a search is large ── SearchTask, many ── SearchStage ──> FoundTask, many
    FoundTask, many ── together ──> DedupTask, which knows what was found

With what was found, the decision begins anew, and comes to the same search without searching.
"""

import logging
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages import heartbeat, lazy
from stages.dedup.arrays import Clips, VectorSource
from stages.dedup.dedup_tasks import DedupedTask, DedupTask, FoundTask, SearchTask
from stages.dedup.earlier import EARLIER_COLUMNS, outcome_from
from stages.dedup.result_table import result_table
from stages.dedup.searches import Deciding, Search
from stages.dedup.segment_files import model_folder
from stages.dedup.steps import UNKNOWN, Outcome, Step, decide_in_steps
from stages.dedup.vector_store import DamagedSegment
from stages.manifest import ALL, ManifestRef, load_commit, read_unordered
from stages.resources import ONE_CPU, Resources
from stages.stage import ProcessingStage, WorkerMetadata
from stages.storage import Storage

logger = logging.getLogger(__name__)

PART_PRODUCTS = 2e11
"""Some seconds on one core."""
MAX_PARTS = 1000


class _IndexedStage(ProcessingStage[Any, Any]):
    """A stage that reads the index of vectors."""

    def __init__(self, root: str, table: str = "embeddings") -> None:
        self.storage = Storage(root)
        self.table = table
        self.scratch: Path | None = None

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Set the number of threads, and make a folder for copies of files of an object store."""
        lazy.load("stages.dedup.threads:set_num_threads")(worker_metadata.num_threads)
        lazy.load("stages.dedup.device:use_device")(worker_metadata.device)
        self.scratch = Path(tempfile.mkdtemp(prefix="curator-index-"))

    def teardown(self) -> None:
        """Remove the folder."""
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def index(self, folder: str) -> Any:
        """The index of vectors of a model."""
        return lazy.load("stages.dedup.vector_index:index_of_table")(self.storage, folder, self.scratch, self.table)


class DedupStage(_IndexedStage):
    """Decides which clips are kept.

    Args:
        steps: in order.
        root: of the tables.
        part_products: numbers that are multiplied in one part of a search; a smaller search is not divided.
        table: of the embeddings that are compared.
    """

    name = "dedup"

    def __init__(
        self, steps: Sequence[Step], root: str, part_products: float = PART_PRODUCTS, *, table: str = "embeddings"
    ) -> None:
        super().__init__(root, table)
        self.steps = list(steps)
        self._part_products = part_products

    def process(self, task: DedupTask) -> DedupedTask | list[SearchTask]:
        """The output table with one row for each clip; or the parts of the next search, where it is a large one.

        Raises:
            StageError: an embedding that the task names is missing, not finite, or of another size than the others.
        """
        rows = task.clips.rows
        folder = model_folder(rows["model"][0].as_py(), str(rows["weights_hash"][0].as_py()))
        while True:
            try:
                return self._decide(task, rows, folder)
            except DamagedSegment as error:
                logger.warning("%s", error)
                self.index(folder).remove(error.name)

    def _decide(self, task: DedupTask, rows: pa.Table, folder: str) -> DedupedTask | list[SearchTask]:
        index = self.index(folder)
        vectors = index.vectors_of(rows)
        ids: Any = rows["clip_id"].to_pylist()
        clips = Clips(ids, vectors, task.clips.ranking, task.clips.filtered)
        earlier = self._earlier_outcome(task)
        outcome = self._outcome(decide_in_steps(self.steps, clips, earlier), vectors, task.found)
        if not isinstance(outcome, Outcome):
            layout = index.save_layout(vectors)
            return [
                SearchTask(f"{task.task_id}/{number}", task.group, search=part, folder=folder, layout=layout)
                for number, part in enumerate(outcome.parts(self._num_parts(outcome, vectors)))
            ]
        if task.found:
            index.remove_layout(vectors)
        heartbeat.count("dedup_clips", len(ids))
        heartbeat.count("dedup_decisions_standing", int((earlier.removed_by != UNKNOWN).sum()))
        return DedupedTask(task.task_id, task.group, table=result_table(rows, outcome, self.steps))

    def _outcome(
        self, work: Deciding[Outcome], vectors: VectorSource, found: Sequence[Sequence[pa.Table]]
    ) -> Outcome | Search:
        """The outcome of the work, or the first large search of which it is not known yet what it finds.

        Args:
            work: yields searches.
            vectors: of all clips.
            found: by the parts of the large searches, in their order.
        """
        answer: Any = None
        known = iter(found)
        while True:
            try:
                search = work.send(answer)
            except StopIteration as end:
                return end.value
            if self._num_parts(search, vectors) <= 1:
                answer = search.run(vectors)
            elif (tables := next(known, None)) is not None:
                answer = search.combine(tables)
            else:
                return search

    def _num_parts(self, search: Search, vectors: VectorSource) -> int:
        """In how many parts a search is done."""
        return min(MAX_PARTS, math.ceil(search.cost(vectors) * vectors.shape[1] / self._part_products))

    def _earlier_outcome(self, task: DedupTask) -> Outcome:
        """What the earlier commit decided, as far as it still stands."""
        if not task.earlier_commit:
            return Outcome.unknown(len(task.clips))
        ref = ManifestRef(self.storage.root, "unique_clips", ALL)
        commit = load_commit(self.storage, ref, task.earlier_commit)
        table = read_unordered(self.storage, ref, commit, list(EARLIER_COLUMNS))
        outcome = outcome_from(table, task.clips.rows, [step.reason for step in self.steps])
        for index, step in enumerate(self.steps):
            if not step.stands(commit.lineage.get("params", {})):
                outcome.void(index)
        return outcome


class SearchStage(_IndexedStage):
    """Does parts of searches; a table that is finished goes through."""

    name = "dedup_search"

    def __init__(self, root: str, resources: Resources = ONE_CPU) -> None:
        super().__init__(root)
        self.resources = resources
        self._layout = ""
        self._vectors: Any = None

    def process(self, task: SearchTask | DedupedTask) -> FoundTask | DedupedTask:
        """What the part of a search finds.

        Raises:
            StageError: a file of the index of vectors is gone or damaged.
        """
        if isinstance(task, DedupedTask):
            return task
        index = self.index(task.folder)
        if self._layout != task.layout:
            self._vectors, self._layout = index.open_layout(task.layout), task.layout
        try:
            return FoundTask(task.task_id, task.group, table=task.search.run(self._vectors))
        except DamagedSegment as error:
            index.remove(error.name)
            raise
