"""Let the model and environments take turns, as tokens: what was sampled is never tokenised again.

Between two turns of the model stands what the chat template puts there: the end of its turn where it has not said that
itself, the environment's words as a turn of the user, and the beginning of the model's next turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from fastslow.core.seeding import derive_seed
from fastslow.core.types import Verdict
from fastslow.policy.chat import Chat
from fastslow.policy.engines.base import Prompt, Sample
from fastslow.tasks.episodes import BETWEEN, Episode, heard, transcribed, with_feedback

T = TypeVar("T")


@dataclass
class Conversation:
    """An episode so far: the tokens after the prompt, which of them the model said, and the turns as text.

    `problem` is the verdict where the environment could not judge; `open` says whether the model has another turn.
    """

    prompt: Prompt
    episode: Episode
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    said: list[bool] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    problem: Verdict | None = None
    open: bool = True

    @property
    def text(self) -> str:
        """The turns of both sides, those of the environment marked."""
        return BETWEEN.join(self.turns)

    def next_prompt(self) -> Prompt:
        """Return the prompt of the model's next turn; the first is drawn as an answer without an episode would be."""
        number = len(self.feedback)
        seed = self.prompt.seed if not number else derive_seed(self.prompt.seed, "turn", number)
        return Prompt((*self.prompt.ids, *self.ids), seed, self.prompt.prefix)

    def speak(self, sample: Sample, text: str) -> None:
        """Take up a turn of the model."""
        self.ids += sample.ids
        self.logprobs += sample.logprobs
        self.said += [True] * len(sample.ids)
        self.turns.append(transcribed(text))

    def hear(self, text: str, ids: Sequence[int]) -> None:
        """Take up a turn of the environment, `ids` being all that stands between two turns of the model."""
        self.ids += ids
        self.logprobs += [0.0] * len(ids)
        self.said += [False] * len(ids)
        self.turns.append(heard(text))


class Ask(Protocol):
    """Calls an environment about a conversation; the verdict of an unscored rollout where it raises."""

    def __call__(self, one: Conversation, ask: Callable[[], T]) -> T | Verdict: ...


@dataclass(frozen=True)
class Turns:
    """Take turns.

    Attributes:
        chat: the model's chat template.
        sample: draws the model's next turns.
        read: text of a turn, as a person sees it and as the environment hears it; None for the latter where the
            model's thoughts have no end.
        ask: calls an environment.
        window: most tokens of a whole conversation. `longest`: of a turn of the model.
        most: turns of the model in an episode.
    """

    chat: Chat
    sample: Callable[[list[Prompt]], list[Sample]]
    read: Callable[[Prompt, Sample], tuple[str, str | None]]
    ask: Ask
    window: int
    longest: int
    most: int

    def play(self, conversations: Sequence[Conversation]) -> list[Verdict]:
        """Go on until every episode has ended, and return their verdicts."""
        for _ in range(self.most):
            waiting = [one for one in conversations if one.open]
            if not waiting:
                break
            prompts = [one.next_prompt() for one in waiting]
            for one, prompt, sample in zip(waiting, prompts, self.sample(prompts), strict=True):
                self._turn(one, prompt, sample)
        return [self._verdict(one) for one in conversations]

    def _turn(self, one: Conversation, prompt: Prompt, sample: Sample) -> None:
        """Have the environment hear a turn, and the model its reply."""
        text, answer = self.read(prompt, sample)
        one.speak(sample, text)
        reply = self.ask(one, lambda: one.episode.step(answer or ""))
        if isinstance(reply, Verdict):
            one.problem, one.open = reply, False
            return
        one.feedback.append(reply.feedback)
        if reply.text is None or len(one.feedback) == self.most:
            one.open = False
            return
        said, last = reply.text, sample.ids[-1] if sample.ids else None
        role = reply.role
        # A template may refuse a reply.
        ids = self.ask(one, lambda: self.chat.after_answer(said, role=role, ended_with=last))
        if isinstance(ids, Verdict):
            one.problem, one.open = ids, False
            return
        if len(one.prompt.ids) + len(one.ids) + len(ids) + self.longest > self.window:
            one.open = False  # the model has no room for another turn
            return
        one.hear(said, ids)

    def _verdict(self, one: Conversation) -> Verdict:
        return with_feedback(one.problem or self.ask(one, one.episode.verdict), one.feedback)
