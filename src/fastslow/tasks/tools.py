"""Environments whose methods the model calls as tools, as `environment_factory` of TRL's GRPOTrainer makes them.

Such an environment has `reset(**row)`, which may return what the model is told besides its question, public methods,
which are the tools, and `get_reward()`. Here each rollout gets one of its own, whose calls are the turns of an episode.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

from transformers.utils import get_json_schema

from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Split, Verdict
from fastslow.tasks.damage import encodes
from fastslow.tasks.episodes import Reply, judge_turns

CALL, CALL_END = "<tool_call>", "</tool_call>"
"""Around a call, as Qwen and Hermes write it; calls of other families are spelled so before an episode hears them."""

OWN = ("reset", "get_reward")
"""Methods of an environment that are no tools."""

SPLITS = ("train", "validation", "test")

MOST_CALLS = 16
"""Calls of one turn that are made; the others are told so."""

MOST_CHARACTERS = 20_000
"""Of a result, which is cut there: it has to fit the model's window beside all else."""

MOST_FEEDBACK = 2_000
"""Characters on one turn."""

Row = Mapping[str, Any]


class EnvironmentTask:
    """Make a task of rows and an environment's class, as they are given to `GRPOTrainer(environment_factory=...)`.

    A row has a `prompt`, a text or messages of which the last is the user's; what `reset(**row)` returns is added to
    it. Rewards of `get_reward` lie in [0, 1]; None is unscored. An environment may say more to proposers: a text in its
    attribute `feedback` is read after each turn and at the end, and emptied. `answer` of a row is a good first turn to
    show.

    Args:
        name: of the task.
        splits: the rows of 'train', 'validation' and 'test'.
        factory: makes an environment; called for each rollout.
        in_question: whether the tools are described in the question, and their results come as turns of the user: for
            models whose chat template knows no tools.

    Raises:
        BadInput: for an environment that cannot be made, or has no tools; tools without types or descriptions; rows
            without a question.
    """

    def __init__(
        self,
        name: str,
        splits: Mapping[Split, Sequence[Row]],
        factory: Callable[[], Any],
        *,
        in_question: bool = False,
    ):
        unknown = next((split for split in splits if split not in SPLITS), None)
        if unknown is not None:
            raise BadInput(f"task '{name}': unknown split '{unknown}'; there are {', '.join(SPLITS)}.")
        self.name = name
        self._factory = factory
        schemas = schemas_of(self._made(another_than=self._made()))
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

    def _made(self, another_than: Any = None) -> Any:
        """Return an environment. Raises BadInput where it cannot be made, or is `another_than` once more."""
        try:
            made = foreign.call(self._factory, who=f"task '{self.name}'")
        except foreign.Failed as fault:
            raise BadInput(
                f"task '{self.name}': making an environment raised {fault}; give a class, or a function without "
                "arguments that returns a new one."
            ) from fault
        if made is another_than:
            raise BadInput(
                f"task '{self.name}': each rollout needs an environment of its own, and all get the same one."
            )
        return made

    def _example(self, id_: str, split: Split, row: Row) -> Example:
        where = f"row {id_} of task '{self.name}'"
        lacks = f"{where} needs a 'prompt': a text, or messages that end with the user."
        prompt = row.get("prompt") if isinstance(row, Mapping) else None
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        if not isinstance(asked, Sequence) or not asked or not all(isinstance(turn, Mapping) for turn in asked):
            raise BadInput(lacks)
        if any(turn.get("role") == "system" for turn in asked):
            raise BadInput(f"{where} has a system turn, which contexts have here: give it as seed_instruction.")
        turns = [{"role": str(turn.get("role")), "content": _text_of(turn.get("content"), where)} for turn in asked]
        if turns[-1]["role"] != "user" or not turns[-1]["content"].strip():
            raise BadInput(lacks)
        environment = self._made()
        try:
            said = foreign.call(lambda: environment.reset(**foreign.fresh(dict(row))), who=f"task '{self.name}'")
        except foreign.Failed as fault:
            raise BadInput(f"{where}: reset raised {fault}.") from fault
        told = "" if said is None else _text_of(said, f"{where}: what reset returned")
        turns[-1]["content"] = "\n\n".join(filter(None, (turns[-1]["content"], told, self._told)))
        self._rows[id_] = row
        return Example(id_, self.name, split, tuple(turns))


