"""Journal the replies of a reflection LM on disk before they are used, so that no paid call is made twice.

Each line is one reply as JSON, with the SHA-256 of its whole request. The lines stay when a run is rewound to an
earlier checkpoint: the resumed run replays them and reaches the same contexts at no cost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.files import jsonl

JOURNAL = "lm_journal.jsonl"


@dataclass(frozen=True)
class LMReply:
    """Hold one reply of an endpoint. Token counts are None where the endpoint reported none."""

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None

    @property
    def metered(self) -> bool:
        return self.prompt_tokens is not None and self.completion_tokens is not None


def request_key(request: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a request: model, messages, parameters and seed, whatever the order of the keys."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class Journal:
    """Look up replies by request. Without a path the journal lives in memory.

    A last line that a kill cut short was never used, and is removed. Raises BadInput for a file that is not a journal,
    and OSError where a line cannot be written.
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
        """Add a reply; on return the disk holds it."""
        if self.path is not None:
            line = json.dumps({"key": key, **asdict(reply)}).encode() + b"\n"
            jsonl.append(self.path, [line], sync=True)
        self._replies[key] = reply

    def replies(self) -> list[LMReply]:
        """Return every paid reply, in order."""
        return list(self._replies.values())

    def _read(self, path: Path) -> None:
        with path.open("r+b") as file:
            jsonl.cut_torn_line(file)
            try:
                for _, entry in jsonl.objects(file):
                    key = entry.pop("key")
                    self._replies[str(key)] = LMReply(**entry)
            except (jsonl.BadLine, KeyError, TypeError) as error:
                number = len(self._replies) + 1
                raise BadInput(
                    f"line {number} of '{path}' is not a journal entry ({type(error).__name__}); delete that line: "
                    "the call will be made again."
                ) from error
