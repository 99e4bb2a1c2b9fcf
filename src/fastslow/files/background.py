"""Write beside training, and bound the time that training waits."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any


class Abandoned(Exception):
    """Raised inside work that was told to stop."""


class Background:
    """Do one piece of work at a time in a thread beside the caller. An error of the work rises in `wait`.

    As a context manager it leaves nothing running: at the end of the block, and where an error ends the block, it waits
    for the work; where the block is interrupted (KeyboardInterrupt, a second signal) it tells the work to stop.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._stop = threading.Event()

    @property
    def pending(self) -> bool:
        """Whether work was started that `wait` has not returned from."""
        return self._thread is not None

    def start(self, work: Callable[[Callable[[], None]], None]) -> None:
        """Start `work(proceed)`. The work should call `proceed` often: a call raises Abandoned where the work is to
        stop."""
        self.wait()

        def run() -> None:
            try:
                work(self._proceed)
            except Abandoned:
                pass
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run, name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the work is done. Raises the error of the work."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _proceed(self) -> None:
        if self._stop.is_set():
            raise Abandoned

    def __enter__(self) -> Background:
        self._stop.clear()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is None:
            return self.wait()
        if not issubclass(kind, Exception):
            self._stop.set()
        with contextlib.suppress(BaseException):  # the error that ends the block came first, and says more
            self.wait()
        return None


class SavingTime:
    """Keep the time that training waits for checkpoints below a share of the time of the run."""

    def __init__(self, share: float):
        self._share = share
        self._cost, self._ended = 0.0, 0.0

    def allows_another(self) -> bool:
        """Return whether another checkpoint, as expensive as the last, would keep to the share, counted from the end of
        the last."""
        since = time.perf_counter() - self._ended
        return self._cost * (1.0 - self._share) <= since * self._share

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """Measure the time that training waits for a new checkpoint."""
        self._cost = 0.0
        with self.waiting():
            yield

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measure more time that training waits for the latest checkpoint."""
        started = time.perf_counter()
        yield
        self._ended = time.perf_counter()
        self._cost += self._ended - started
