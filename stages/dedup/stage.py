"""The stages of dedup: one decides over all clips, step by step; the other does parts of its large searches.

    DedupTask ── DedupStage ──┬── all is decided ──────────────────────────────> DedupedTask
                              └── a search is large ── SearchTask, many ── SearchStage ──> FoundTask, many
    FoundTask, many ── together ──> DedupTask, which knows what was found

With what was found, the decision begins anew, and comes to the same searches without searching.
"""

import logging
import math
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages import heartbeat, lazy
from stages.dedup.arrays import Clips, VectorSource
from stages.dedup.dedup_tasks import SEARCH, DedupedTask, DedupTask, FoundTask, SearchTask, name_of
from stages.dedup.earlier import EARLIER_COLUMNS, outcome_from
from stages.dedup.result_table import result_table
from stages.dedup.searches import VECTORS, Deciding, Search
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
    """A stage that reads the index of vectors, and what was recorded of pictures."""

    def __init__(self, root: str, table: str = "embeddings") -> None:
        self.storage = Storage(root)
        self.table = table
        self.scratch: Path | None = None
        self._pictures: Any = None

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

    def pictures(self) -> Any:
        """What searches for copies read; hashes that all parts of one look among are read once."""
        if self._pictures is None:
            self._pictures = lazy.load("stages.dedup.copy_parts:PictureSource")(self.storage)
        return self._pictures


class DedupStage(_IndexedStage):
    """Decides which clips are kept.

    Args:
        steps: in order.
        root: of the tables.
        part_products: cost of one part of a search, see `Search.cost`; a smaller search is not divided.
        table: of the embeddings that are compared.
    """

    name = "dedup"

    def __init__(
        self, steps: Sequence[Step], root: str, part_products: float = PART_PRODUCTS, *, table: str = "embeddings"
    ) -> None:
        super().__init__(root, table)
        self.steps = list(steps)
        self._run_token = uuid.uuid4().hex  # made in the driver, hence the same in all workers of a run
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
            source = vectors if outcome.searched_in == VECTORS else self.pictures()
            layout = index.save_layout(vectors, self._run_token)
            return [
                SearchTask(f"{task.task_id}/{number}", task.group, search=part, folder=folder, layout=layout)
                for number, part in enumerate(outcome.parts(self._num_parts(outcome, source)))
            ]
        if task.found:
            index.remove_layout(vectors, self._run_token)
        for step in self.steps:
            for name, amount in step.counts().items():
                heartbeat.count(name, amount)
        heartbeat.count("dedup_clips", len(ids))
        heartbeat.count("dedup_decisions_standing", int((earlier.removed_by != UNKNOWN).sum()))
        return DedupedTask(task.task_id, task.group, table=result_table(rows, outcome, self.steps))

    def _outcome(
        self, work: Deciding[Outcome], vectors: VectorSource, found: Sequence[tuple[str, Sequence[pa.Table]]]
    ) -> Outcome | Search:
        """The outcome of the work, or the first large search of which it is not known yet what it finds.

        Args:
            work: yields searches.
            vectors: of all clips.
            found: name of each large search, in their order, and what its parts found. One that is not asked for again
                is passed over: what it found is in an index by now.
        """
        answer: Any = None
        known = {name: iter([tables for each, tables in found if each == name]) for name, _ in found}
        while True:
            try:
                search = work.send(answer)
            except StopIteration as end:
                return end.value
            source = vectors if search.searched_in == VECTORS else self.pictures()
            if self._num_parts(search, source) <= 1:
                answer = search.run(source)
            elif (tables := next(known.get(name_of(search), iter(())), None)) is not None:
                answer = search.combine(tables)
            else:
                return search

    def _num_parts(self, search: Search, source: Any) -> int:
        """In how many parts a search is done."""
        return min(MAX_PARTS, math.ceil(search.cost(source) / self._part_products))

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
        source = self._vectors_of(task) if task.search.searched_in == VECTORS else self.pictures()
        try:
            found = task.search.run(source)
        except DamagedSegment as error:
            self.index(task.folder).remove(error.name)
            raise
        return FoundTask(task.task_id, task.group, table=found.replace_schema_metadata({SEARCH: name_of(task.search)}))

    def _vectors_of(self, task: SearchTask) -> VectorSource:
        if self._layout != task.layout:
            self._vectors, self._layout = self.index(task.folder).open_layout(task.layout), task.layout
        return self._vectors
