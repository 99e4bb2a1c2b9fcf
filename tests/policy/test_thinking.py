"""Models that think before they answer: what is left for a scorer to read."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken

from fastslow.core.thoughts import answer_after, spoken
from fastslow.policy.policy import Job, Policy
from fastslow.policy.thinking import NO_END
from tests.policy.test_policy import FEW, Spy, Sums, asked, policy
from tests.support.tiny import tiny_tokenizer

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
PLAIN = TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
OPENS = PLAIN.replace("assistant\n", "assistant\n<think>\n")  # as Qwen3-Thinking and DeepSeek-R1
HYBRID = PLAIN.replace(
    "assistant\n", "assistant\n{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
)  # as Qwen3


def tokenizer(template: str) -> Any:
    made: Any = tiny_tokenizer()
    made.chat_template = template
    return made


def heard(template: str, says: str, *, reasoning: str = "auto", **kwargs: Any) -> tuple[str, str, str]:
    """What the scorer read of a completion, what the rollout says, and the feedback."""
    of, task = tokenizer(template), Sums()
    ids = of(says, add_special_tokens=False)["input_ids"]
    made: Policy = policy(Spy(says=ids), task=task, tokenizer=of, reasoning=reasoning, **kwargs)
    (rollout,) = made.rollouts([Job(FEW, asked("2 + 3"), 1)])
    assert rollout.completion_ids == tuple(ids), "all of it is trained on"
    return task.scored[-1][1], rollout.text, rollout.verdict.feedback


@pytest.mark.parametrize(
    ("template", "says", "read"),
    [
        (HYBRID, "<think>\n2 and 3, so 5?\n</think>\n\n5", "\n\n5"),
        (HYBRID, "5", "5"),
        (HYBRID, "A tag is written <think>.", "A tag is written <think>."),
        (OPENS, "2 and 3, so 5?\n</think>\n\n5", "\n\n5"),
        (OPENS, "a</think><think>b</think>c", "c"),
        (PLAIN, "<think>4</think>5", "<think>4</think>5"),
    ],
)
def test_a_scorer_reads_what_follows_the_thoughts_where_the_template_knows_them(
    template: str, says: str, read: str
) -> None:
    assert heard(template, says)[:2] == (read, says)
    assert heard(template, says, reasoning="keep")[0] == says


@pytest.mark.parametrize(("template", "says"), [(OPENS, "still at it: 5"), (HYBRID, "<think>5, or 6")])
def test_thoughts_without_an_end_are_no_answer_and_the_feedback_says_so(template: str, says: str) -> None:
    read, said, feedback = heard(template, says)
    assert (read, said, feedback) == ("", says, NO_END + "0 characters")
    read, _, feedback = heard(template, says, reasoning="keep")
    assert (read, feedback) == (says, f"{len(says)} characters")


def test_what_the_template_closes_itself_is_no_thought() -> None:
    off: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}
    assert heard(HYBRID, "5 </think> 6", **off)[0] == "5 </think> 6"


def test_strip_needs_no_template_that_knows_thoughts() -> None:
    assert heard(PLAIN, "<think>4</think>5", reasoning="strip")[0] == "5"


def test_marks_that_are_special_tokens_are_seen_though_no_text_has_them() -> None:
    of, task = tokenizer(PLAIN), Sums()
    of.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]"]})
    ids = of("[THINK]4[/THINK]5", add_special_tokens=False)["input_ids"]
    made = policy(Spy(says=[*ids, of.eos_token_id]), task=task, tokenizer=of, reasoning="strip")
    (rollout,) = made.rollouts([Job(FEW, asked("2 + 3"), 1)])
    assert (task.scored[-1][1], rollout.text) == ("5", "45")


def test_so_are_marks_that_are_special_tokens_and_that_no_map_names() -> None:
    of, task = tokenizer(PLAIN), Sums()
    of.add_tokens([AddedToken(text, special=True) for text in ("[THINK]", "[/THINK]")])
    ids = of("[THINK]4[/THINK]5", add_special_tokens=False)["input_ids"]
    made = policy(Spy(says=[*ids, of.eos_token_id]), task=task, tokenizer=of, reasoning="strip")
    made.rollouts([Job(FEW, asked("2 + 3"), 1)])
    assert task.scored[-1][1] == "5"


def test_the_marks_of_gpt_oss_are_known() -> None:
    said = "<|channel|>analysis<|message|>2 and 3<|end|><|start|>assistant<|channel|>final<|message|>5<|return|>"
    assert answer_after(said, opened=False) == "5<|return|>"
    assert answer_after(said[:40], opened=False) is None


@pytest.mark.parametrize(
    ("text", "after"), [("desk", "desk"), ("<think>a</think>desk", "desk"), ("a</think>desk", "desk"), ("<think>a", "")]
)
def test_of_a_text_alone_what_follows_the_thoughts_is_spoken(text: str, after: str) -> None:
    assert spoken(text) == after
