"""Parameters, models and packages that each table was made with, from the lineage of its commits."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from curator_dagster.printable_text import printable
from curator_dagster.report.committed_tables import CommittedAsset
from stages.params import PHASES

_MAX_VALUE_CHARS = 1000
_LINEAGE_FIELDS = ("phase", "code_version", "identity", "packages", "params")


def distinct_lineages(committed: Mapping[str, CommittedAsset]) -> list[dict[str, Any]]:
    """One entry for each asset and distinct lineage, with the number of partitions made with it."""
    return [entry for each in committed.values() for entry in _lineage_entries(each)]


def _lineage_entries(committed: CommittedAsset) -> list[dict[str, Any]]:
    lineages = Counter(
        json.dumps({name: commit.lineage.get(name) for name in _LINEAGE_FIELDS}, sort_keys=True)
        for commit in committed.commits.values()
    )
    return [
        {"asset": committed.asset, "partitions": count, **_lineage_entry(json.loads(lineage))}
        for lineage, count in lineages.most_common()
    ]


def _lineage_entry(lineage: Mapping[str, Any]) -> dict[str, Any]:
    phase = lineage["phase"]
    defaults = PHASES[phase]().model_dump(mode="json") if phase in PHASES else {}
    params = lineage["params"] or {}
    return {
        "phase": _text(phase),
        "code_version": _text(lineage["code_version"]),
        "identity": [[_text(name), _text(value)] for name, value in (lineage["identity"] or {}).items()],
        "packages": [[_text(name), _text(value)] for name, value in (lineage["packages"] or {}).items()],
        # In the order of declaration; then parameters that this version no longer has.
        "params": [
            [_text(name), _text(params[name]), name in defaults and params[name] != defaults[name]]
            for name in [
                *(each for each in defaults if each in params),
                *(each for each in params if each not in defaults),
            ]
        ],
    }


def _text(value: object) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _MAX_VALUE_CHARS)
