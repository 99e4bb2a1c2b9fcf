"""Environments whose methods the model calls as tools, as `environment_factory` of TRL's GRPOTrainer makes them.

Such an environment has `reset(**row)`, which may return what the model is told besides its question, public methods,
which are the tools, and `get_reward()`. Here each rollout gets one of its own, whose calls are the turns of an episode.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers.utils import get_json_schema

from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Message, Split, Verdict
from fastslow.tasks.episodes import Reply, judge_turns

CALL, CALL_END = "<tool_call>", "</tool_call>"
"""Around a call, as Qwen and Hermes write it; calls of other families are spelled so before an episode hears them."""

OWN = ("reset", "get_reward")
"""Methods of an environment that are no tools."""

Row = Mapping[str, Any]


class EnvironmentTask:
    """Make a task of rows and an environment's class, as they are given to `GRPOTrainer(environment_factory=...)`.

    A row has a `prompt`, a text or messages of which the last is the user's; what `reset(**row)` returns is added to
    it. Rewards of `get_reward` lie in [0, 1]; None is unscored. An environment may say more to proposers: a text in its
    attribute `feedback` is read after each turn and emptied, and `answer` of a row is a good first turn to show.

    Args:
        name: of the task.
        splits: the rows of 'train', 'validation' and 'test'.
        factory: makes an environment; called for each rollout.
        in_question: whether the tools are described in the question, and their results come as turns of the user: for
            models whose chat template knows no tools.

    Raises:
        BadInput: for an environment without tools, or tools that have no type or description of an argument.
    """

    def __init__(
        self,
        name: str,
        splits: Mapping[Split, Sequence[Row]],
        factory: Callable[[], Any],
        *,
        in_question: bool = False,
    ):
        self.name = name
        self._factory = factory
        schemas = schemas_of(factory())
        self.tools = [] if in_question else schemas
        self._told = described(schemas) if in_question else ""
        self._role = "user" if in_question else "tool"
        self._rows: dict[str, Row] = {}
        self._splits = {
            split: [self._example(f"{split}-{number}", split, row) for number, row in enumerate(rows)]
            for split, rows in splits.items()
        }

    def split(self, name: Split) -> Sequence[Example]:
        return self._splits.get(name, [])

    def episode(self, example: Example) -> ToolEpisode:
        """Begin an episode in an environment of its own. Raises Failed where making or resetting it raises."""
        made = foreign.call(self._factory, who=f"task '{self.name}'")
        return ToolEpisode(made, self._rows[example.id], role=self._role)

    def score(self, example: Example, completion: str) -> Verdict:
        """Judge a text as an episode's only turn."""
        return judge_turns(self.episode(example), [completion])

    def answer(self, example: Example) -> str | None:
        """Return the row's `answer`, a good first turn; None where it has none."""
        answer = self._rows[example.id].get("answer")
        return answer if isinstance(answer, str) else None

    def _example(self, id_: str, split: Split, row: Row) -> Example:
        prompt = row.get("prompt")
        turns: list[Message] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt or ())
        if not turns or turns[-1].get("role") != "user" or not str(turns[-1].get("content") or "").strip():
            raise BadInput(
                f"row {id_} of task '{self.name}' needs a 'prompt': a text, or messages that end with the user."
            )
        try:
            said = foreign.call(lambda: self._factory().reset(**foreign.fresh(dict(row))), who=f"task '{self.name}'")
        except foreign.Failed as fault:
            raise BadInput(f"row {id_} of task '{self.name}': reset raised {fault}.") from fault
        parts = (self._told, turns[-1]["content"], *([said] if isinstance(said, str) and said else []))
        turns[-1] = {**turns[-1], "content": "\n\n".join(filter(None, parts))}
        self._rows[id_] = row
        return Example(id_, self.name, split, tuple(turns))


