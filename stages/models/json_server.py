"""A JSON server over HTTP: many requests at once, each tried again while it fails in passing.

Runs in the worker. All requests share one event loop in a thread of its own, whichever batch or thread sends them.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from stages import heartbeat, retry
from stages.errors import Reason
from stages.models.retry_after import told_wait_s
from stages.tasks import Failed

T = TypeVar("T")

MAX_ANSWER_BYTES = 8 << 20
"""Largest answer that is read: a caption has some kilobytes, a batch of vectors some hundred."""
MAX_ERROR_BYTES = 64 << 10
"""Of an answer with another status than 2xx, what is read: its beginning stands in messages."""
MAX_TOLD_WAIT_S = 300.0
"""Longest time, in all, that one request waits because the server said so (``Retry-After``)."""
LEAST_TOLD_WAIT_S = 1.0
"""What a wait that the server asked for counts at least, so that ``Retry-After: 0`` without end has one."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Hosts that are asked without a proxy: to another machine they would be another server."""
COMPRESSIONS = ("gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd")
"""Values of ``Content-Encoding`` of bodies that are not their text; other values, such as a charset, change nothing."""
CONFIGURATION_STATUSES = (401, 403, 404)
"""Statuses for a wrong key, address or model name: faults of the configuration, not of what was sent."""
PASSING_STATUSES = (408, 425, 429)
"""Statuses, beside 5xx, that say that the same request may be answered later."""


class PassingError(Exception):
    """The server did not answer, is unable to for a while, or sent what another try may mend.

    Attributes:
        told_wait_s: seconds after which the server asked to be tried again; None where it did not.
        reason: of the row, where no try went better.
    """

    def __init__(self, message: str, *, told_wait_s: float | None = None, reason: Reason = Reason.SERVICE) -> None:
        super().__init__(message)
        self.told_wait_s = told_wait_s
        self.reason = reason


