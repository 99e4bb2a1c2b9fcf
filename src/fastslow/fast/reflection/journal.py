"""What a reflection LM answered, kept on disk before it is used: no paid call is made twice.

One line of JSON a reply, under the SHA-256 of everything the request said. Lines stay when a run is rewound to an
earlier checkpoint; replaying them is how the resumed run comes to the same contexts at no cost.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput

JOURNAL = "lm_journal.jsonl"


@dataclass(frozen=True)
class LMReply:
    """One reply of an endpoint. Token counts are None where it reported none."""

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None

    @property
    def metered(self) -> bool:
        return self.prompt_tokens is not None and self.completion_tokens is not None


def request_key(request: Mapping[str, Any]) -> str:
    """SHA-256 of a request: model, messages, parameters and seed, whatever their order."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class Journal:
    """Replies by request. Without a path it is kept in memory.

    A last line that a kill cut short was never used, and is passed over. Raises BadInput for a file that is no journal,
    and OSError where the disk does not take a line.
    """

    def __init__(self, path: Path | None = None):
        self.path = path
        self._replies: dict[str, LMReply] = {}
        if path is not None and path.exists():
            self._read(path)

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, key: str) -> LMReply | None:
        return self._replies.get(key)

    def add(self, key: str, reply: LMReply) -> None:
        """Keep a reply; on return the disk has it."""
        if self.path is not None:
            line = json.dumps({"key": key, **asdict(reply)}).encode() + b"\n"
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        self._replies[key] = reply

    def replies(self) -> list[LMReply]:
        """Every reply that was paid for, in order."""
        return list(self._replies.values())

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        *lines, rest = content.split(b"\n")
        try:
            for line in lines:
                data = json.loads(line)
                key = data.pop("key")
                self._replies[str(key)] = LMReply(**data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            number = len(self._replies) + 1
            raise BadInput(
                f"line {number} of '{path}' is no journal entry ({type(error).__name__}); delete that line: the call "
                "will be made again."
            ) from error
        if rest:  # cut by a kill
            with path.open("r+b") as file:
                file.truncate(len(content) - len(rest))
