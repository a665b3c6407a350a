"""Starting an executor in a thread, while whoever needs it lists and plans."""

import threading
from collections.abc import Iterator, Sequence

from stages import executors
from stages.params import ExecutorParams
from stages.pipeline import AnyStage, Executor

WAIT_S = 0.2


class StartingExecutor:
    """An executor that starts in a thread of its own; importing Ray is part of that.

    The thread lives until `close`: Linux ends the processes of a private Ray with the thread that started them.

    Args:
        following: the stages of each of the first phases.
    """

    def __init__(self, params: ExecutorParams, following: Sequence[Sequence[AnyStage]]) -> None:
        self._params = params
        self._following = following
        self._executor: Executor | None = None
        self._error: Exception | None = None
        self._is_started, self._is_closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="start", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            executor = self._executor = executors.build_executor(self._params)
            executor.expect(self._following)
            if not self._is_closed.is_set():
                executor.start()
        except Exception as error:  # noqa: BLE001 - raised where the executor is asked for
            self._error = error
        finally:
            self._is_started.set()
        self._is_closed.wait()

    def wait(self) -> Iterator[None]:
        """Yield a few times a second until it has started."""
        while not self._is_started.wait(WAIT_S):
            yield

    def result(self) -> Executor:
        """The executor, once it has started.

        Raises:
            PoolError: it does not start.
        """
        self._is_started.wait()
        if self._error is not None:
            raise self._error
        assert self._executor is not None
        return self._executor

    def close(self) -> None:
        """Close it, whether it is there already or not; one whose import is under way does not start."""
        if not self._is_started.is_set():
            self._is_closed.set()
        self._is_started.wait()
        try:
            if self._executor is not None:
                self._executor.close()
        finally:
            self._is_closed.set()
            self._thread.join()