class RefusedError(Exception):
    """The server will not answer this request, however often it is asked.

    Attributes:
        reason: of the row.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


Read = Callable[[bytes, str], T | Failed]
"""Makes a result of an answer's body and its declared charset, or raises `PassingError` or `RefusedError`."""


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One POST.

    Attributes:
        body: JSON.
        read: what makes the result of the answer.
    """

    body: bytes
    read: Read[T]


class JsonServer:
    """Sends requests to one URL.

    Args:
        url: http or https; proxies are taken from the environment, but for this machine.
        headers: of each request. A redirect is not followed: it would carry them to another host.
        requests_in_flight: most requests at once, over all threads that send some.
        timeout_s: limit of the connection, and another for the whole answer.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, requests_in_flight: int, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._loop = asyncio.new_event_loop()
        self._slots = asyncio.Semaphore(requests_in_flight)
        self._client = httpx.AsyncClient(
            headers={"Content-Type": "application/json", **headers},
            timeout=httpx.Timeout(None, connect=timeout_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=requests_in_flight),
            mounts={f"all://{host}": None for host in LOOPBACK},
        )
        self._thread = threading.Thread(target=self._loop.run_forever, name="requests", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close all connections, and end the thread."""
        self._run(self._client.aclose()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def post_all(self, requests: Sequence[Request[T]]) -> list[T | Failed]:
        """The results, in the order of the requests. Beats while it waits: each request has limits of its own."""
        answers = [self._run(self._post(request, retry.current())) for request in requests]
        waiting: set[Future[tuple[T | Failed, int]]] = set(answers)
        while waiting:
            waiting = wait(waiting, timeout=1.0).not_done
            heartbeat.beat()
        results = [answer.result() for answer in answers]
        if retries := sum(num_retries for _, num_retries in results):
            heartbeat.count("request_retries", retries)
        return [result for result, _ in results]

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _post(self, request: Request[T], backoff: retry.Backoff) -> tuple[T | Failed, int]:
        """The result, and the number of tries after the first.

        A wait that the server asked for counts by its seconds, not as a failure.
        """
        failures, retries, told_s = 0, 0, 0.0
        async with self._slots:
            while True:
                try:
                    return request.read(*await self._exchange(request.body)), retries
                except RefusedError as refusal:
                    return Failed(refusal.reason, str(refusal)), retries
                except PassingError as error:
                    if error.told_wait_s is None:
                        failures += 1
                        wait_s = backoff.wait_s(failures)
                    else:
                        told_s += max(error.told_wait_s, LEAST_TOLD_WAIT_S)
                        wait_s = max(error.told_wait_s, min(backoff.first_s, LEAST_TOLD_WAIT_S))
                    if failures >= backoff.tries or told_s > MAX_TOLD_WAIT_S:
                        return Failed(error.reason, self._explain(error, retries + 1)), retries
                retries += 1
                await asyncio.sleep(wait_s)

    def _explain(self, error: PassingError, tries: int) -> str:
        number = "one try" if tries == 1 else f"{tries} tries"
        return f"{self._url} must answer, and did not in {number}: {error}"

    async def _exchange(self, body: bytes) -> tuple[bytes, str]:
        """Body and declared charset of a good answer.

        Raises:
            PassingError: there was none, and may be at another try.
            RefusedError: there was none, and will be none.
        """
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=body) as response,
            ):
                answer = await self._read(response)
        except TimeoutError as error:
            raise PassingError(f"the whole answer must arrive within {self._timeout_s:g} s, and did not") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise RefusedError(Reason.SERVICE, f"{self._url} must be a URL that can be asked: {error}") from error
        except httpx.HTTPError as error:  # connections refused, cut or broken, and bodies that do not unpack
            raise PassingError(f"{type(error).__name__}: {_root_cause(error)}") from error
        if not response.is_success:
            raise self._status_error(response, answer)
        return answer, response.charset_encoding or ""

    async def _read(self, response: httpx.Response) -> bytes:
        if response.is_success:
            self._check_encoding(response.headers.get("Content-Encoding", ""))
        answer = bytearray()
        async for part in response.aiter_bytes():
            answer += part
            if not response.is_success and len(answer) > MAX_ERROR_BYTES:
                break
            if len(answer) > MAX_ANSWER_BYTES:
                raise RefusedError(
                    Reason.SERVICE,
                    f"{self._url} must answer with at most {MAX_ANSWER_BYTES >> 20} MiB, and was still sending. "
                    "Its model may not stop by itself: lower caption.max_tokens, or set a stop sequence on the server.",
                )
        return bytes(answer)

    def _check_encoding(self, declared: str) -> None:
        """Check that an answer is not packed in a way that was not asked for.

        Raises:
            RefusedError: it is.
        """
        asked = self._client.headers["Accept-Encoding"]
        packed = [each for each in (part.strip().lower() for part in declared.split(",")) if each in COMPRESSIONS]
        if strange := [each for each in packed if each not in asked.split(", ")]:
            text = f"{self._url} must answer in an encoding that it was asked for ({asked}), got {strange[0]}."
            raise RefusedError(Reason.SERVICE, text)

    def _status_error(self, response: httpx.Response, answer: bytes) -> PassingError | RefusedError:
        message = f"status {response.status_code}: {answer[:500].decode(errors='replace')}"
        return error_of(response.status_code, self._url, message, response.headers)


def error_of(
    status: int, url: str, message: str, headers: Mapping[str, str] | None = None
) -> PassingError | RefusedError:
    """What a status other than 2xx means, also one that stands inside an answer; `message` says what came."""
    if status in PASSING_STATUSES or status >= 500:
        return PassingError(message, told_wait_s=told_wait_s(headers or {}))
    is_configuration = status in CONFIGURATION_STATUSES or 300 <= status < 400
    reason = Reason.SERVICE if is_configuration else Reason.STAGE_ERROR
    return RefusedError(reason, f"{url} must accept the request, got {message}")


def _root_cause(error: BaseException) -> BaseException:
    """The error of the operating system that a chain begins with; httpx says little more than that there was one."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