class ToolEpisode:
    """Play an environment of tools: a turn without a call ends the episode.

    Args:
        environment: has `reset`, tools and `get_reward`; not shared with another episode.
        row: what `reset` is given.
        role: whose turns the results are, 'tool' or 'user'.

    Raises:
        Failed: where the environment raises, but for its tools.
    """

    def __init__(self, environment: Any, row: Row, *, role: str = "tool"):
        self._environment, self._role = environment, role
        self._names, self._who = tool_names(environment), f"environment {type(environment).__name__}"
        foreign.call(lambda: environment.reset(**foreign.fresh(dict(row))), who=self._who)

    def step(self, turn: str) -> Reply:
        """Call what the turn calls, and return the results; what goes wrong in a call is told as its result."""
        calls = calls_in(turn)
        results, problems = [], []
        for call in calls:
            result, problem = self._called(call)
            results.append(f"<tool_response>\n{result}\n</tool_response>" if self._role == "user" else result)
            problems += [problem] if problem else []
        told = getattr(self._environment, "feedback", "")
        if isinstance(told, str) and told:
            problems.append(told)
            self._environment.feedback = ""
        return Reply("\n".join(results) if calls else None, " ".join(problems), role=self._role)

    def verdict(self) -> Verdict:
        """Return the environment's reward. Raises ValueError for one outside [0, 1], and Failed where it raises."""
        reward = foreign.call(self._environment.get_reward, who=self._who)
        if reward is None:
            return Verdict.unscored("the environment gave no reward")
        return Verdict(float(reward), "")

    def _called(self, call: str) -> tuple[str, str]:
        """Return the result of a call as text, and what was wrong with it."""
        try:
            asked = json.loads(call)
            name, arguments = asked["name"], asked.get("arguments", {})
        except (ValueError, TypeError, KeyError, AttributeError):
            problem = f'a call is {{"name": ..., "arguments": {{...}}}} in JSON, not {call[:60]!r}'
            return json.dumps({"error": problem}), problem + "."
        if name not in self._names or not isinstance(arguments, dict):
            problem = f"there is no tool {name!r:.60}; there are {', '.join(self._names)}"
            return json.dumps({"error": problem}), problem + "."
        try:
            result = foreign.call(lambda: getattr(self._environment, name)(**arguments), who=self._who)
        except foreign.Failed as fault:  # the model hears of it, as from TRL
            problem = f"{name} failed: {fault}"
            return json.dumps({"error": problem}), problem + "."
        return result if isinstance(result, str) else json.dumps(result, default=str), ""


def calls_in(turn: str) -> list[str]:
    """Return what stands in each call of a turn, in one pass: the text is the model's, and may be made to be slow."""
    calls, at = [], turn.find(CALL)
    while at >= 0 and (end := turn.find(CALL_END, at)) >= 0:
        calls.append(turn[at + len(CALL) : end].strip())
        at = turn.find(CALL, end)
    return calls


def tool_names(environment: Any) -> list[str]:
    """Return the names of an environment's tools: its public methods but `reset` and `get_reward`."""
    members = inspect.getmembers(type(environment), predicate=inspect.isfunction)
    return [name for name, _ in members if not name.startswith("_") and name not in OWN]


def schemas_of(environment: Any) -> list[dict[str, Any]]:
    """Return the JSON schemas of an environment's tools, from annotations and docstrings with `Args:`.

    Raises BadInput for an environment that lacks a method, has no tool, or one that waits (`async`), and for a tool
    without types or descriptions.
    """
    kind = type(environment).__name__
    missing = [name for name in OWN if not callable(getattr(environment, name, None))]
    names = tool_names(environment)
    if missing or not names:
        raise BadInput(f"environment {kind} has no {' and no '.join(missing) or 'public method that could be a tool'}.")
    for name in (*OWN, *names):
        if inspect.iscoroutinefunction(getattr(environment, name)):
            raise BadInput(f"{kind}.{name} is async, which is not supported; make it a plain method.")
    try:
        return [get_json_schema(getattr(environment, name)) for name in names]
    except Exception as error:  # transformers has exceptions of its own for each lack
        raise BadInput(f"a tool of environment {kind} cannot be described: {error}") from error


def described(schemas: Sequence[Mapping[str, Any]]) -> str:
    """Return the tools as a text for models whose chat template knows none."""
    tools = "\n".join(json.dumps(schema["function"]) for schema in schemas)
    return (
        f"You can call these tools:\n{tools}\n"
        'To call one, write <tool_call>{"name": NAME, "arguments": {...}}</tool_call> and wait for its result.'
    )
