"""Sources of equal size, compared on the workers of a Ray."""

from pathlib import Path

import pytest

from stages.manifest import ManifestRef, read_manifest
from stages.params import ExecutorParams, ReadParams
from stages.run import open_session
from stages.sources import list_sources, register_sources
from stages.storage import Storage
from tests.faults.session_ray import wait_for_free_cpus
from tests.videos import noise_shot, write_video


@pytest.mark.usefixtures("ray_cluster")
def test_workers_of_ray_find_a_copy_and_decode_nothing(tmp_path: Path) -> None:
    folder, params, root = tmp_path / "sources", ReadParams(), Storage(tmp_path / "root")
    folder.mkdir()
    content = write_video(folder / "a.mp4", noise_shot(1, 5)).read_bytes()
    (folder / "b.mp4").write_bytes(content)
    (partition,) = register_sources(root, list_sources(str(folder), params), params)
    wait_for_free_cpus()
    with open_session(ExecutorParams(num_workers=1, worker_memory_gb=4)) as session:
        report = session.run_phase(params, {}, [ManifestRef(root.root, "videos", partition)])[partition]
    assert {name: stage.tasks for name, stage in report.stages.items()} == {"sample": 2, "hash": 2, "probe": 2}
    assert report.counters["compared_bytes"] == 2 * len(content)
    rows = {Path(row["uri"]).name: row for row in read_manifest(root.root, "videos").to_pylist()}
    assert (rows["a.mp4"]["status"], rows["b.mp4"]["status"]) == ("kept", "rejected")
    assert (rows["b.mp4"]["reason"], rows["b.mp4"]["copy_of"]) == ("exact_copy", rows["a.mp4"]["video_id"])
    assert rows["b.mp4"]["codec"] is None, "what only its header tells"
