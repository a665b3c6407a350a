"""The dashboard asks for metrics that exist, by labels that they have."""

import json
import re
from pathlib import Path
from typing import Any

from ray.util.metrics import Counter, Histogram, Metric

from stages.executors.metrics import PipelineMetrics

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana.json"


def expressions() -> list[str]:
    """What the panels and variables ask Prometheus for."""
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return asked + [each["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]


def declared(value: Any) -> list[Metric]:
    """All metrics that an object holds."""
    if isinstance(value, Metric):
        return [value]
    values = list(value.values()) if isinstance(value, dict) else list(getattr(value, "__dict__", {}).values())
    return [metric for each in values for metric in declared(each)]


def exported(metric: Metric) -> list[str]:
    """Names under which Ray exports a metric."""
    name = f"ray_{metric.info['name']}"
    if isinstance(metric, Histogram):
        return [f"{name}_{part}" for part in ("bucket", "sum", "count")]
    return [f"{name}_total"] if isinstance(metric, Counter) else [name]


def test_dashboard_asks_for_every_metric_by_its_labels() -> None:
    labels = {
        name: {*metric.info["tag_keys"], "le"}
        for metric in declared(PipelineMetrics("test"))
        for name in exported(metric)
    }
    asked = [name for each in expressions() for name in re.findall(r"\bray_\w+", each)]
    assert set(asked) <= set(labels)
    assert {name for name in labels if not name.endswith(("_sum", "_bucket", "_count"))} <= set(asked)
    for each in expressions():
        used = {label for group in re.findall(r"by \(([^)]*)\)", each) for label in group.split(", ")}
        used |= set(re.findall(r"(\w+)=~?\"", each))
        (known,) = {frozenset(labels[name]) for name in re.findall(r"\bray_\w+", each)}
        assert used <= known, each


def test_panels_do_not_lie_on_one_another() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    cells = [(place["x"] + x, place["y"] + y) for place in places for x in range(place["w"]) for y in range(place["h"])]
    assert len(cells) == len(set(cells))
