"""HTTP POST with a time limit for the whole response. A socket timeout bounds only a single read."""

import functools
import http.client
import io
import socket
import time
import urllib.request
from collections.abc import Mapping
from typing import IO, Any


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a deadline, also where a slow server sends the response in many small parts."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._limit_s = sock.gettimeout() or 0.0
        self._deadline = time.monotonic() + self._limit_s
        self._bytes = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read once, with the time that remains as the socket's timeout.

        Raises:
            TimeoutError: the deadline has passed.
        """
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError(f"the whole answer must arrive within {self._limit_s:g} s, and did not")
        self._sock.settimeout(remaining_s)
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        """Close the reader."""
        self._bytes.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """A response whose headers and body are read before one deadline, the socket's timeout after it starts."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self.fp = io.BufferedReader(_DeadlineReader(sock))


class _DeadlineHTTPConnection(http.client.HTTPConnection):
    response_class = _DeadlineResponse


class _DeadlineHTTPSConnection(http.client.HTTPSConnection):
    response_class = _DeadlineResponse


class _DeadlineHTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_DeadlineHTTPConnection, req)


class _DeadlineHTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_DeadlineHTTPSConnection, req)


class _NoRedirectHandler(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the error that its status is: followed, it would carry the headers to another host."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> None:
        """No further request."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_DeadlineHTTPHandler, _DeadlineHTTPSHandler, _NoRedirectHandler)


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> bytes:
    """Send a POST request and return the response body. A redirect is not followed.

    Args:
        url: http or https; proxies are taken from the environment.
        body: request body.
        headers: request headers.
        timeout_s: limit for the connection, and another, from the request on, for the whole response.

    Raises:
        urllib.error.HTTPError: the status is not 2xx; reading the error's body has the same deadline.
        OSError: the connection fails, or the response is not complete in time.
        http.client.HTTPException: the response is not HTTP.
    """
    with _opener().open(urllib.request.Request(url, body, dict(headers)), timeout=timeout_s) as response:
        return response.read()