def _text_of(content: Any, where: str) -> str:
    """Return a text, or the texts of content blocks. Raises BadInput for anything else."""
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [
        block.get("text") if isinstance(block, Mapping) and block.get("type") == "text" else None for block in blocks
    ]
    if not all(isinstance(text, str) and encodes(text) for text in texts):
        raise BadInput(f"{where} holds something else than text, which is not supported.")
    return "\n\n".join(map(str, texts))


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
        calls, results, problems = calls_in(turn), [], []
        for number, call in enumerate(calls):
            result, problem = (
                self._called(call) if number < MOST_CALLS else _wrong(f"at most {MOST_CALLS} calls a turn")
            )
            results.append(f"<tool_response>\n{result}\n</tool_response>" if self._role == "user" else result)
            problems += [problem] if problem and number <= MOST_CALLS else []
        if turn.count(CALL) > turn.count(CALL_END):
            problems.append(f"A call has no {CALL_END} at its end.")
        problems.append(self._feedback())
        feedback = " ".join(filter(None, problems))[:MOST_FEEDBACK]
        return Reply("\n".join(results) if calls else None, feedback, role=self._role)

    def verdict(self) -> Verdict:
        """Return the environment's reward. Raises ValueError for one outside [0, 1], and Failed where it raises."""
        reward = foreign.call(self._environment.get_reward, who=self._who)
        if reward is None:
            return Verdict.unscored("the environment gave no reward")
        if not isinstance(reward, Real) or not 0 <= float(reward) <= 1:
            raise ValueError(f"get_reward returned {reward!r:.60}; return a number in [0, 1], or None for unscored")
        return Verdict(float(reward), self._feedback()[:MOST_FEEDBACK])

    def _feedback(self) -> str:
        """Return what the environment says to proposers, once."""

        def told() -> str:
            said = getattr(self._environment, "feedback", "")
            if not isinstance(said, str) or not said:
                return ""
            self._environment.feedback = ""
            return said if encodes(said) else ""

        return foreign.call(told, who=self._who)

    def _called(self, call: str) -> tuple[str, str]:
        """Return the result of a call as text, and what was wrong with it."""
        try:
            asked = json.loads(call, parse_constant=_no_number)
            name, arguments = asked["name"], asked.get("arguments", asked.get("parameters"))
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments or {}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return _wrong(f'a call is {{"name": ..., "arguments": {{...}}}} in JSON, not {call[:60]!r}')
        if name not in self._names:
            return _wrong(f"there is no tool {name!r:.60}; there are {', '.join(self._names)}")
        if not isinstance(arguments, dict):
            return _wrong(f"the arguments of {name} are a JSON object, not {arguments!r:.60}")
        try:
            result = foreign.call(lambda: _as_text(getattr(self._environment, name)(**arguments)), who=self._who)
        except foreign.Failed as fault:  # the model hears of it, as from TRL
            return _wrong(f"{name} failed: {fault}")
        cut = f"{result[:MOST_CHARACTERS]} ..." if len(result) > MOST_CHARACTERS else result
        return cut, ""


def _wrong(problem: str) -> tuple[str, str]:
    """Return a problem as a call's result, and as feedback: as text, whatever the model has put into it."""
    problem = problem if encodes(problem) else ascii(problem)
    return json.dumps({"error": problem}, ensure_ascii=False), f"{problem}."


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _as_text(result: Any) -> str:
    text = result if isinstance(result, str) else json.dumps(result, default=str, ensure_ascii=False)
    if not encodes(text):
        raise ValueError("the result holds half a surrogate pair, which is no text")
    return text


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
