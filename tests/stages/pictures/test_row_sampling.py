import pyarrow as pa
import pytest

from stages.pictures.row_sampling import largest_groups, round_robin_shares, sample_kept, sample_rejected


def table_of(**counts: int) -> pa.Table:
    rows = [("kept" if reason == "kept" else "rejected", reason) for reason in counts for _ in range(counts[reason])]
    return pa.table({"status": [row[0] for row in rows], "reason": [row[1] for row in rows], "n": range(len(rows))})


def test_sample_kept_is_evenly_spaced_over_the_table() -> None:
    assert sample_kept(table_of(kept=10, black=5), 3)["n"].to_pylist() == [1, 5, 8]
    assert sample_kept(table_of(black=2), 3).num_rows == 0


def test_sample_rejected_holds_every_reason() -> None:
    sampled = sample_rejected(table_of(kept=9, black=100, still=2, sharpness=1), 5)
    assert sampled["reason"].to_pylist() == ["black", "black", "still", "still", "sharpness"]
    assert sample_rejected(table_of(kept=3), 5).num_rows == 0


@pytest.mark.parametrize(
    ("counts", "total", "shares"),
    [([100, 2, 1], 5, [2, 2, 1]), ([1, 1], 5, [1, 1]), ([9, 9, 9], 2, [1, 1, 0]), ([], 3, [])],
)
def test_round_robin_shares_take_one_each_in_turn(counts: list[int], total: int, shares: list[int]) -> None:
    assert round_robin_shares(counts, total) == shares


def test_largest_groups_begin_with_the_kept_clip() -> None:
    rows = [("a", 2, 0), ("b", 3, 1), ("b", 3, 0), ("c", 1, 0), ("a", 2, 1), ("b", 3, 2)]
    table = pa.table(
        {
            "group_id": [row[0] for row in rows],
            "group_size": [row[1] for row in rows],
            "rank": [row[2] for row in rows],
            "status": ["rejected" if row[2] else "kept" for row in rows],
        }
    )
    groups = [(group["group_id"][0].as_py(), group["rank"].to_pylist()) for group in largest_groups(table, 5, 2)]
    assert groups == [("b", [0, 1]), ("a", [0, 1])]
