"""What a result of a check shows: its figures, and of several partitions a table with a row each."""

from collections.abc import Mapping, Sequence

import dagster as dg

from curator_dagster.checks.verdict import Figure, Record, Verdict

ROWS_SHOWN = 100
"""Partitions in the table of one result, the worst first. Dagster stores it with every result."""


def worst_first(verdicts: Mapping[str, Verdict]) -> list[tuple[str, Verdict]]:
    """Failed partitions, then those that could not be evaluated, then the others; by how far each is beyond."""
    return sorted(verdicts.items(), key=lambda each: (each[1].passed, not each[1].is_known, -each[1].excess))


def shown(ordered: Sequence[tuple[str, Verdict]]) -> dict[str, dg.MetadataValue]:
    """Metadata of a result: of one partition its figures and details, of several a row each."""
    if len(ordered) == 1:
        ((_, verdict),) = ordered
        values = {name: _value(figure) for name, figure in verdict.figures.items()}
        return {**values, "details": _table(verdict.details)} if verdict.details else values
    failed = sum(not verdict.passed for _, verdict in ordered)
    return {
        "partitions": dg.MetadataValue.int(len(ordered)),
        "partitions_failed": dg.MetadataValue.int(failed),
        "worst_partition": dg.MetadataValue.text(ordered[0][0]),
        "by_partition": _table([_row(*each) for each in ordered[:ROWS_SHOWN]]),
    }


def _row(partition: str, verdict: Verdict) -> Record:
    fate = "passed" if verdict.passed else "failed" if verdict.is_known else "not evaluated"
    return {"partition": partition, "result": fate, **verdict.figures}


def _value(figure: Figure) -> dg.MetadataValue:
    if isinstance(figure, str):
        return dg.MetadataValue.text(figure)
    return dg.MetadataValue.int(figure) if isinstance(figure, int) else dg.MetadataValue.float(figure)


def _table(records: Sequence[Record]) -> dg.TableMetadataValue:
    """A table of all names that any record has; what one lacks stays empty."""
    names = dict.fromkeys(name for record in records for name in record)
    kinds = {name: {type(record[name]).__name__ for record in records if name in record} for name in names}
    columns = [dg.TableColumn(name, "string" if len(kinds[name]) > 1 else min(kinds[name])) for name in names]
    rows = [dg.TableRecord({name: record.get(name, "") for name in names}) for record in records]
    return dg.MetadataValue.table(rows, schema=dg.TableSchema(columns))
