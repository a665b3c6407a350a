"""Metadata of a check result: its numbers, or, of several partitions, a table with a row for each."""

from collections.abc import Sequence

import dagster as dg

from curator_dagster.checks.check_result import CheckResult, Record, Scalar

MAX_TABLE_ROWS = 100
"""Partitions in the table of one result, the worst first. Dagster stores it with every result."""


def result_metadata(ordered: Sequence[tuple[str, CheckResult]]) -> dict[str, dg.MetadataValue]:
    """Numbers and details of a single partition; counts and a table of several."""
    if len(ordered) == 1:
        ((_, result),) = ordered
        values = {name: _metadata_value(scalar) for name, scalar in result.metadata.items()}
        return {**values, "details": _metadata_table(result.details)} if result.details else values
    failed = sum(not result.passed for _, result in ordered)
    return {
        "partitions": dg.MetadataValue.int(len(ordered)),
        "partitions_failed": dg.MetadataValue.int(failed),
        **({"worst_partition": dg.MetadataValue.text(ordered[0][0])} if failed else {}),
        "by_partition": _metadata_table([_partition_record(*each) for each in ordered[:MAX_TABLE_ROWS]]),
    }


def _partition_record(partition: str, result: CheckResult) -> Record:
    status = "passed" if result.passed else "failed" if result.is_evaluated else "not evaluated"
    return {"partition": partition, "result": status, **result.metadata}


def _metadata_value(scalar: Scalar) -> dg.MetadataValue:
    if isinstance(scalar, str):
        return dg.MetadataValue.text(scalar)
    return dg.MetadataValue.int(scalar) if isinstance(scalar, int) else dg.MetadataValue.float(scalar)


def _metadata_table(records: Sequence[Record]) -> dg.TableMetadataValue:
    """A table with a column for each name that any record has; a record without it has an empty cell."""
    columns_by_name = dict.fromkeys(name for record in records for name in record)
    types = {name: {type(record[name]).__name__ for record in records if name in record} for name in columns_by_name}
    columns = [dg.TableColumn(name, "string" if len(types[name]) > 1 else min(types[name])) for name in columns_by_name]
    rows = [dg.TableRecord({name: record.get(name, "") for name in columns_by_name}) for record in records]
    return dg.MetadataValue.table(rows, schema=dg.TableSchema(columns))
