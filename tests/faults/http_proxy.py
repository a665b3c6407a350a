"""An HTTP proxy in front of a store, which changes requests, or answers some in the place of the store."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

Fault = Callable[["ProxyHandler"], bool]
"""Handles a request in the place of the store; false where it is to be forwarded."""


class ProxyHandler(BaseHTTPRequestHandler):
    """Forwards one request after another of a connection."""

    protocol_version = "HTTP/1.1"
    server: "HttpProxy"  # pyrefly: ignore[bad-override-mutable-attribute] - the one that serves

    def _serve(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.num_requests += 1
        if self.server.fault is None or not self.server.fault(self):
            self.respond(*self.answer_of_store())

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def answer_of_store(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body with which the store answers this request."""
        dropped = {*self.server.dropped, "expect"}  # of the latter http.server has answered what it asks for
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        if self.server.credentials is not None:
            headers = self._sign(headers, self.server.credentials)
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(self.body or None)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _sign(self, headers: dict[str, str], credentials: Credentials) -> dict[str, str]:
        """The headers with a signature of the proxy's own, in which those that it drops do not stand."""
        old = ("authorization", "host", "x-amz-date", "x-amz-content-sha256")
        kept = {name: value for name, value in headers.items() if name.lower() not in old}
        url = f"http://{self.server.upstream}{self.path}"
        request = AWSRequest(self.command, url, {**kept, "Host": self.server.upstream}, self.body)
        S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
        return dict(request.headers.items())

    def respond(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Send an answer."""
        self.send_response_only(status)
        kept = {
            name: value for name, value in headers.items() if name.lower() not in ("transfer-encoding", "connection")
        }
        if self.command != "HEAD" and "Content-Length" not in kept:
            kept["Content-Length"] = str(len(body))
        for name, value in kept.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """End the connection as a store does that dies: without an answer, by a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ValueError):  # the client left, or `reset` closed what is read from
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (ConnectionError, ValueError):
            self.close_connection = True


class HttpProxy(ThreadingHTTPServer):
    """A proxy on a free port of this machine.

    Args:
        url: of the store.
        dropped: names of headers, in small letters, that do not reach the store.
        credentials: with which it signs requests, as it must where a dropped header is signed; None where it leaves the
            client's signature.

    Attributes:
        url: of the proxy.
        fault: see `Fault`; None where all is forwarded.
        num_requests: requests that came in.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, url: str, *, dropped: tuple[str, ...] = (), credentials: Credentials | None = None) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.upstream = urlsplit(url).netloc
        self.dropped = dropped
        self.credentials = credentials
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.fault: Fault | None = None
        self.num_requests = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:  # pyrefly: ignore[bad-override]
        self.shutdown()
        self.server_close()


def overloaded(share_of: int) -> Fault:
    """One request of so many is answered with 503 SlowDown, as S3 does where too many come."""

    def fault(handler: ProxyHandler) -> bool:
        if handler.server.num_requests % share_of:
            return False
        body = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
        handler.respond(503, {"Content-Type": "application/xml"}, body)
        return True

    return fault


def resetting(share_of: int) -> Fault:
    """One connection of so many requests is reset in the place of an answer."""

    def fault(handler: ProxyHandler) -> bool:
        if handler.server.num_requests % share_of:
            return False
        handler.reset()
        return True

    return fault


def losing_answers(share_of: int) -> Fault:
    """One writing request of so many reaches the store, and its answer is lost with the connection."""

    def fault(handler: ProxyHandler) -> bool:
        if handler.command != "PUT" or handler.server.num_requests % share_of:
            return False
        handler.answer_of_store()
        handler.reset()
        return True

    return fault


def hanging(share_of: int, seconds: float) -> Fault:
    """One request of so many is not answered for this long, and then not either."""

    def fault(handler: ProxyHandler) -> bool:
        if handler.server.num_requests % share_of:
            return False
        time.sleep(seconds)
        handler.reset()
        return True

    return fault
