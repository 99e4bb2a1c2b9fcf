"""Environments whose methods are tools, as TRL's `environment_factory` has them."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from fastslow.core.errors import BadInput
from fastslow.core.foreign import Failed
from fastslow.core.types import Verdict
from fastslow.tasks.damage import encodes
from fastslow.tasks.episodes import with_feedback
from fastslow.tasks.own import own_task
from fastslow.tasks.task_set import TaskSet
from fastslow.tasks.tools import EnvironmentTask, ToolEpisode, calls_in, schemas_of


class Sums:
    """An environment as TRL's documentation writes them; `feedback` is ours."""

    def __init__(self) -> None:
        self.total, self.wanted, self.feedback = 0, 0, ""

    def reset(self, wanted: int = 0, **row: Any) -> str:
        self.total, self.wanted = 0, wanted
        return f"The target is {wanted}."

    def add(self, number: int) -> int:
        """Add a number to the total.

        Args:
            number: what is added.
        """
        if number < 0:
            raise ValueError("only up")
        self.total += number
        self.feedback = f"{self.wanted - self.total} to go" if self.total != self.wanted else ""
        return self.total

    def get_reward(self) -> float:
        return float(self.total == self.wanted)

    def _hidden(self) -> None: ...


def call(name: str = "add", **arguments: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def task(rows: int = 8, **how: Any) -> EnvironmentTask:
    def made(count: int) -> list[dict[str, Any]]:
        return [{"prompt": f"Reach number {i}.", "wanted": i, "answer": call(number=i)} for i in range(count)]

    return EnvironmentTask("sums", {"train": made(rows), "validation": made(4), "test": made(2)}, Sums, **how)


def test_an_episode_calls_tools_tells_their_results_and_ends_with_a_turn_without_a_call() -> None:
    episode = ToolEpisode(Sums(), {"wanted": 5})
    first = episode.step(f"I add. {call(number=2)}")
    assert (first.text, first.role, first.feedback) == ("2", "tool", "3 to go")
    both = episode.step(call(number=1) + call(number=2))
    assert (both.text, both.feedback) == ("3\n5", "")
    assert episode.step("Done.").text is None
    assert episode.verdict() == Verdict(1.0, "")


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (call(number=-1), "add failed: ValueError: only up"),
        (call(text="a"), "unexpected keyword argument"),
        (call("reset"), "there is no tool 'reset'; there are add"),
        (call("_hidden"), "there is no tool '_hidden'"),
        (call("__class__"), "there is no tool '__class__'"),
        ("<tool_call>add 3</tool_call>", "a call is"),
        ('<tool_call>{"name": "add", "arguments": [3]}</tool_call>', "the arguments of add are a JSON object"),
        ('<tool_call>{"name": "add", "arguments": {"number": NaN}}</tool_call>', "a call is"),
        ("<tool_call>" + "[" * 100_000 + "</tool_call>", "a call is"),
        ('<tool_call>{"name": "add", "arguments": {"number": ' + '{"a": ' * 50_000 + "</tool_call>", "a call is"),
        ("<tool_call>[1]</tool_call>", "a call is"),
        ('<tool_call>{"name": ["add"]}</tool_call>', "there is no tool"),
    ],
)
def test_what_goes_wrong_in_a_call_is_its_result_and_reaches_the_feedback(turn: str, said: str) -> None:
    reply = ToolEpisode(Sums(), {"wanted": 5}).step(turn)
    assert said in json.loads(str(reply.text))["error"]
    assert said in reply.feedback


def test_a_turn_that_is_made_to_be_slow_is_read_in_one_pass() -> None:
    """A pattern that goes back would take hours here."""
    for turn in (
        "<tool_call>" * 50_000,
        "<tool_call>" + " " * 500_000,
        "<tool_call>" + " \n" * 200_000 + "</tool_call",
    ):
        assert calls_in(turn) == []
    assert calls_in("<tool_call> a </tool_call>" * 20_000) == ["a"] * 20_000
    assert calls_in("<tool_call> <tool_call>{}</tool_call></tool_call>") == ["<tool_call>{}"]


