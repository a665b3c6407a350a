"""Compare the tokens a second that captions get of a server with those of a bare asyncio client.

    PYTHONPATH=. python benchmarks/captions.py [--videos 60] [--in-flight 8 16 32]

The server is a process of its own; its n-th answer takes as long, and has as many tokens, for either client. It notes
when each request comes and when its answer is ready. Between the first and the last of them, tokens a second and the
mean number of requests in flight are told, of the whole and of all but the last tenth, in which a run ends. How long
a loader took for the pictures of a clip is told too: on a machine without idle cores these come no faster, and bound
the number of requests in flight.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from aiohttp import web

from stages.manifest import ManifestRef
from stages.params import CaptionParams, ExecutorParams, FilterParams, ReadParams, SplitParams
from stages.run import open_session
from stages.sources import list_sources, register_sources
from stages.storage import Storage
from tests.videos import noise_shot, write_video

SECONDS_A_VIDEO = 8


def serve(channel: Connection) -> None:
    """Answer until the channel closes; send the address first, and what was noted whenever something is received."""
    noted: list[tuple[float, float, int]] = []

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        draw = random.Random(len(noted))
        noted.append((time.monotonic(), 0.0, draw.randrange(20, 80)))
        index, tokens = len(noted) - 1, noted[-1][2]
        await asyncio.sleep(tokens / 50)
        noted[index] = (noted[index][0], time.monotonic(), tokens)
        choice = {"message": {"content": "a red square slides"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"completion_tokens": tokens, "prompt_tokens": 900}})

    async def main() -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        channel.send(runner.addresses[0][1])
        while await asyncio.to_thread(channel.recv):
            channel.send(list(noted))
            noted.clear()

    asyncio.run(main())


def figures(noted: list[tuple[float, float, int]]) -> dict[str, float]:
    """Tokens a second and mean requests in flight, from the first request to the last answer, and to nine tenths."""
    begun, ended, tokens = (np.array(column) for column in zip(*sorted(noted), strict=True))
    found: dict[str, float] = {}
    for name, end in (("", ended.max()), ("_steady", np.quantile(ended, 0.9))):
        seconds = end - begun.min()
        within = np.clip(ended, None, end) - np.clip(begun, None, end)
        found[f"tokens_s{name}"] = float((tokens * within / (ended - begun)).sum() / seconds)
        found[f"in_flight{name}"] = float(within.sum() / seconds)
    return found


async def ask_bare(url: str, bodies: list[bytes], in_flight: int) -> None:
    slots = asyncio.Semaphore(in_flight)
    async with httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_keepalive_connections=in_flight)) as client:

        async def ask(body: bytes) -> None:
            async with slots:
                (await client.post(url, content=body)).raise_for_status()

        await asyncio.gather(*(ask(body) for body in bodies))


def make_clips(folder: Path, num_videos: int) -> tuple[str, list[str]]:
    """Curate synthetic videos up to filtered_clips; the root and its partitions."""
    source, root = folder / "in", str(folder / "out")
    source.mkdir()
    for number in range(num_videos):
        pictures = noise_shot(number, SECONDS_A_VIDEO * 25, width=192, height=108)
        write_video(source / f"{number:04}.mp4", pictures, options={"preset": "ultrafast"})
    read = ReadParams(exact_copies=False)
    names = register_sources(Storage(root), list_sources(str(source), read), read)
    split = SplitParams(method="fixed_stride", clip_length_s=2)
    steps = [("videos", read), ("clips", split), ("filtered_clips", FilterParams(score_only=["all"]))]
    with open_session(ExecutorParams(mode="local")) as session:
        before: dict[str, list[ManifestRef]] = {}
        for asset, params in steps:
            outputs = [ManifestRef(root, asset, name) for name in names]
            session.run_phase(params, before, outputs)
            before = {asset: outputs}
    return root, names


def caption(root: str, partitions: list[str], url: str, in_flight: int, model: str) -> float:
    """Caption all clips, by a model that they were not captioned by; the mean time that loading took for one, s."""
    inputs = {"filtered_clips": [ManifestRef(root, "filtered_clips", name) for name in partitions]}
    outputs = [ManifestRef(root, "captions", name) for name in partitions]
    params: dict[str, Any] = {"captioner": "openai", "model": model, "base_url": url}
    with open_session(ExecutorParams()) as session:
        reports = session.run_phase(CaptionParams(**params, requests_in_flight=in_flight), inputs, outputs)
    loading = reports[partitions[0]].stages["load_frames"]
    return loading.busy_s / loading.tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[8, 16, 32])
    arguments = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"

    def noted() -> list[tuple[float, float, int]]:
        ours.send(True)
        return ours.recv()

    with tempfile.TemporaryDirectory() as folder:
        root, partitions = make_clips(Path(folder), arguments.videos)
        for number, in_flight in enumerate(arguments.in_flight):
            loading_s = caption(root, partitions, url, in_flight, f"m{number}")
            asked = noted()
            count, captions = len(asked), figures(asked)
            bodies = [json.dumps({"model": "m", "pictures": "x" * 60_000}).encode()] * count
            asyncio.run(ask_bare(f"{url}/chat/completions", bodies, in_flight))
            bare = figures(noted())
            print(f"{in_flight:4} in flight, loading took {loading_s * 1000:.0f} ms a clip", flush=True)
            for name in captions:
                print(
                    f"{in_flight:4} in flight, {count} requests, {name:16} captions {captions[name]:8.1f} "
                    f"bare {bare[name]:8.1f} ratio {captions[name] / bare[name]:.3f}",
                    flush=True,
                )
    ours.send(False)
    server.join()


if __name__ == "__main__":
    main()
