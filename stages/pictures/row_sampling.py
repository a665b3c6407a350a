"""Chooses the rows of a table for contact sheets. Equal tables give equal choices."""

import pyarrow as pa
import pyarrow.compute as pc

from stages.media import evenly_spaced_indices


def sample_kept(table: pa.Table, max_rows: int) -> pa.Table:
    """At most `max_rows` kept rows, evenly spaced over the table."""
    kept = table.filter(pc.field("status") == "kept")
    return _sample_evenly(kept, max_rows)


def sample_rejected(table: pa.Table, max_rows: int) -> pa.Table:
    """At most `max_rows` rejected rows of as many reasons as possible; each reason's are evenly spaced over the table.

    max_rows 5; black 100, still 2, sharpness 1   ->   black, black, still, still, sharpness
    """
    rejected = table.filter(pc.field("status") == "rejected")
    counts = rejected.group_by("reason").aggregate([("reason", "count")])
    counts = counts.sort_by([("reason_count", "descending"), ("reason", "ascending")])
    shares = round_robin_shares(counts["reason_count"].to_pylist(), max_rows)
    parts: list[pa.Table] = []
    for reason, share in zip(counts["reason"].to_pylist(), shares, strict=True):
        if share:
            rows = rejected.filter(pc.field("reason") == reason)
            parts.append(_sample_evenly(rows, share))
    return pa.concat_tables(parts) if parts else rejected.slice(0, 0)


def round_robin_shares(counts: list[int], total: int) -> list[int]:
    """The number to take of each count, assigned one at a time in turn, until `total` are taken or nothing is left."""
    shares = [0] * len(counts)
    while sum(shares) < min(total, sum(counts)):
        for index, count in enumerate(counts):
            if shares[index] < count and sum(shares) < total:
                shares[index] += 1
    return shares


def largest_groups(table: pa.Table, max_groups: int, max_members: int) -> list[pa.Table]:
    """The largest groups of near-duplicates, each with its first `max_members` rows by rank, the kept one first."""
    kept = table.filter((pc.field("status") == "kept") & (pc.field("group_size") > 1))
    order = kept.sort_by([("group_size", "descending"), ("group_id", "ascending")]).slice(0, max_groups)
    groups = table.filter(pc.field("group_id").isin(order["group_id"].combine_chunks()))
    return [
        groups.filter(pc.field("group_id") == group_id).sort_by([("rank", "ascending")]).slice(0, max_members)
        for group_id in order["group_id"].to_pylist()
    ]


def _sample_evenly(rows: pa.Table, max_rows: int) -> pa.Table:
    return rows.take(pa.array(evenly_spaced_indices(len(rows), max_rows), pa.int64()))
