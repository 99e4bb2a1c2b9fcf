"""A student is trained on the distributions of a frozen teacher, which sees other prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from fastslow.core.errors import ContractBroken
from fastslow.core.types import Rollout, Verdict
from fastslow.slow.distill import DistillTrainer, Training, padded_logits
from tests.support.tiny import tiny_model, tiny_tokenizer

LONG = 700
"""Tokens of a context: more than the 512 to which TRL cuts prompts."""

ANSWERS = ((11, 12, 13, 257), (14, 257), (15, 16, 17, 18, 19), (20, 21, 257))
QUESTIONS = ((1, 2, 3), (4, 5, 6, 7), (8,), (9, 10))


class Given:
    """Questions and answers of the test's choice; the teacher's prompts begin with a context."""

    def __init__(self, context: tuple[int, ...], steps: int = 1):
        self._context, self._places = context, steps * len(QUESTIONS)
        self.asked: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return self._places

    def student(self, place: int) -> tuple[int, ...]:
        return (256, *QUESTIONS[place % len(QUESTIONS)])

    def teacher(self, place: int) -> tuple[int, ...]:
        return (256, *self._context, *QUESTIONS[place % len(QUESTIONS)])

    def answer(self, places: Sequence[int], step: int) -> list[Rollout]:
        self.asked.append((step, *places))
        answers = [ANSWERS[place % len(ANSWERS)] for place in places]
        return [Rollout("", "", (0,), ids, (0.0,), "", Verdict(0.5, ""), step) for ids in answers]


def trainer_of(folder: Path, pairs: Given, **settings: Any) -> DistillTrainer:
    tokenizer = tiny_tokenizer()
    usual = {"steps": len(pairs) // len(QUESTIONS), "questions": len(QUESTIONS), "learning_rate": 1e-3}
    given: dict[str, Any] = {**usual, **settings}
    training = Training(**given, warmup_steps=0, max_completion_length=5, dtype="float32", seed=0, folder=folder)
    student, teacher = tiny_model(tokenizer), tiny_model(tokenizer)
    return DistillTrainer(training, model=student, teacher=teacher, tokenizer=tokenizer, pairs=pairs)


def losses(trainer: DistillTrainer) -> list[float]:
    trainer.train()
    return [row["kl"] for row in trainer.state.log_history if "kl" in row]


def test_a_student_that_sees_what_the_teacher_sees_has_nothing_to_learn(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, Given(()))
    assert abs(losses(trainer)[0]) < 1e-6
    assert trainer.state.log_history[0]["grad_norm"] < 1e-5


def test_the_loss_is_the_reverse_kl_of_the_answers_tokens(tmp_path: Path) -> None:
    """Against plain forwards over each row alone."""
    given, model = Given((30, 31, 32)), tiny_model(tiny_tokenizer())

    def logps(prompt: tuple[int, ...], answer: tuple[int, ...]) -> torch.Tensor:
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        return logits.log_softmax(-1)

    with torch.no_grad():
        kls = []
        for place, answer in enumerate(ANSWERS):
            student, teacher = logps(given.student(place), answer), logps(given.teacher(place), answer)
            kls.append((student.exp() * (student - teacher)).sum(-1))
    trainer = trainer_of(tmp_path, given)
    assert losses(trainer)[0] == pytest.approx(float(torch.cat(kls).mean()), rel=1e-4)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(float(sum(kl.mean() for kl in kls) / 4), rel=1e-3)


def test_the_teacher_stays_what_it_was_and_the_student_comes_nearer(tmp_path: Path) -> None:
    given = Given((30, 31, 32), steps=6)
    trainer = trainer_of(tmp_path, given)
    teacher: Any = trainer.teacher_model
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    kls = losses(trainer)
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.state_dict().items())
    assert not torch.equal(trainer.model.state_dict()["lm_head.weight"], before["lm_head.weight"])
    assert kls[-1] < 0.7 * kls[0], kls
    assert given.asked == [(step, *range(4 * step, 4 * step + 4)) for step in range(6)], "each place once, in order"


def test_a_long_context_reaches_the_teacher_whole(tmp_path: Path) -> None:
    given = Given(tuple(40 + i % 100 for i in range(LONG)))
    trainer = trainer_of(tmp_path, given)
    seen: list[tuple[Any, tuple[int, ...]]] = []
    forward = trainer._forward_logits

    def spy(model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int) -> Any:
        seen.extend(
            (model, tuple(ids[mask.bool()].tolist())) for ids, mask in zip(input_ids, attention_mask, strict=True)
        )
        return forward(model, input_ids, attention_mask, logits_to_keep)

    trainer._forward_logits = spy  # type: ignore[method-assign]
    trainer.train()
    shown = [ids for model, ids in seen if model is trainer.teacher_model]
    assert shown == [given.teacher(place) + ANSWERS[place] for place in range(4)]
    assert [ids for model, ids in seen if model is not trainer.teacher_model] == [
        given.student(place) + ANSWERS[place] for place in range(4)
    ]


@pytest.mark.parametrize("packed", [True, False])
def test_logits_are_those_of_each_row_alone(packed: bool, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, Given(()))
    trainer.packing_problem = None if packed else "asked for"
    rows = [(256, 1, 2, 3, 11, 12), (256, 1, 14), (256, 1, 2, 15, 16, 17)]
    kept = [2, 1, 3]
    ids, mask = torch.zeros(3, 7, dtype=torch.long), torch.zeros(3, 7, dtype=torch.long)
    for i, (row, keep) in enumerate(zip(rows, kept, strict=True)):  # prompts end and answers begin in one column
        at = 4 - (len(row) - keep)
        ids[i, at : at + len(row)], mask[i, at : at + len(row)] = torch.tensor(row), 1
    with torch.no_grad():
        found = trainer._forward_logits(trainer.model, ids, mask, 3)
        for i, (row, keep) in enumerate(zip(rows, kept, strict=True)):
            wanted = trainer.model(torch.tensor([row])).logits[0, -1 - keep : -1]
            torch.testing.assert_close(found[i, :keep], wanted, atol=1e-5, rtol=1e-5)
    assert padded_logits(trainer.model, trainer.model, ids, mask, 3).shape == found.shape


def test_other_questions_than_those_of_the_step_are_refused(tmp_path: Path) -> None:
    given = Given(())
    trainer = trainer_of(tmp_path, given)
    with pytest.raises(ContractBroken, match="other questions"):
        trainer._generate([list(given.student(place)) for place in (1, 0, 2, 3)])
