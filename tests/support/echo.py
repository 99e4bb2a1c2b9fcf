"""An environment for random models: it answers each turn by its length, and pays by the characters of all turns."""

from __future__ import annotations

from typing import Any

from fastslow.core.types import Example, Verdict
from fastslow.tasks.episodes import Reply


class Echo:
    def __init__(self, turns: int, fails_at: int = 0):
        self.heard: list[str] = []
        self.turns, self.fails_at = turns, fails_at

    def step(self, turn: str) -> Reply:
        self.heard.append(turn)
        if len(self.heard) == self.fails_at:
            raise RuntimeError("the environment is gone")
        if len(self.heard) == self.turns:
            return Reply(None, f"{len(turn)} characters")
        return Reply(f"{len(turn)} characters.", f"{len(turn)} characters")

    def verdict(self) -> Verdict:
        return Verdict((sum(map(ord, "".join(self.heard))) % 5) / 4, "The end.")


class EchoTask:
    """As many turns as the example's number says: of three examples one wants a single answer."""

    name = "echo"

    def __init__(self, train_size: int = 40, validation_size: int = 6, test_size: int = 4, **how: Any):
        self.sizes = {"train": train_size, "validation": validation_size, "test": test_size}
        self.how = how

    def split(self, name: str) -> list[Example]:
        return [
            Example(f"{name}{i}", self.name, name, ({"role": "user", "content": f"Say {name} {i}."},))  # type: ignore[arg-type]
            for i in range(self.sizes[name])
        ]

    def score(self, example: Example, completion: str) -> Verdict:
        return Verdict((sum(map(ord, completion)) % 5) / 4, "")

    def episode(self, example: Example) -> Echo | None:
        turns = int(example.id[-1]) % 3 + 1
        return None if turns == 1 else Echo(turns, **self.how)

    def answer(self, example: Example) -> str | None:
        return None


def make_task(train_size: int = 40, validation_size: int = 6, test_size: int = 4) -> EchoTask:
    return EchoTask(train_size, validation_size, test_size)