def test_each_rollout_has_an_environment_of_its_own_and_the_row_says_what_it_is() -> None:
    sums = task()
    example = sums.split("train")[3]
    assert example.question == "Reach number 3.\n\nThe target is 3."
    episodes = [own_task(sums).episode(example) for _ in range(2)]  # type: ignore[attr-defined]
    episodes[0].step(call(number=3))
    assert [one.verdict().reward for one in episodes] == [1.0, 0.0]
    assert sums.answer(example) == call(number=3)
    verdict = own_task(sums).score(example, call(number=3))
    assert verdict == with_feedback(Verdict(1.0, ""), [""]), "a text alone is judged as the only turn"


@pytest.mark.parametrize("spelled", ['{"number": 5}', '"{\\"number\\": 5}"'])
@pytest.mark.parametrize("key", ["arguments", "parameters"])
def test_arguments_are_read_as_other_families_write_them(key: str, spelled: str) -> None:
    episode = ToolEpisode(Sums(), {"wanted": 5})
    assert episode.step(f'<tool_call>{{"name": "add", "{key}": {spelled}}}</tool_call>').text == "5"
    assert "missing 1 required" in str(episode.step('<tool_call>{"name": "add", "arguments": null}</tool_call>').text)


class Odd(Sums):
    """Returns what no model can read."""

    result: Any = None

    def add(self, number: int) -> Any:
        """Add.

        Args:
            number: what is added.
        """
        return type(self).result


def circle() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


class Angry:
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize("result", [circle(), {(1, 2): 3}, Angry(), "\ud800"], ids=["circle", "key", "str", "half"])
def test_a_result_that_is_no_text_is_an_error_of_the_call(result: Any) -> None:
    Odd.result = result
    reply = ToolEpisode(Odd(), {}).step(call(number=1))
    assert "add failed" in json.loads(str(reply.text))["error"]


def test_a_model_cannot_make_its_rollout_unscored_by_what_is_no_text() -> None:
    class Echo(Odd):
        def add(self, number: Any) -> Any:
            raise ValueError(number)

    for turn in (call(number="\ud800"), '<tool_call>{"name": "\\ud800"}</tool_call>', call("\ud800")):
        reply = ToolEpisode(Echo(), {}).step(turn)
        assert "error" in str(reply.text)
        assert encodes(str(reply.text) + reply.feedback)


def test_results_calls_and_feedback_have_an_end() -> None:
    Odd.result = "ü" * 100_000
    episode = ToolEpisode(Odd(), {})
    assert len(str(episode.step(call(number=1)).text)) < 20_010
    Odd.result = {"ü": 1}
    reply = episode.step(call(number=1) * 500 + "<tool_call>")
    told = str(reply.text).split("\n")
    assert (told[0], told[16]) == ('{"ü": 1}', '{"error": "at most 16 calls a turn"}')
    assert reply.feedback == "at most 16 calls a turn. A call has no </tool_call> at its end."
    environment = Odd()
    environment.feedback = "x" * 100_000
    assert len(ToolEpisode(environment, {}).verdict().feedback) == 2_000


@pytest.mark.parametrize("reward", [3, float("nan"), "0.5", -1])
def test_a_reward_that_is_none_is_refused_by_its_method(reward: Any) -> None:
    environment = Sums()
    environment.get_reward = lambda: reward  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"get_reward returned .* or None for unscored"):
        ToolEpisode(environment, {}).verdict()


def test_an_environment_that_raises_is_no_reward() -> None:
    class Broken(Sums):
        def get_reward(self) -> float:
            raise SystemExit(3)

    class Late(Sums):
        made = 0

        def reset(self, wanted: int = 0, **row: Any) -> str:
            type(self).made += 1
            if type(self).made > 1:
                raise OSError("gone")
            return ""

    rows: Any = {"train": [{"prompt": "a"}]}
    broken, late = EnvironmentTask("x", rows, Broken), EnvironmentTask("x", rows, Late)
    with pytest.raises(Failed, match="SystemExit"):
        broken.score(broken.split("train")[0], "Done.")
    with pytest.raises(Failed, match="gone"):
        late.episode(late.split("train")[0])
    with pytest.raises(BadInput, match="row train-0 of task 'x': reset raised OSError"):
        EnvironmentTask("x", rows, Late)


