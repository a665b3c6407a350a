"""Sources made to harm: nothing but the source is read, time and memory stay bounded, every one has its row.

1. What names other files or hosts opens none.
2. Neither a huge picture nor a million streams takes the memory or the time of the machine.
3. Times that are negative, jump or overflow end in rows, and clips in files.
4. Names and captions stay text, wherever they are shown.
"""

import contextlib
import csv
import io
import json
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from curator_dagster.commands.show import write_csv, write_table
from stages.errors import CorruptStream, ParamsError
from stages.manifest import ManifestRef, commit_table
from stages.media import decode_frames, open_video
from stages.media.container import MAX_PIXELS
from stages.params import ExecutorParams, SplitParams
from stages.run import open_session
from stages.storage import Storage
from tests.faults.damage_run import DamagedSource, DamageRun, OutcomeCounts
from tests.faults.hostile_media import MANY_STREAMS, HostileFile, huge_h264, patch_box
from tests.faults.measurements import record
from tests.faults.waiting import run_command
from tests.videos import noise_shot, write_video

NUM_STREAMS = 1_000_000
SPLIT_PARAMS = SplitParams(method="fixed_stride", clip_length_s=0.5, min_length_s=0, max_clips=2, max_failed_fraction=1)
PROBE_PROGRAM = """
import json, re, sys, time
from stages.errors import SourceError
from stages.media import probe

def peak_mb():  # ru_maxrss would be that of the parent
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

before, started, outcome = peak_mb(), time.process_time(), "kept"
try:
    probe(sys.argv[1])
except SourceError as error:
    outcome = str(error)
seconds = round(time.process_time() - started, 2)
print(json.dumps({"outcome": outcome, "seconds": seconds, "peak_mb": peak_mb() - before}))
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """One second at 25 fps."""
    path = tmp_path_factory.mktemp("plain") / "a.mp4"
    return write_video(path, noise_shot(1, 25), options={"g": "5"}).read_bytes()


def count_outcomes(sources: Sequence[DamagedSource], folder: Path) -> OutcomeCounts:
    """Run read, split and write on the sources, check every promise about rows, and count the outcomes."""
    with open_session(ExecutorParams(mode="local")) as session:
        damage_run = DamageRun(folder / "batch", session, SPLIT_PARAMS)
        damage_run.run(sources)
    assert damage_run.counts.problems == []
    return damage_run.counts


def playlists(address: str, plain: bytes) -> dict[str, bytes]:
    """Texts that ask for another file, and a video whose header names another file for its data."""
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2,\nhttp://{address}/a.ts\n#EXT-X-ENDLIST\n"
    dash = f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>http://{address}/</BaseURL></MPD>'
    return {
        "hls": hls.encode(),
        "concat": f"ffconcat version 1.0\nfile 'http://{address}/a.mp4'\n".encode(),
        "dash": dash.encode(),
        "session": f"v=0\no=- 0 0 IN IP4 {address}\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5 RTP/AVP 96\n".encode(),
        "rtsp": f"rtsptext\nrtsp://{address}/a\n".encode(),
        "reference": patch_box(plain, "dref", 8, 0x0C, int.from_bytes(b"url "), 0),
        "smil": f'<smil><body><video src="http://{address}/a.mp4"/></body></smil>'.encode(),
    }


def test_playlists_reach_no_host(tmp_path: Path, plain: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = "{}:{}".format(*listener.getsockname())
        sources = [HostileFile(kind, data) for kind, data in playlists(address, plain).items()]
        counts = count_outcomes(sources, tmp_path)
        connections = num_connections(listener)
    assert counts.outcomes[("hls", "read: unreadable")] == 1
    assert connections == 0
    record("hostile: texts that name other files", sources=len(sources), connections=connections)


def num_connections(listener: socket.socket) -> int:
    """Number of connections that wait to be accepted."""
    listener.setblocking(False)
    connections = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            connections += 1
    return connections


def measure_probe(path: Path) -> dict[str, float | str]:
    """The outcome of a probe in a process of its own, its CPU time and its memory."""
    return json.loads(run_command([sys.executable, "-c", PROBE_PROGRAM, str(path)]).stdout)


@pytest.mark.parametrize("side", [16_000, 65_520])
def test_huge_picture_is_refused_before_it_takes_memory(tmp_path: Path, side: int) -> None:
    result = measure_probe(HostileFile("huge", huge_h264(side)).make(tmp_path))
    # What is beyond H.264 itself its decoder refuses, and no size is known.
    assert (f"at most {MAX_PIXELS} pixels" if side == 16_000 else "before its first frame") in str(result["outcome"])
    assert float(result["peak_mb"]) < 150
    record(f"hostile: picture of {side}x{side}", peak_mb=round(float(result["peak_mb"])), seconds=result["seconds"])


def test_picture_that_grows_huge_is_left_out(tmp_path: Path) -> None:
    path = HostileFile("grows", huge_h264(64) + huge_h264(16_000)).make(tmp_path)
    widths: set[int] = set()
    with open_video(str(path)) as container, pytest.raises(CorruptStream, match="8 packets do not decode"):
        widths.update(decoded.frame.width for decoded in decode_frames(container))
    assert widths == {64}


@pytest.mark.parametrize("container", MANY_STREAMS)
def test_million_streams_are_bounded(tmp_path: Path, container: str) -> None:
    result = measure_probe(HostileFile("many", MANY_STREAMS[container](NUM_STREAMS)).make(tmp_path))
    assert float(result["peak_mb"]) < 300
    assert float(result["seconds"]) < 10
    record(f"hostile: million streams, {container}", peak_mb=round(float(result["peak_mb"])), seconds=result["seconds"])


TIMES: dict[str, tuple[str, int, list[int]]] = {
    "duration below zero": ("mdhd", 16, [-1]),
    "film duration below zero": ("mvhd", 16, [-5]),
    "time base of zero": ("mdhd", 12, [0]),
    "film time base of zero": ("mvhd", 12, [0]),
    "time base of 2**31": ("mdhd", 12, [2**31 - 1]),
    "time base below zero": ("mdhd", 12, [-1]),
    "edit of negative length": ("elst", 8, [-1000, -500]),
    "edit that begins before the film": ("elst", 8, [1000, -500_000]),
    "edit without end": ("elst", 8, [2**31 - 1, -1]),
    "frames of negative length": ("stts", 8, [25, -512]),
    "frames of no length": ("stts", 8, [25, 0]),
    "frames of 2**31": ("stts", 8, [25, 2**31 - 1]),
    "more times than frames": ("stts", 4, [2**28]),
    "more frames than bytes": ("stsz", 4, [10, 2**28]),
    "all frames in one chunk": ("stsc", 8, [1, 2**28, 1]),
    "offset of -2**31": ("ctts", 12, [-(2**31)]),
}


def test_impossible_times_end_in_rows(tmp_path: Path, plain: bytes) -> None:
    sources = [HostileFile(kind, patch_box(plain, box, offset, *words)) for kind, (box, offset, words) in TIMES.items()]
    counts = count_outcomes(sources, tmp_path)
    assert {kind for kind, _ in counts.outcomes} == set(TIMES)
    assert sum(outcome == "kept" for _, outcome in counts.outcomes) > len(TIMES) / 2


NAMES = [
    "..%2F..%2Fescape.mp4",
    "%00.mp4",
    "a\nb\r\tc.mp4",
    "red\x1b[31m\x1b]0;title\x07.mp4",
    "'\"; touch x; $(touch x) `touch x`.mp4",
    "<script>alert(1)<!--.mp4",
    "| a | ![b](c) [d](javascript:e) **.mp4",
    "http:x::memory:y.mp4",
    "-rf.mp4",
    "\u202egnp.mp4",
]
"""Of files; a slash stands in none."""


def test_names_stay_text(tmp_path: Path, plain: bytes) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    names = [HostileFile("name", plain, name).make(sources).name for name in NAMES]
    counts = count_outcomes([HostileFile(name, plain, name) for name in names], tmp_path)
    assert counts.outcomes == {(name, "kept"): 1 for name in names}
    left = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(str(path.parent) for path in left) == ["batch/root/runs", *["sources"] * len(names)]
    assert sorted(path.name for path in sources.iterdir()) == sorted(names)


def test_names_and_captions_do_not_steer_a_terminal() -> None:
    texts = [f"{name} caption" for name in NAMES]
    table = pa.table({"partition": texts, "status": texts, "uri": texts, "caption": texts, "path": texts})
    out, csv_out = io.StringIO(), io.StringIO()
    write_table(table, Console(file=out, force_terminal=True, width=400, color_system="truecolor", markup=False))
    write_csv(table, csv_out)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())  # the table's own colours
    assert not [mark for mark in shown if not mark.isprintable() and mark != "\n"]
    assert all(repr(name)[1:-1] in shown for name in NAMES if "'" not in name)
    assert [row["caption"] for row in csv.DictReader(io.StringIO(csv_out.getvalue(), newline=""))] == texts


@pytest.mark.parametrize("partition", ["../../outside", "a/../../b", ".."])
def test_partition_that_leaves_the_root_is_refused(tmp_path: Path, partition: str) -> None:
    ref = ManifestRef(str(tmp_path / "root"), "clips", partition)
    with pytest.raises(ParamsError, match="must not leave it"):
        commit_table(Storage(ref.root), ref, [], {})
    assert not list(tmp_path.rglob("*outside*"))
