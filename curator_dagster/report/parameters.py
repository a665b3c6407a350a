"""What each table was made with, from the lineage of its commits."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from curator_dagster.report.tables import Made
from curator_dagster.text import visible
from stages.params import PHASES

_LONGEST_VALUE = 1000
_MADE_WITH = ("phase", "code_version", "identity", "packages", "params")


def made_with(made: Mapping[str, Made]) -> list[dict[str, Any]]:
    """One entry an asset and way of making it, with the number of partitions that were made so."""
    return [entry for each in made.values() for entry in _ways(each)]


def _ways(made: Made) -> list[dict[str, Any]]:
    ways = Counter(
        json.dumps({name: commit.lineage.get(name) for name in _MADE_WITH}, sort_keys=True)
        for commit in made.commits.values()
    )
    return [{"asset": made.asset, "partitions": count, **_way(json.loads(way))} for way, count in ways.most_common()]


def _way(lineage: Mapping[str, Any]) -> dict[str, Any]:
    phase = lineage["phase"]
    usual = PHASES[phase]().model_dump(mode="json") if phase in PHASES else {}
    params = lineage["params"] or {}
    return {
        "phase": _shown(phase),
        "code_version": _shown(lineage["code_version"]),
        "identity": [[_shown(name), _shown(value)] for name, value in (lineage["identity"] or {}).items()],
        "packages": [[_shown(name), _shown(value)] for name, value in (lineage["packages"] or {}).items()],
        # In the order in which they are declared; then what this version no longer knows.
        "params": [
            [_shown(name), _shown(params[name]), name in usual and params[name] != usual[name]]
            for name in [*(each for each in usual if each in params), *(each for each in params if each not in usual)]
        ],
    }


def _shown(value: object) -> str:
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _LONGEST_VALUE)