def test_tools_are_described_by_their_docstrings_or_refused() -> None:
    (schema,) = schemas_of(Sums())
    assert schema["function"]["parameters"]["properties"]["number"] == {
        "type": "integer", "description": "what is added.",
    }  # fmt: skip
    for made, said in (
        (type("None_", (), {"reset": lambda self: None}), "no get_reward"),
        (type("Bare", (Sums,), {"add": None}), "no public method that could be a tool"),
        (type("Mute", (Sums,), {"more": lambda self, n: n}), "cannot be described"),
    ):
        with pytest.raises(BadInput, match=said):
            EnvironmentTask("x", {}, made)

    class Waits(Sums):
        async def later(self) -> None: ...

    with pytest.raises(BadInput, match="later is async"):
        schemas_of(Waits())


def test_rows_without_a_question_are_refused() -> None:
    for prompt in (None, "", " ", [], 3, ["a"], {"role": "user"}, [{"role": "assistant", "content": "a"}]):
        with pytest.raises(BadInput, match="row train-0 of task 'x' needs a 'prompt'"):
            EnvironmentTask("x", cast(Any, {"train": [{"prompt": prompt}]}), Sums)
    for rows, said in (
        ({"train": ["a"]}, "needs a 'prompt'"),
        (
            {"train": [{"prompt": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}]},
            "system turn",
        ),
        ({"train": [{"prompt": [{"role": "user", "content": [{"type": "image"}]}]}]}, "something else than text"),
        ({"train": [{"prompt": "\ud800"}]}, "something else than text"),
        ({"training": []}, "unknown split 'training'; there are train, validation, test"),
    ):
        with pytest.raises(BadInput, match=said):
            EnvironmentTask("x", cast(Any, rows), Sums)


def test_blocks_of_text_are_read_in_prompts_and_from_reset() -> None:
    class Blocks(Sums):
        said: Any = None

        def reset(self, wanted: int = 0, **row: Any) -> Any:
            return type(self).said

    rows: Any = {"train": [{"prompt": [{"role": "user", "content": [{"type": "text", "text": "Play."}]}]}]}
    for said, question in ((None, "Play."), ([{"type": "text", "text": "Board: 1"}], "Play.\n\nBoard: 1")):
        Blocks.said = said
        assert EnvironmentTask("x", rows, Blocks).split("train")[0].question == question
    Blocks.said = {"board": 1}
    with pytest.raises(BadInput, match="what reset returned holds something else than text"):
        EnvironmentTask("x", rows, Blocks)


def test_a_factory_that_makes_nothing_or_the_same_again_is_refused() -> None:
    one = Sums()
    for factory, said in (
        (lambda: one, "all get the same one"),
        (lambda url: one, "without arguments"),
        (3, "a class"),
    ):
        with pytest.raises(BadInput, match=said):
            EnvironmentTask("x", {}, cast(Any, factory))


def test_tasks_of_one_run_have_the_same_tools() -> None:
    other = task()
    other.name = "more"
    assert TaskSet([task(), other]).tools == task().tools
    other.tools = []
    with pytest.raises(BadInput, match="'sums' and 'more' have different tools"):
        _ = TaskSet([task(), other]).tools


def test_a_model_without_tools_in_its_template_reads_of_them_in_the_question() -> None:
    sums = task(in_question=True)
    example = sums.split("train")[2]
    assert sums.tools == []
    assert '"name": "add"' in example.question
    assert example.question.startswith("Reach number 2.\n\nThe target is 2.\n\nYou can call"), (
        "people read its beginning"
    )
    reply = sums.episode(example).step(call(number=2))
    assert (reply.text, reply.role) == ("<tool_response>\n2\n</tool_response>", "user")
