"""A person's way through the web pages, in a real browser.

1. A video that lies in the watched folder becomes a dataset once the sensor is turned on.
2. The asset's page shows pictures of its clips.
3. The launchpad refuses a name that is no parameter; a value out of bounds ends the run in its first step.
4. A run that is cancelled while it splits gives its workers back within 10 s.
"""

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.server import Server
from tests.faults.measurements import record
from tests.faults.waiting import wait_until
from tests.videos import noise_shot, three_shots, write_video

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOCATION = "locations/curator_dagster"
TICK_S = 120.0
FREED_S = 10.0


@pytest.mark.long
@pytest.mark.timeout(900)
def test_what_a_person_does_in_the_browser(page: "Page", server: Server) -> None:
    put(three_shots(server.source.parent / "short.mp4"), server.source)
    page.goto(f"{server.url}/{LOCATION}/sensors/new_videos")
    page.locator("label:has(input[type=checkbox])").first.click()
    seconds = wait_until(lambda: shows_pictures(page, server), describe=server.run_ids, interval_s=2.0)
    record("browser: sensor turned on until the dataset's page shows pictures", seconds=round(seconds, 1))
    (partition,) = os.listdir(server.root / "manifests" / "dataset")
    assert_launchpad_refuses_a_wrong_name(page, server)
    assert_run_refuses_what_is_out_of_bounds(page, server, partition)
    assert_cancelled_run_frees_its_workers(page, server)


def shows_pictures(page: "Page", server: Server) -> bool:
    """The page of the dataset, loaded anew, has a picture that the browser could decode."""
    page.goto(f"{server.url}/assets/dataset?view=overview")
    page.get_by_text("Metadata", exact=True).last.wait_for()
    pictures = "[...document.querySelectorAll('img')].filter(img => img.src.startsWith('data:image/webp'))"
    return page.get_by_text("kept_clips_1").count() > 0 and page.evaluate(f"{pictures}.some(img => img.naturalWidth)")


def assert_launchpad_refuses_a_wrong_name(page: "Page", server: Server) -> None:
    open_launchpad(page, server, "filtered_clips: {config: {motion_minimum: 0.1}}")
    page.get_by_text('Received unexpected config entry "motion_minimum"').wait_for()
    assert page.get_by_role("button", name="Launch Run").is_disabled()


def assert_run_refuses_what_is_out_of_bounds(page: "Page", server: Server, partition: str) -> None:
    open_launchpad(page, server, "filtered_clips: {config: {black_max: 1.5}}\n  clips: {config: {threshold: 7}}")
    page.get_by_placeholder("Partition").click()
    page.get_by_text(partition).first.click()
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url("**/runs/*")
    page.get_by_text("Failure", exact=True).first.wait_for()
    message = page.get_by_text("split.threshold: Input should be less than 1, got 7.").first
    message.wait_for()
    assert "filter.black_max: Input should be less than or equal to 1, got 1.5." in message.inner_text()


def assert_cancelled_run_frees_its_workers(page: "Page", server: Server) -> None:
    before = server.run_ids()
    pictures = [picture for seed in range(60) for picture in noise_shot(seed, 75)]
    put(write_video(server.source.parent / "long.mp4", pictures), server.source)
    wait_until(lambda: server.run_ids() != before, describe=server.run_ids, interval_s=0.5)
    page.goto(f"{server.url}/runs/{server.run_ids()[0]}")
    line = re.compile("split: .* min of video, 0 of 1 items, [0-9.]+ frames/s")
    page.get_by_text(line).first.wait_for(timeout=1000 * TICK_S)
    assert server.ray_processes()
    page.get_by_role("button", name="Terminate").click()
    page.get_by_role("button", name="Terminate 1 run").click()
    seconds = wait_until(lambda: not server.ray_processes(), describe=server.ray_processes)
    assert seconds < FREED_S
    page.get_by_text("Canceled", exact=True).first.wait_for()
    record("browser: a cancelled run's workers are gone", seconds=round(seconds, 1))


def open_launchpad(page: "Page", server: Server, ops: str) -> None:
    """The launchpad of the job, with this config of its steps in the editor."""
    page.goto(f"{server.url}/{LOCATION}/jobs/curate/playground")
    page.get_by_text("No errors").wait_for()
    page.evaluate("text => document.querySelector('.CodeMirror').CodeMirror.setValue(text)", f"ops:\n  {ops}\n")


def put(video: Path, folder: Path) -> None:
    """Lay it into a folder that is watched, as one that has stopped changing an hour ago."""
    an_hour_ago = time.time() - 3600
    os.utime(video, times=(an_hour_ago, an_hour_ago))
    video.rename(folder / video.name)
