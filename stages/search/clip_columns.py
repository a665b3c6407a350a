"""Which columns a condition may name and a result has, and the table of the clips with them."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from stages.errors import ManifestError
from stages.manifest import committed_partitions, find_version, read_manifest
from stages.schemas import ASSETS
from stages.search.arrow import pc
from stages.search.request import Scope
from stages.search.where import SCORES, Condition, parse_where, unknown_column
from stages.storage import Storage

CAPTION, DURATION = "caption", "duration_s"
_JOINED = ("filtered_clips", "unique_clips", "dataset", "captions")
"""Assets whose columns are there too, those of the first that has one."""
_OF_CAPTIONS = (CAPTION,)
_SPAN_ENDS = ("start_s", "end_s")
_PLAIN = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)


def sources_of_columns(asset: str) -> dict[str, str]:
    """By column of plain values, the asset that it is read from, where the clips are rows of this asset."""
    found: dict[str, str] = {CAPTION: "captions"}
    for each in (asset, *_JOINED):
        names = _OF_CAPTIONS if each == "captions" else ASSETS[each].schema.names
        for name in names:
            if any(is_kind(ASSETS[each].schema.field(name).type) for is_kind in _PLAIN):
                found.setdefault(name, each)
    return {**found, DURATION: found["end_s"]}


class ClipTable:
    """The clips of a scope, with the columns that are asked for.

    Args:
        storage: of the root.
        scope: which clips.

    Raises:
        ManifestError: the asset is not made, there is no such version, or a file is missing or damaged.
    """

    def __init__(self, storage: Storage, scope: Scope) -> None:
        self._storage = storage
        self._scope = scope
        self._sources = sources_of_columns(scope.asset)
        own = self._read(scope.asset, ["clip_id", "status"])
        if scope.status != "all":
            own = own.filter(pc.field("status") == scope.status)
        self.rows = _first_of_each(own.filter(pc.field("clip_id").is_valid()), "clip_id")

    def filter(self, text: str) -> None:
        """Keep the clips that meet a condition.

        Raises:
            ParamsError: it is none, or names no column.
        """
        condition = parse_where(text)
        kinds = self._add_named(condition)
        self.rows = self.rows.filter(condition.expression(kinds))

    def add(self, names: Iterable[str]) -> None:
        """Add columns. Those of an asset that is not made are null.

        Raises:
            ManifestError: a table is missing or damaged.
        """
        wanted = [name for name in names if name not in self.rows.column_names]
        derived = DURATION in wanted
        by_asset: dict[str, list[str]] = {}
        for name in dict.fromkeys([*wanted, *(_SPAN_ENDS if derived else ())]):
            if name != DURATION and name not in self.rows.column_names:
                by_asset.setdefault(self._sources.get(name, self._scope.asset), []).append(name)
        for asset, columns in by_asset.items():
            self._join(asset, columns)
        if derived:
            self._append(DURATION, pc.subtract(self.rows["end_s"], self.rows["start_s"]))

    def _add_named(self, condition: Condition) -> dict[str, pa.DataType]:
        """Add the columns of a condition; returns the type of each."""
        columns = [name for name in condition.names if name in self._sources]
        scores = [name for name in condition.names if name not in self._sources]
        for asset in dict.fromkeys(self._sources[name] for name in columns):
            self._require(asset, columns)
        self.add(columns)
        if scores:
            self._add_scores(scores)
        return {name: self.rows[name].type for name in condition.names}

    def _require(self, asset: str, columns: Sequence[str]) -> None:
        if not self._is_made(asset):
            named = [name for name in columns if self._sources[name] == asset]
            raise ManifestError(
                f"where names {', '.join(named)} of {asset}, which is not made under {self._storage.root}. "
                f"Run `curator run SOURCE --root {self._storage.root}`."
            )

    def _add_scores(self, names: Sequence[str]) -> None:
        asset = "dataset" if self._scope.asset == "dataset" else "filtered_clips"
        if self._is_made(asset):
            self._join(asset, [SCORES])
        chunks = self.rows[SCORES].chunks if SCORES in self.rows.column_names else []
        known = {each for chunk in chunks for each in chunk.keys.unique().to_pylist()}
        for name in names:
            score = name.removeprefix(f"{SCORES}.")
            if score not in known:
                raise unknown_column(name, [*self._sources, *known, *(f"{SCORES}.{each}" for each in known)])
            self._append(name, pc.map_lookup(self.rows[SCORES], score, "first"))
        if SCORES in self.rows.column_names:
            self.rows = self.rows.drop_columns([SCORES])

    def _append(self, name: str, column: pa.ChunkedArray) -> None:
        self.rows = self.rows.append_column(name, column)

    def _join(self, asset: str, columns: Sequence[str]) -> None:
        """Add columns of an asset by clip."""
        if not self._is_made(asset):
            for name in columns:
                self._append(name, pa.nulls(len(self.rows), ASSETS[asset].schema.field(name).type))
            return
        if asset == "captions":
            other = _joined_captions(self._read(asset, ["clip_id", "status", "window_index", *columns]))
        else:
            other = _first_of_each(self._read(asset, ["clip_id", *columns]), "clip_id")
        place = pc.index_in(self.rows["clip_id"], value_set=other["clip_id"].combine_chunks())
        taken = other.select(columns).take(place)
        for name in columns:
            self._append(name, taken[name])

    def _is_made(self, asset: str) -> bool:
        if self._scope.version is not None:
            return bool(find_version(self._storage, self._scope.version).tables.get(asset))
        return bool(committed_partitions(self._storage, asset))

    def _read(self, asset: str, columns: list[str]) -> pa.Table:
        return read_manifest(self._storage.root, asset, columns=columns, version=self._scope.version)


def _first_of_each(table: pa.Table, name: str) -> pa.Table:
    """The first row of each value: two registrations may have taken one video."""
    if pc.count_distinct(table[name]).as_py() == len(table):
        return table
    numbered = pa.table({name: table[name], "row": pa.array(range(len(table)), pa.int64())})
    first = numbered.group_by(name, use_threads=False).aggregate([("row", "min")])["row_min"]
    return table.take(first)


def _joined_captions(rows: pa.Table) -> pa.Table:
    """The first kept caption of each window of each clip in one text, in the order of the windows."""
    rows = rows.filter((pc.field("status") == "kept") & pc.field(CAPTION).is_valid())
    texts: dict[str, dict[int, str]] = {}
    columns = (rows[name].to_pylist() for name in ("clip_id", "window_index", CAPTION))
    for clip_id, window, caption in zip(*columns, strict=True):
        texts.setdefault(clip_id, {}).setdefault(window, caption)
    joined = [" ".join(windows.values()) for windows in texts.values()]
    return pa.table({"clip_id": pa.array(texts, pa.string()), CAPTION: pa.array(joined, pa.string())})
