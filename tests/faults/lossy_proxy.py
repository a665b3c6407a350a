"""A proxy that can lose a response: the request reaches the server, and the client does not learn the result."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class LossyProxy:
    """Forwards bytes; on request it closes the connection at the beginning of the next response.

    Attributes:
        url: URL of the proxy, to be used in place of the server's.
        num_dropped: number of responses that were not forwarded.
        num_bytes: bytes forwarded in both directions.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.num_dropped = 0
        self.num_bytes = 0
        self._drops_next = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def drop_next_response(self) -> None:
        """Drop the next response of the server, on any connection."""
        self._drops_next = True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                threading.Thread(target=self._forward_requests, args=(client, server), daemon=True).start()
                threading.Thread(target=self._forward_responses, args=(client, server), daemon=True).start()

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                self.num_bytes += len(data)
                server.sendall(data)
        _close(server)

    def _forward_responses(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if self._drops_next and not data.startswith(b"HTTP/1.1 100"):
                    self._drops_next = False
                    self.num_dropped += 1
                    break
                self.num_bytes += len(data)
                client.sendall(data)
        _close(client)
        client.close()
        server.close()


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
