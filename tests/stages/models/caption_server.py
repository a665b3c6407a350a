"""A real HTTP server that speaks chat completions and serves a small vision-language checkpoint made here."""

import base64
import io
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from tests.faults.waiting import STALL_TIMEOUT_S

WORDS = ["<end>", "a", "the", "red", "green", "blue", "dark", "bright", "square", "moves", "rests", "near", "slowly"]
PIXELS = 32


def make_checkpoint(folder: Path) -> Path:
    """Save a random image-to-words model of some thousand weights."""
    # Importing it takes seconds, in each process that runs tests.
    from transformers import GPT2Config, GPT2LMHeadModel, VisionEncoderDecoderModel, ViTConfig, ViTModel

    torch.manual_seed(7)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    encoder = ViTModel(ViTConfig(image_size=PIXELS, patch_size=16, intermediate_size=16, **sizes))
    ends: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "vocab_size": len(WORDS)}
    small: dict[str, Any] = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "initializer_range": 1.0}
    decoder = GPT2LMHeadModel(GPT2Config(add_cross_attention=True, **small, **ends))
    model: Any = VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    model.config.decoder_start_token_id = 1
    model.config.pad_token_id = 0
    model.save_pretrained(folder)
    return folder


class Answer(NamedTuple):
    """An answer as it is sent; of headers' names, an underscore stands for a hyphen."""

    body: bytes
    headers: dict[str, str]
    status: int = 200


Step = int | float | bytes | str | threading.Event | Answer


class CaptionServer(ThreadingHTTPServer):
    """Answers each request from the model, unless the test has put something else in `script`.

    Attributes:
        script: what to do with the next requests: a status, bytes to answer, bytes with headers, an URL to redirect to,
            an event to wait for first, or seconds between single bytes of the answer, head and all.
        default: what to do with requests when the script is empty; None to answer from the model.
        num_trailing_spaces: number of spaces after an answer that is sent byte by byte.
        requests: bodies received.
        authorizations: the headers Authorization received.
        barrier: if set, requests wait here for one another.
    """

    daemon_threads = True

    def __init__(self, checkpoint: Path) -> None:
        from transformers import VisionEncoderDecoderModel

        super().__init__(("127.0.0.1", 0), Handler)
        self.model: Any = VisionEncoderDecoderModel.from_pretrained(checkpoint).eval()
        self.script: deque[Step] = deque()
        self.default: Step | None = None
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.num_trailing_spaces = 0
        self.barrier: threading.Barrier | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        content = body["messages"][0]["content"]
        urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
        pixels = np.stack([picture(url) for url in urls]).astype(np.float32) / 127.5 - 1
        values = torch.from_numpy(pixels).permute(0, 3, 1, 2).mean(0, keepdim=True)
        with self._lock, torch.inference_mode():
            most = min(body["max_tokens"], 12)
            tokens = self.model.generate(values, min_new_tokens=most, max_new_tokens=most, do_sample=False)[0, 1:]
        words = [WORDS[token] for token in tokens.tolist() if token]
        return {
            "model": body["model"],
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}
            ],
            "usage": {"completion_tokens": len(tokens)},
        }


class Handler(BaseHTTPRequestHandler):
    """POST /v1/chat/completions."""

    server: CaptionServer  # pyrefly: ignore[bad-override-mutable-attribute]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.server.authorizations.append(self.headers["Authorization"])
        if self.server.barrier is not None:
            self.server.barrier.wait(timeout=STALL_TIMEOUT_S)
        step = self.server.script.popleft() if self.server.script else self.server.default
        if isinstance(step, threading.Event):
            step.wait(timeout=STALL_TIMEOUT_S)
        status, answer = 200, step
        if isinstance(step, int):
            status, answer = step, json.dumps({"error": {"message": f"the server says {step}"}}).encode()
        elif isinstance(step, str):
            self._send(302, b"moved", Location=step)
            return
        elif isinstance(step, Answer):
            self._send(step.status, step.body, **step.headers)
            return
        elif not isinstance(step, bytes):
            answer = json.dumps(self.server.answer(body)).encode()
        if isinstance(step, float):
            self._send_slowly(answer, step)
            return
        self._send(status if self.path == "/v1/chat/completions" else 404, answer)

    def _send_slowly(self, data: Any, pause_s: float) -> None:
        self.close_connection = True
        try:
            data = data.ljust(len(data) + self.server.num_trailing_spaces)
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data:
                self.wfile.write(bytes([byte]))
                time.sleep(pause_s)
        except ConnectionError:
            return

    def _send(self, status: int, data: Any, **headers: str) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:  # the client had no more patience, which is what some tests are about
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def picture(url: str) -> np.ndarray:
    """Uint8 ``[32, 32, 3]`` of a data URL."""
    head, _, data = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").resize((PIXELS, PIXELS)))


@contextmanager
def running_caption_server(checkpoint: Path) -> Iterator[CaptionServer]:
    """A server on a free port that is closed afterwards."""
    server = CaptionServer(checkpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
