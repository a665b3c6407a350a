import numpy as np
import pytest

from curator_dagster.checks.kolmogorov_smirnov import SKETCH_VALUES, ks_critical_value, ks_statistic, sketch_of


def test_ks_statistic_is_the_largest_distance_of_the_distribution_functions() -> None:
    random = np.random.default_rng(1)
    ours, theirs = random.normal(0, 1, 3000), random.normal(0.5, 1, 2000)
    points = np.concatenate([ours, theirs])
    exact = max(abs((ours <= point).mean() - (theirs <= point).mean()) for point in points)
    halves = [sketch_of(theirs[:500], 1), sketch_of(theirs[500:], 1)]
    assert ks_statistic(sketch_of(ours, 1), halves) == pytest.approx(exact, abs=1.5 / SKETCH_VALUES)
    assert ks_statistic(sketch_of(ours, 1), [sketch_of(ours, 1)]) == 0
    assert ks_statistic(sketch_of(ours, 1), [sketch_of(ours + 99, 1)]) == 1


@pytest.mark.parametrize(("n", "m"), [(8, 80), (64, 640)])
def test_ks_critical_value_is_rarely_exceeded_by_equal_sources(n: int, m: int) -> None:
    random = np.random.default_rng(1)
    limit = ks_critical_value(n, m, 0.01)
    pairs = [(sketch_of(random.random(n), n), sketch_of(random.random(m), m)) for _ in range(1000)]
    assert sum(ks_statistic(ours, [theirs]) > limit for ours, theirs in pairs) <= 20  # of 10 expected
