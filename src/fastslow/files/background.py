"""Work beside training, and the time that training has to wait for it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any


class Abandoned(Exception):
    """Raised inside work that nobody wants any more."""


class Background:
    """One piece of work at a time in a thread beside the caller. Its error rises in whoever waits for it.

    As a context it sees to it that nothing is left running: at its end, and where an error ends it, the work is waited
    for; where it is interrupted (KeyboardInterrupt, a second signal) the work is told to stop.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._stop = threading.Event()

    @property
    def pending(self) -> bool:
        """Whether there is something to wait for."""
        return self._thread is not None

    def start(self, work: Callable[[Callable[[], None]], None]) -> None:
        """Have `work(proceed)` done; calling `proceed` now and then lets it be abandoned."""
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
        """Until the work is done. Raises what it raised."""
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
        with contextlib.suppress(BaseException):  # the error that ends it all came first, and says more
            self.wait()
        return None


class SavingTime:
    """Keeps the time that training waits for checkpoints to a share of the run's."""

    def __init__(self, share: float):
        self._share = share
        self._cost, self._ended = 0.0, 0.0

    def allows_another(self) -> bool:
        """Whether one as dear as the last would keep to the share, counted from the end of the last."""
        since = time.perf_counter() - self._ended
        return self._cost * (1.0 - self._share) <= since * self._share

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """A new checkpoint begins."""
        self._cost = 0.0
        with self.waiting():
            yield

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The latest checkpoint holds training up."""
        started = time.perf_counter()
        yield
        self._ended = time.perf_counter()
        self._cost += self._ended - started
