from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from hypothesis import given
from hypothesis import strategies as st

from curator_dagster.committed_inputs import fully_committed_partitions
from curator_dagster.partition_keys import (
    add_partitions,
    dynamic_partition_keys,
    partition_ranges,
    sync_partitions,
)
from curator_dagster.resources import Storage
from stages.run import Session


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("abcd", ["abcd"]),
        ("dcba", ["abcd"]),
        ("acd", ["a", "cd"]),
        ("ad", ["a", "d"]),
        ("", []),
    ],
)
def test_partition_ranges_are_cut_at_keys_that_are_not_wanted(wanted: str, expected: list[str]) -> None:
    assert partition_ranges("abcd", wanted) == [list(keys) for keys in expected]


def test_partition_ranges_rejects_an_unknown_key() -> None:
    with pytest.raises(ValueError, match="must be known to the Dagster instance, got \\['x'\\]"):
        partition_ranges("abcd", "ax")


@given(
    st.lists(st.text(min_size=1), unique=True).flatmap(
        lambda keys: st.tuples(st.just(keys), st.sets(st.sampled_from(keys)) if keys else st.just(set()))
    )
)
def test_partition_ranges_cover_exactly_what_is_wanted(keys: tuple[list[str], set[str]]) -> None:
    known, wanted = keys
    found = partition_ranges(known, wanted)
    assert [key for stretch in found for key in stretch] == [key for key in known if key in wanted]
    for stretch in found:
        start = known.index(stretch[0])
        assert known[start : start + len(stretch)] == stretch


def test_partitions_are_added_in_the_order_of_registration(partitions: list[str], storage: Storage) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("sources", ["of-another-root", partitions[1]])
        assert sync_partitions(instance, storage.open()) == [partitions[0], partitions[2]]
        assert sync_partitions(instance, storage.open()) == []
        assert list(dynamic_partition_keys(instance)) == [
            "of-another-root",
            partitions[1],
            partitions[0],
            partitions[2],
        ]


def test_a_range_over_old_and_new_names_counts_in_the_order_of_registration(tmp_path: Path) -> None:
    keys = ["f91c2a7be004", "2026-09-14-9ddc781e", "cam_1-2025-01-01-0a1b2c3d", "2026-09-13-5cb75051"]
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        add_partitions(instance, "sources", keys)
        known = dynamic_partition_keys(instance)
        assert partition_ranges(known, keys[1:]) == [keys[1:]]
        edges = dg.PartitionKeyRange(start=keys[1], end=keys[3])
        partitions_def = dg.DynamicPartitionsDefinition(name="sources")
        with partition_loading_context(dynamic_partitions_store=instance):
            assert partitions_def.get_partition_keys_in_range(edges) == keys[1:]


def test_fully_committed_partitions_have_a_commit_of_every_asset(
    session: Session, storage: Storage, partitions: list[str]
) -> None:
    from stages.params import ReadParams, SplitParams

    outputs = [storage.ref("videos", key) for key in partitions[::-1]]
    session.run_phase(ReadParams(), {}, outputs)
    session.run_phase(SplitParams(), {"videos": outputs}, [storage.ref("clips", key) for key in partitions[1:]])
    assert fully_committed_partitions(storage.open(), ["videos"]) == partitions
    assert fully_committed_partitions(storage.open(), ["videos", "clips"]) == partitions[1:]
