import pyarrow as pa
import pytest

from stages.pictures.choice import fair_shares, largest_groups, some_kept, some_rejected


def fates(**counts: int) -> pa.Table:
    rows = [("kept" if reason == "kept" else "rejected", reason) for reason in counts for _ in range(counts[reason])]
    return pa.table({"status": [row[0] for row in rows], "reason": [row[1] for row in rows], "n": range(len(rows))})


def test_kept_rows_are_spread_over_the_table() -> None:
    assert some_kept(fates(kept=10, black=5), 3)["n"].to_pylist() == [1, 5, 8]
    assert some_kept(fates(black=2), 3).num_rows == 0


def test_rejected_rows_show_every_reason() -> None:
    chosen = some_rejected(fates(kept=9, black=100, still=2, sharpness=1), 5)
    assert chosen["reason"].to_pylist() == ["black", "black", "still", "still", "sharpness"]
    assert some_rejected(fates(kept=3), 5).num_rows == 0


@pytest.mark.parametrize(
    ("counts", "wanted", "shares"),
    [([100, 2, 1], 5, [2, 2, 1]), ([1, 1], 5, [1, 1]), ([9, 9, 9], 2, [1, 1, 0]), ([], 3, [])],
)
def test_fair_shares_take_one_each_in_turn(counts: list[int], wanted: int, shares: list[int]) -> None:
    assert fair_shares(counts, wanted) == shares


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
