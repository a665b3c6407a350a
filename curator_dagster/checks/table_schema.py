"""The check that a table has the declared columns and types, and that its rows satisfy their constraints."""

from collections.abc import Iterator
from functools import reduce
from operator import and_

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curator_dagster.checks.check_result import CheckResult, Record
from curator_dagster.checks.checked_table import CheckedTable
from curator_dagster.checks.row_constraints import UNIQUE_COLUMNS, row_constraints
from stages.errors import ManifestError
from stages.manifest import layout_of
from stages.table_names import asset_of

_UNIT_LENGTH_TOLERANCE = 1e-3
"""Allowed difference of a vector's length from 1: float32, or half precision of a model on a GPU."""


def table_schema(checked: CheckedTable) -> CheckResult:
    """Passes where the committed files have the declared types and no row violates a constraint of its asset."""
    asset = asset_of(checked.report.asset)
    try:
        mismatches = list(_type_mismatches(checked))
        table = checked.table()
    except ManifestError as error:
        return CheckResult(False, str(error), excess=float("inf"))
    violations: list[Record] = [
        {"promise": constraint, "rows": rows, "example": example}
        for constraint, rows, example in (
            *mismatches,
            *_constraint_violations(asset, table),
            *_duplicate_keys(asset, table),
            *_invalid_vectors(asset, table),
        )
    ]
    rows = sum(int(each["rows"]) for each in violations)
    metadata = {"rows": len(table), "columns": table.num_columns, "promises_broken": len(violations), "allowed": 0}
    description = (
        f"Broken promises of {checked.report.asset}: 0 (at most 0). Rows: {len(table)}, columns: {table.num_columns}."
    )
    if violations:
        description = (
            f"{'; '.join(str(each['promise']) for each in violations[:3])}: not so in {rows} rows, as "
            f"{violations[0]['example']}. The next run reuses rows as they are: correct what made them, delete "
            f"{checked.ref.folder}, and materialize the partition again."
        )
    return CheckResult(not violations, description, metadata, violations, rows)


_Violation = tuple[str, int, str]
"""The constraint, the number of rows that violate it, and an example."""


def _type_mismatches(checked: CheckedTable) -> Iterator[_Violation]:
    """Columns of another type than declared; a missing column reads as null, which row constraints find."""
    for entry in checked.commit.files:
        stored = _file_schema(checked, entry.path)
        for declared in layout_of(checked.report.asset).schema:
            index = stored.get_field_index(declared.name)
            if index >= 0 and stored.field(index).type != declared.type:
                description = f"{declared.name} is {declared.type}, not {stored.field(index).type}"
                yield description, len(entry.items), entry.path


def _file_schema(checked: CheckedTable, path: str) -> pa.Schema:
    try:
        return pq.read_schema(pa.BufferReader(checked.storage.read_bytes(path)))
    except (pa.ArrowException, FileNotFoundError) as error:
        raise ManifestError(
            f"{checked.storage.location(path)} must be a whole row file, since a commit names it, got: {error}. Delete "
            "it and run the phase again: what it held is computed again."
        ) from error


def _constraint_violations(asset: str, table: pa.Table) -> Iterator[_Violation]:
    for constraint, violates in row_constraints()[asset].items():
        rows = table.filter(violates)
        if len(rows):
            yield constraint, len(rows), _row_name(asset, rows)


def _duplicate_keys(asset: str, table: pa.Table) -> Iterator[_Violation]:
    """Values of the identifying columns that several rows have."""
    key = UNIQUE_COLUMNS[asset]
    whole = table.select(key).filter(reduce(and_, (pc.field(name).is_valid() for name in key)))
    counts = whole.group_by(key, use_threads=False).aggregate([([], "count_all")])
    repeated = counts.filter(pc.field("count_all") > 1)
    if len(repeated):
        extra = sum(repeated["count_all"].to_pylist()) - len(repeated)
        yield f"no two rows share {' and '.join(key)}", extra, str(repeated[key[0]][0].as_py())


def _invalid_vectors(asset: str, table: pa.Table) -> Iterator[_Violation]:
    """Embeddings of kept rows that are not finite, not of unit length, or of another size than others of the model."""
    if asset != "embeddings":
        return
    kept = table.filter((pc.field("status") == "kept") & pc.field("embedding").is_valid())
    for model in kept["model"].unique().to_pylist():
        rows = kept.filter(pc.field("model") == model)
        vectors = rows["embedding"].combine_chunks()
        if len(vectors.value_lengths().unique()) > 1:
            yield f"embeddings of {model} have one size", len(rows), _row_name(asset, rows)
            continue
        values = vectors.flatten().to_numpy(zero_copy_only=False)
        lengths = np.linalg.norm(values.reshape(len(rows), -1), axis=1)
        invalid = ~(np.abs(lengths - 1) <= _UNIT_LENGTH_TOLERANCE)  # also what is not finite
        if invalid.any():
            description = f"embeddings of {model} are finite and of unit length"
            yield description, int(invalid.sum()), _row_name(asset, rows.filter(pa.array(invalid)))


def _row_name(asset: str, rows: pa.Table) -> str:
    """Id of the first of these rows."""
    return str(rows[UNIQUE_COLUMNS[asset][0]][0].as_py() or rows["video_id"][0].as_py())
