"""The check that a table has its columns and types, and that its rows keep what they promise."""

from collections.abc import Iterator
from functools import reduce
from operator import and_

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curator_dagster.checks.promises import PROMISES, UNIQUE
from curator_dagster.checks.verdict import Record, Subject, Verdict
from stages.errors import ManifestError
from stages.schemas import ASSETS

_UNIT_LENGTH = 1e-3
"""How far a vector's length may be from 1: float32, and half precision of a model on a GPU."""


def table_schema(subject: Subject) -> Verdict:
    """Passes where the committed files have the declared types and no row breaks a promise of its asset."""
    asset = subject.report.asset
    try:
        wrong = list(_wrong_types(subject))
        table = subject.table()
    except ManifestError as error:
        return Verdict(False, str(error), excess=float("inf"))
    broken: list[Record] = [
        {"promise": promise, "rows": rows, "example": example}
        for promise, rows, example in (
            *wrong,
            *_broken(asset, table),
            *_repeated(asset, table),
            *_vectors(asset, table),
        )
    ]
    rows = sum(int(each["rows"]) for each in broken)
    figures = {"rows": len(table), "columns": table.num_columns, "promises_broken": len(broken)}
    told = f"Broken promises of {asset}: 0. Rows: {len(table)}, columns: {table.num_columns}."
    if broken:
        told = (
            f"{'; '.join(str(each['promise']) for each in broken[:3])}: not so in {rows} rows, as "
            f"{broken[0]['example']}. The next run reuses rows as they are: correct what made them, delete "
            f"{subject.ref.folder}, and materialize the partition again."
        )
    return Verdict(not broken, told, figures, broken, rows)


_Found = tuple[str, int, str]
"""What is promised, in how many rows it is not so, and one of them."""


def _wrong_types(subject: Subject) -> Iterator[_Found]:
    """Columns that a file holds otherwise than declared; one that it lacks is null, which promises tell of."""
    for entry in subject.commit.files:
        stored = _schema_of(subject, entry.path)
        for declared in ASSETS[subject.report.asset].schema:
            place = stored.get_field_index(declared.name)
            if place >= 0 and stored.field(place).type != declared.type:
                told = f"{declared.name} is {declared.type}, not {stored.field(place).type}"
                yield told, len(entry.items), entry.path


def _schema_of(subject: Subject, path: str) -> pa.Schema:
    try:
        return pq.read_schema(pa.BufferReader(subject.storage.read_bytes(path)))
    except (pa.ArrowException, FileNotFoundError) as error:
        raise ManifestError(
            f"{subject.storage.location(path)} must be a whole row file, since a commit names it, got: {error}. Delete "
            "it and run the phase again: what it held is computed again."
        ) from error


def _broken(asset: str, table: pa.Table) -> Iterator[_Found]:
    for promise, breaks in PROMISES[asset].items():
        rows = table.filter(breaks)
        if len(rows):
            yield promise, len(rows), _name(asset, rows)


def _repeated(asset: str, table: pa.Table) -> Iterator[_Found]:
    """Values of the asset's key that stand in several rows."""
    key = UNIQUE[asset]
    whole = table.select(key).filter(reduce(and_, (pc.field(name).is_valid() for name in key)))
    counts = whole.group_by(key, use_threads=False).aggregate([([], "count_all")])
    repeated = counts.filter(pc.field("count_all") > 1)
    if len(repeated):
        extra = sum(repeated["count_all"].to_pylist()) - len(repeated)
        yield f"no two rows share {' and '.join(key)}", extra, str(repeated[key[0]][0].as_py())


def _vectors(asset: str, table: pa.Table) -> Iterator[_Found]:
    """Embeddings of kept rows are finite, of unit length, and of one model of one size."""
    if asset != "embeddings":
        return
    kept = table.filter((pc.field("status") == "kept") & pc.field("embedding").is_valid())
    for model in kept["model"].unique().to_pylist():
        rows = kept.filter(pc.field("model") == model)
        vectors = rows["embedding"].combine_chunks()
        if len(vectors.value_lengths().unique()) > 1:
            yield f"embeddings of {model} have one size", len(rows), _name(asset, rows)
            continue
        values = vectors.flatten().to_numpy(zero_copy_only=False)
        lengths = np.linalg.norm(values.reshape(len(rows), -1), axis=1)
        wrong = ~(np.abs(lengths - 1) <= _UNIT_LENGTH)  # also what is not finite
        if wrong.any():
            told = f"embeddings of {model} are finite and of unit length"
            yield told, int(wrong.sum()), _name(asset, rows.filter(pa.array(wrong)))


def _name(asset: str, rows: pa.Table) -> str:
    """What the first of these rows is called."""
    return str(rows[UNIQUE[asset][0]][0].as_py() or rows["video_id"][0].as_py())
