"""A server of raw bytes: whatever a test wants to be answered, HTTP or not, over a socket of loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator


class Liar:
    """Answers every request with `answer`, and then closes the connection; with `holds`, leaves it open. With `drip`,
    says that again and again after the answer, until the client has enough."""

    def __init__(self) -> None:
        self.answer, self.drip, self.holds = b"", b"", False
        self._kept: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def says(self, body: bytes, *headers: bytes, status: bytes = b"200 OK", holds: bool = False) -> None:
        """Answer with this body from now on, up to the end of the connection, under these lines of a head."""
        lines = [b"HTTP/1.1 " + status, *(headers or [b"content-type: application/json"]), b"connection: close"]
        self.answer, self.drip, self.holds = b"\r\n".join(lines) + b"\r\n\r\n" + body, b"", holds

    def streams(self, body: bytes, *, holds: bool = False) -> None:
        """Answer with these events from now on."""
        self.says(body, b"content-type: text/event-stream", holds=holds)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # else the thread goes on to wait
        self._listener.close()
        self._thread.join(5)
        for line in self._kept:
            line.close()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                line.settimeout(5)
                asked, more = b"", b"x"
                while more and (b"\r\n\r\n" not in asked or len(asked.partition(b"\r\n\r\n")[2]) < _length(asked)):
                    more = line.recv(65536)
                    asked += more
                line.sendall(self.answer)
                while self.drip:
                    line.sendall(self.drip)
                    time.sleep(0.02)
            if self.holds:
                self._kept.append(line)
            else:
                line.close()


def _length(asked: bytes) -> int:
    lines = asked.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)


@contextlib.contextmanager
def lying() -> Iterator[Liar]:
    """The server in a thread, up until the end of the block."""
    with contextlib.closing(Liar()) as liar:
        yield liar
