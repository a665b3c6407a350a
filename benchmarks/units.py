"""Measure what one minute of a video costs, and what one clip and one partition leave behind.

    python benchmarks/units.py VIDEO [--set split.method=fixed_stride ...]

All phases run in this process. Seconds are CPU seconds of all its threads, so that other load does not count. The start
of each phase is in them once, so take a video of some minutes. docs/deploy.md says how to reckon with the figures.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import dagster as dg

from curator_dagster.commands.cli_params import parse_params
from curator_dagster.commands.dagster_run import execute_plan
from curator_dagster.commands.run_plan import plan_run
from stages.manifest import read_manifest
from stages.params import PHASES
from stages.run import open_session


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what one minute of a video costs.")
    parser.add_argument("video", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="PHASE.PARAM=VALUE")
    args = parser.parse_args()
    params = parse_params(None, ["executor.mode=local", *args.set])
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp() as instance:
        root = Path(folder, "root")
        source = Path(folder, "source")
        source.mkdir()
        shutil.copy(args.video, source)
        spent: dict[str, float] = {}
        with open_session(params["executor"]) as session:
            for phase, model in PHASES.items():
                before = time.process_time()
                execute_plan(plan_run(str(source), str(root), params, until=model.asset), session, instance)
                spent[phase] = time.process_time() - before
        report(args.video, root, spent)
        sizes = [len(record.event_log_entry.to_json()) for record in materializations(instance)]
        print(f"a materialization in Dagster's events: {sum(sizes) / len(sizes) / 1024:.1f} KiB")


def report(video: Path, root: Path, spent: dict[str, float]) -> None:
    (row,) = read_manifest(str(root), "videos").to_pylist()
    minutes = row["duration_s"] / 60
    source = video.stat().st_size / minutes / 1e6
    print(f"{video.name}: {row['width']}x{row['height']}, {minutes:.2f} min, {source:.1f} MB/min")
    for phase, seconds in spent.items():
        print(f"{phase:8} {seconds / minutes:7.1f} CPU s/min")
    clips = read_manifest(str(root), "clips").num_rows
    print(f"clips: {clips / minutes:.1f} /min")
    print(f"frame store: {folder_bytes(root / 'frames') / minutes / 1e6:.2f} MB/min")
    print(f"manifests: {folder_bytes(root / 'manifests') / clips / 1024:.1f} KiB/clip")
    kept = [row for row in read_manifest(str(root), "dataset").to_pylist() if row["status"] == "kept"]
    print(f"dataset: {len(kept)} clips, {folder_bytes(root / 'dataset') / minutes / 1e6:.2f} MB/min of source")


def materializations(instance: dg.DagsterInstance) -> list[dg.EventLogRecord]:
    found: list[dg.EventLogRecord] = []
    for model in PHASES.values():
        found += instance.fetch_materializations(dg.AssetKey(model.asset), limit=10).records
    return found


if __name__ == "__main__":
    main()
