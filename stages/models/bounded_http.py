"""An HTTP request whose whole answer has a time limit; the limit of a socket bounds only one read."""

import functools
import http.client
import io
import socket
import time
import urllib.request
from collections.abc import Mapping
from typing import Any, cast


class _Clocked(io.RawIOBase):
    """The bytes that a socket receives until a deadline, however many reads a dripping server makes of them."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._limit_s = sock.gettimeout() or 0.0
        self._deadline = time.monotonic() + self._limit_s
        self._bytes = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Some bytes.

        Raises:
            TimeoutError: the deadline has passed.
        """
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"the whole answer must arrive within {self._limit_s:g} s, and did not")
        self._sock.settimeout(left_s)
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self._bytes.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """Head and body, read within the socket's limit."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self.fp = io.BufferedReader(_Clocked(sock))


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(cast(Any, _Connection), req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(cast(Any, _SecureConnection), req)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Handler, _SecureHandler)


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> bytes:
    """The body of the answer.

    Args:
        url: of http or https; proxies are taken from the environment.
        body: what to send.
        headers: to send with it.
        timeout_s: longest wait for a connection, and from the request on for the end of the answer.

    Raises:
        urllib.error.HTTPError: the answer has another status than 2xx; reading its body is bounded as well.
        OSError: there is no connection, or no whole answer in time.
        http.client.HTTPException: what came is no HTTP.
    """
    with _opener().open(urllib.request.Request(url, body, dict(headers)), timeout=timeout_s) as response:
        return response.read()
