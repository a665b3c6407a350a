"""A server of chat completions in the standard library alone, which starts a process of its own as vLLM does.

    python plain_server.py serve MODEL --port PORT ...

It answers with what it was started with and with the key that it got. A prompt with "die" kills it, once; while there
is a file MODEL/hold it answers nothing. MODEL/pids has its process ids. With a model called "silent" it is never ready.
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """GET /v1/models, which fails for a model called "unlisted", and /health; POST /v1/chat/completions."""

    def do_GET(self) -> None:
        if "unlisted" in sys.argv[2] and self.path == "/v1/models":
            self.send_error(500)
        else:
            self._send({"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(sys.argv[2] + "/asked", "a") as file:
            file.write("1\n")
        prompt = body["messages"][0]["content"][-1]["text"]
        if "die" in prompt and not os.path.exists(sys.argv[2] + "/died"):
            with open(sys.argv[2] + "/died", "w"):
                os.kill(os.getpid(), signal.SIGKILL)
        while os.path.exists(sys.argv[2] + "/hold"):
            time.sleep(0.02)
        said = {"prompt": prompt, "arguments": sys.argv[1:], "key": self.headers["Authorization"], "pids": PIDS}
        said["model"] = body["model"]
        message = {"role": "assistant", "content": json.dumps(said)}
        self._send({"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}})

    def _send(self, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    if "broken" in sys.argv[2]:
        sys.exit("the weights are broken")
    # In a session of its own, deaf to SIGTERM: as bad as a server's own processes get.
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); "
    code += "time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-I", "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    PIDS = [os.getpid(), child.pid]
    with open(sys.argv[2] + "/pids", "a") as file:
        file.write("".join(f"{pid}\n" for pid in PIDS))
    while "silent" in sys.argv[2]:
        time.sleep(0.02)
    port = int(sys.argv[sys.argv.index("--port") + 1])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
