"""The lineage of a version of a table: which run made it, by what code and parameters, and from what."""

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from typing import Any

from stages.manifest import ManifestRef
from stages.phase import Phase

_PACKAGES = ("curator-dagster", "av", "torch", "ray", "numpy", "faiss-cpu", "pyarrow", "opencv-python-headless")


def lineage_of_table(
    phase: Phase[Any], output: ManifestRef, *, run_id: str, run_number: int, inputs: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """The lineage of the version that a run is about to make.

    Args:
        phase: that makes it.
        output: the table.
        run_id: of the run.
        run_number: of its record, see `stages.run_records`; 0 without one.
        inputs: numbers of the commits that it is made from, by asset and partition.
    """
    sources = phase.sources_seen(output)
    return {
        "run_id": run_id,
        "run": run_number,
        "inputs": inputs,
        **({} if sources is None else {"sources": sources}),
        "phase": phase.params.phase,
        "code_version": phase.params.code_version,
        "params": phase.params.model_dump(mode="json"),
        "identity": phase.identity(),
        "packages": _package_versions(),
    }


@cache
def _package_versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
