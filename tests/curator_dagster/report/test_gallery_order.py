from curator_dagster.report.final_outcomes import FinalOutcome
from curator_dagster.report.gallery_order import round_robin_order


def test_round_robin_order_shows_each_outcome_and_partition_before_any_twice() -> None:
    kept = [FinalOutcome(f"k{n}", f"p{n % 50}", "dataset", "kept", "") for n in range(1000)]
    lost = [
        FinalOutcome(f"{reason}{n}", "p0", "filtered_clips", "rejected", reason) for reason in "ab" for n in range(3)
    ]
    order = round_robin_order([*kept, *lost])
    assert sorted(order, key=id) == sorted([*kept, *lost], key=id)
    assert {outcome.reason for outcome in order[:4]} == {"", "a", "b"}
    assert len({outcome.partition for outcome in [outcome for outcome in order if outcome.status == "kept"][:50]}) == 50
    assert order == round_robin_order([*lost, *reversed(kept)])
