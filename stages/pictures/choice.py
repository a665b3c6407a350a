"""Which rows of a table are shown. The same table gives the same choice."""

import pyarrow as pa
import pyarrow.compute as pc

from stages.media import evenly_spaced_indices


def some_kept(table: pa.Table, wanted: int) -> pa.Table:
    """Kept rows spread over the whole table."""
    kept = table.filter(pc.field("status") == "kept")
    return _spread(kept, wanted)


def some_rejected(table: pa.Table, wanted: int) -> pa.Table:
    """Rejected rows of as many reasons as there is room for, each reason spread over the whole table.

    wanted 5; black 100, still 2, sharpness 1   ->   black, black, still, still, sharpness
    """
    rejected = table.filter(pc.field("status") == "rejected")
    counts = rejected.group_by("reason").aggregate([("reason", "count")])
    counts = counts.sort_by([("reason_count", "descending"), ("reason", "ascending")])
    shares = fair_shares(counts["reason_count"].to_pylist(), wanted)
    parts: list[pa.Table] = []
    for reason, share in zip(counts["reason"].to_pylist(), shares, strict=True):
        if share:
            rows = rejected.filter(pc.field("reason") == reason)
            parts.append(_spread(rows, share))
    return pa.concat_tables(parts) if parts else rejected.slice(0, 0)


def fair_shares(counts: list[int], wanted: int) -> list[int]:
    """How many to take of each count so that `wanted` are taken in all, or everything: one each in turn."""
    shares = [0] * len(counts)
    while sum(shares) < min(wanted, sum(counts)):
        for index, count in enumerate(counts):
            if shares[index] < count and sum(shares) < wanted:
                shares[index] += 1
    return shares


def largest_groups(table: pa.Table, wanted: int, members: int) -> list[pa.Table]:
    """The largest groups of near-duplicates, each with its first `members` rows by rank, the kept one first."""
    kept = table.filter((pc.field("status") == "kept") & (pc.field("group_size") > 1))
    order = kept.sort_by([("group_size", "descending"), ("group_id", "ascending")]).slice(0, wanted)
    groups = table.filter(pc.field("group_id").isin(order["group_id"].combine_chunks()))
    return [
        groups.filter(pc.field("group_id") == group_id).sort_by([("rank", "ascending")]).slice(0, members)
        for group_id in order["group_id"].to_pylist()
    ]


def _spread(rows: pa.Table, wanted: int) -> pa.Table:
    return rows.take(pa.array(evenly_spaced_indices(len(rows), wanted), pa.int64()))
