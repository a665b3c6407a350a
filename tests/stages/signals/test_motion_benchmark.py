"""The benchmark of camera motions, at a small size and on drawn stills; docs/quality.md has it on photographs."""

from pathlib import Path

import pytest

from benchmarks.motion import camera
from stages.tasks import Size
from tests.stages.signals.test_flow import texture


@pytest.mark.system
def test_camera_motions_are_named_rightly(tmp_path: Path) -> None:
    stills = [texture(seed) for seed in (3, 7, 11)]
    assert camera(stills, tmp_path, clips=7, seed=2, is_kept=False, size=Size(160, 90)) == 1
