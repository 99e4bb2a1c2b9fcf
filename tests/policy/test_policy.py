"""The policy: jobs in, scored rollouts out, on a tiny model whose tokens are bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from fastslow.contexts.context import Context, WorkedExample, dump_examples, seed_context
from fastslow.contexts.rendering import render
from fastslow.core.errors import Stopped
from fastslow.core.types import Example, Rollout, Split, Verdict
from fastslow.policy.engines.base import Prompt, Sample, SamplingParams, go_on
from fastslow.policy.engines.transformers import PrefixSampler
from fastslow.policy.policy import TOO_LONG, Job, Policy, common_prefix
from tests.support.tiny import tiny_model, tiny_tokenizer

TOKENIZER: Any = tiny_tokenizer()  # whose methods declare wider types than they return
MODEL = tiny_model(TOKENIZER)
PARAMS = SamplingParams(max_new_tokens=6)
FEW = Context({"instruction": "Add.", "examples": dump_examples([WorkedExample("1 + 1", "2")])})


def asked(question: str, split: Split = "train") -> Example:
    return Example(f"{split}-{question}", "sums", split, ({"role": "user", "content": question},))


class Sums:
    """Rewards the length of an answer, and remembers what it was asked."""

    name = "sums"

    def __init__(self, train: Sequence[Example] = ()):
        self.train = list(train) or [asked(f"{i} + {i}") for i in range(1, 6)]
        self.scored: list[tuple[str, str]] = []

    def split(self, name: str) -> Sequence[Example]:
        return self.train if name == "train" else []

    def score(self, example: Example, completion: str) -> Verdict:
        self.scored.append((example.id, completion))
        return Verdict(len(completion) % 5 / 4, f"{len(completion)} characters")

    def answer(self, example: Example) -> str | None:
        return None


class Spy:
    """An engine that remembers its prompts and says fixed tokens, or asks a real one."""

    separate = False
    window = None

    def __init__(self, says: Sequence[int] = (), real: PrefixSampler | None = None):
        self.says, self.real = tuple(says), real
        self.prompts: list[Prompt] = []
        self.params: SamplingParams | None = None
        self.proceed: Callable[[], None] = go_on
        self.versions: list[int] = []

    def refresh(self, version: int) -> None:
        self.versions.append(version)
        if self.real:
            self.real.refresh(version)

    def forget(self) -> None: ...

    def close(self) -> None: ...

    def place(self, prompt: Prompt) -> str:
        return "here"

    def describe(self) -> dict[str, Any]:
        return {"engine": "spy", "version": "1"}

    def usage(self) -> dict[str, float]:
        return {}

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]:
        self.prompts, self.params = list(prompts), params
        if self.real:
            return self.real.sample(prompts, params)
        return [Sample(self.says, tuple(-0.5 for _ in self.says)) for _ in prompts]


def policy(engine: Spy | None = None, *, task: Sums | None = None, window: int = 4096, **kwargs) -> Policy:
    made = Policy(
        engine=engine or Spy(says=[65]),
        tokenizer=kwargs.pop("tokenizer", TOKENIZER),
        task=task or Sums(),
        params=PARAMS,
        window=window,
        **kwargs,
    )
    made.refresh(3)
    return made


def real() -> Spy:
    eos = int(TOKENIZER.eos_token_id)
    sampler = PrefixSampler(MODEL, eos_ids=[eos], pad_id=int(TOKENIZER.pad_token_id), dtype=torch.float32)
    return Spy(real=sampler)


def test_whoever_was_asked_to_stop_makes_no_rollouts_but_those_of_a_step_and_stops_at_the_next_token() -> None:
    asked_to_stop: list[bool] = []

    def stops() -> bool:
        asked_to_stop.append(len(asked_to_stop) == 2)  # at the second token
        return asked_to_stop[-1]

    engine = real().real
    stopping, jobs = policy(engine, stops=stops), [Job(FEW, asked("2 + 3"), 1)]  # type: ignore[arg-type]
    assert stopping.rollouts(jobs, step=True)[0].completion_ids
    assert not asked_to_stop
    with pytest.raises(Stopped):
        stopping.rollouts(jobs)
    assert len(asked_to_stop) == 3


def test_a_prompt_reads_as_the_chat_template_of_the_rendered_context() -> None:
    example = asked("2 + 3 é")
    text = TOKENIZER.decode(policy().prompt_ids(FEW, example))
    assert text == TOKENIZER.apply_chat_template(render(FEW, example), tokenize=False, add_generation_prompt=True)
    assert "Add." in text
    assert text.endswith("2 + 3 é<|im_end|>\n<|im_start|>assistant\n"), "the model must be the next to speak"


def test_a_template_without_a_system_role_gets_the_instruction_in_the_first_user_turn() -> None:
    tokenizer: Any = tiny_tokenizer()
    tokenizer.chat_template = TOKENIZER.chat_template.replace(
        "{% for message in messages %}",
        "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}",
    )
    text = tokenizer.decode(policy(tokenizer=tokenizer).prompt_ids(FEW, asked("2 + 3")))
    assert text.startswith("<|im_start|>user\nAdd.\n\n1 + 1<|im_end|>")


def test_template_settings_reach_the_template() -> None:
    tokenizer: Any = tiny_tokenizer()
    tokenizer.chat_template = TOKENIZER.chat_template + "{{ '<think>' if thinking else '' }}"
    on = policy(tokenizer=tokenizer, chat_template_kwargs={"thinking": True})
    assert tokenizer.decode(on.prompt_ids(FEW, asked("2 + 3"))).endswith("<think>")
    assert not tokenizer.decode(policy(tokenizer=tokenizer).prompt_ids(FEW, asked("2 + 3"))).endswith("<think>")


def test_rollouts_come_in_the_order_of_jobs_with_their_own_context_example_and_seed() -> None:
    spy, contexts = Spy(says=[65, 66]), [seed_context(""), FEW]
    task = Sums()
    jobs = [Job(contexts[i % 2], task.train[i], 100 + i) for i in range(4)]
    found = policy(spy, task=task).rollouts(jobs)
    assert [(r.example_id, r.context_id) for r in found] == [(j.example.id, j.context.id) for j in jobs]
    assert [p.seed for p in spy.prompts] == [100, 101, 102, 103]
    for rollout, prompt, job in zip(found, spy.prompts, jobs, strict=True):
        assert rollout.prompt_ids == prompt.ids
        assert job.example.question in TOKENIZER.decode(rollout.prompt_ids)


def test_a_rollout_holds_what_was_sampled_and_the_verdict_on_its_text() -> None:
    task = Sums()
    ids = TOKENIZER("42 é", add_special_tokens=False)["input_ids"] + [TOKENIZER.eos_token_id]
    rollout = policy(Spy(says=ids), task=task).rollouts([Job(FEW, task.train[2], 0)])[0]
    assert rollout.completion_ids == tuple(ids)
    assert rollout.logprobs == tuple(-0.5 for _ in ids)
    assert rollout.text == "42 é", "the end token is no text"
    assert task.scored == [(task.train[2].id, "42 é")]
    assert rollout.verdict == Verdict(1.0, "4 characters")
    assert rollout.policy_version == 3


def test_refresh_reaches_the_engine_and_dates_what_is_said_from_then_on() -> None:
    spy = Spy(says=[65])
    under_test = policy(spy)
    before = under_test.rollouts([Job(FEW, asked("1 + 2"), 0)])
    under_test.refresh(8)
    assert spy.versions == [3, 8]
    assert [r.policy_version for r in (*before, *under_test.rollouts([Job(FEW, asked("1 + 2"), 0)]))] == [3, 8]


def test_sampling_settings_are_the_policys_unless_a_call_brings_its_own() -> None:
    spy = Spy(says=[65])
    under_test, greedy = policy(spy), SamplingParams(max_new_tokens=2, temperature=0.0)
    under_test.rollouts([Job(FEW, asked("1 + 2"), 0)])
    assert spy.params == PARAMS
    under_test.rollouts([Job(FEW, asked("1 + 2"), 0)], greedy)
    assert spy.params == greedy


def test_a_prompt_fits_as_long_as_a_full_answer_does() -> None:
    example = asked("1 + 2")
    length = len(policy().prompt_ids(FEW, example))
    exact = length + PARAMS.max_new_tokens
    assert policy(window=exact).fits(FEW, example)
    assert not policy(window=exact - 1).fits(FEW, example)


def test_jobs_that_do_not_fit_are_unscored_counted_and_disturb_no_other() -> None:
    task, spy = Sums(), Spy(says=[65])
    short, long = seed_context(""), seed_context("x" * 500)
    under_test = policy(spy, task=task, window=200)
    found = under_test.rollouts([Job(c, e, 0) for e in task.train[:2] for c in (long, short)])
    assert [r.verdict.scored for r in found] == [False, True, False, True]
    assert [r.context_id for r in found] == [long.id, short.id] * 2
    assert [r.example_id for r in found] == [task.train[i].id for i in (0, 0, 1, 1)]
    assert {r.verdict.info["unscored"] for r in found[::2]} == {TOO_LONG}
    assert [example for example, _ in task.scored] == [task.train[0].id, task.train[1].id], "a scorer saw a blank"
    assert len(spy.prompts) == 2
    assert under_test.skipped == 2
    assert all(len(r.completion_ids) == len(r.logprobs) > 0 for r in found), "a trainer needs a row"
    under_test.rollouts([Job(long, task.train[0], 0)])
    assert under_test.skipped == 3, "the count is over the whole run"


def test_no_jobs_are_no_rollouts() -> None:
    assert policy().rollouts([]) == []


class Faulty(Sums):
    def score(self, example: Example, completion: str) -> Verdict:
        if example.question == "1 + 1":
            raise ZeroDivisionError("in the user's code")
        if example.question == "2 + 2":
            raise TimeoutError("judge")
        return super().score(example, completion)


def test_a_scorer_that_raises_leaves_its_rollout_unscored_and_the_others_alone(caplog) -> None:
    task = Faulty()
    under_test = policy(task=task)
    with caplog.at_level(logging.WARNING):
        found = under_test.rollouts([Job(FEW, e, 0) for e in task.train[:3]] * 2)
    assert [r.verdict.scored for r in found] == [False, False, True] * 2
    assert "ZeroDivisionError: in the user's code" in found[0].verdict.info["unscored"]
    warnings = [r.getMessage() for r in caplog.records if r.name == "fastslow.policy.policy"]
    assert len(warnings) == 2, f"each kind of fault is logged once: {warnings}"
    assert "task 'sums' raised ZeroDivisionError" in warnings[0]
    assert under_test.skipped == 0, "a fault of the scorer is not a prompt too long"


def test_an_interrupt_inside_a_scorer_is_not_swallowed() -> None:
    class Interrupted(Sums):
        def score(self, example: Example, completion: str) -> Verdict:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        policy(task=Interrupted()).rollouts([Job(FEW, asked("1 + 2"), 0)])


# The prefix shared by a context's prompts


def prefix_of(spy: Spy, row: int = 0) -> str:
    prompt = spy.prompts[row]
    return TOKENIZER.decode(prompt.ids[: prompt.prefix])


def test_the_prefix_of_a_prompt_is_its_context_and_not_its_question() -> None:
    spy, task = Spy(says=[65]), Sums()
    policy(spy, task=task).rollouts([Job(FEW, example, 0) for example in task.train[1:4]])
    expected = (
        "<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\n1 + 1<|im_end|>\n"
        "<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n"
    )
    assert {prefix_of(spy, row) for row in range(3)} == {expected}


def test_a_prompt_without_its_own_worked_example_shares_only_what_it_starts_with() -> None:
    spy, task = Spy(says=[65]), Sums()
    policy(spy, task=task).rollouts([Job(FEW, task.train[0], 0)])  # 1 + 1 is FEW's worked example
    prompt = spy.prompts[0]
    own = TOKENIZER.decode(prompt.ids)
    assert own.count("1 + 1") == 1
    assert own.startswith(prefix_of(spy))
    assert prompt.prefix >= len("system\nAdd.")


@pytest.mark.parametrize("train", [["7 + 7"], ["7 + 7", "7 + 7"], ["1 + 1", "7 + 7"]])
def test_at_least_one_token_is_left_to_compute_whatever_the_training_questions(train: list[str]) -> None:
    """One training question, twice the same, or one that is a worked example: a prefix may not be the whole prompt."""
    spy = Spy(says=[65])
    examples = [Example(f"{i}", "sums", "train", ({"role": "user", "content": q},)) for i, q in enumerate(train)]
    policy(spy, task=Sums(examples)).rollouts([Job(FEW, examples[-1], 0), Job(FEW, asked("8 + 9", "test"), 0)])
    for prompt in spy.prompts:
        assert 0 <= prompt.prefix < len(prompt.ids)


def test_sharing_a_prefix_changes_nothing_that_is_said() -> None:
    task = Sums()
    jobs = [Job(context, e, i) for i, e in enumerate(task.train) for context in (seed_context(""), FEW)]
    shared = real()
    found = policy(shared, task=task).rollouts(jobs)
    assert any(prompt.prefix > 40 for prompt in shared.prompts)
    alone = real()
    alone.refresh(3)
    expected = alone.sample([replace(prompt, prefix=0) for prompt in shared.prompts], PARAMS)
    assert [r.completion_ids for r in found] == [s.ids for s in expected]
    assert len({r.completion_ids for r in found}) > 5


@torch.no_grad()
def test_behaviour_logprobs_are_those_of_the_model_on_exactly_these_tokens() -> None:
    task = Sums()
    for rollout in policy(real(), task=task).rollouts([Job(FEW, example, i) for i, example in enumerate(task.train)]):
        assert isinstance(rollout, Rollout)
        ids = torch.tensor([rollout.prompt_ids + rollout.completion_ids])
        logps = MODEL(input_ids=ids).logits[0, len(rollout.prompt_ids) - 1 : -1].log_softmax(-1)
        expected = logps.gather(1, torch.tensor(rollout.completion_ids)[:, None])[:, 0].tolist()
        assert rollout.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "shared"),
    [
        ([], 0),
        ([(1, 2, 3)], 3),
        ([(1, 2, 3), (1, 2, 4)], 2),
        ([(1, 2), (1, 2, 3)], 2),
        ([(1,), (2,)], 0),
        ([(), (1,)], 0),
    ],
)
def test_the_common_prefix_is_what_all_rows_start_with(rows, shared: int) -> None:
    assert common_prefix(rows) == shared
