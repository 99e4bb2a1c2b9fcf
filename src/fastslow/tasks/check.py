"""Check a task for faults before a run is paid for (`fastslow tasks check`)."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product
from statistics import median

from fastslow.core import foreign
from fastslow.core.texts import folded
from fastslow.core.types import Example, Verdict
from fastslow.tasks.base import Task
from fastslow.tasks.doubts import ALIKE, DIFFERING, Doubts, Question, doubts_about, same_answer, summaries
from fastslow.tasks.episodes import begin
from fastslow.tasks.splits import SPLITS, canonical, identity

SAMPLED = 200  # examples that are scored; the structure of all examples is checked
SLOW_SCORING_S = 0.05
# Words in a row that two questions hardly ever share by accident, after Brown et al. 2020 (arXiv 2005.14165).
NGRAM = 13
WORDING = 3
WRONG = (("empty", ""), ("refusal", "I do not know."))


@dataclass
class TaskReport:
    """Hold the result of a check. `facts` are for reading, `problems` make the check fail, `remarks` do not.

    A problem is a kind and the places where it occurs, so that a fault of every example takes one line.
    """

    facts: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)
    answers: dict[tuple[str, str], str | None] = field(default_factory=dict, repr=False)  # by split and id, asked once

    def problem(self, kind: str, place: str = "") -> None:
        self.problems.setdefault(kind, []).append(place)

    def lines(self) -> list[str]:
        """Return one line for each problem, with its first place."""
        return summaries(self.problems)


def check_task(task: Task, *, tokens_of: Callable[[Example], int] | None = None, window: int = 0) -> TaskReport:
    """Check the splits, right and wrong answers, feedback and lengths of a task.

    `tokens_of` returns the length of an example's prompt in tokens, and `window` is how many of them a model can read.
    """
    report = TaskReport()
    _check_splits(task, report)
    _check_texts(task, report)
    sampled = {split: _sample(task.split(split)) for split in SPLITS}
    _check_answers(task, sampled["train"], report)
    _check_literal(task, [e for examples in sampled.values() for e in examples], report)
    _check_wrong_answers(task, [e for examples in sampled.values() for e in examples], report)
    if tokens_of is not None:
        _check_lengths([tokens_of(e) for examples in sampled.values() for e in examples], window, report)
    return report


def wrong_answers(task: Task, example: Example) -> list[tuple[str, str]]:
    """Return typical wrong completions, each with its name: nothing, a refusal, the right answer to another
    question."""
    own = task.answer(example)
    others = (task.answer(e) for e in task.split("train")[:50] if e.id != example.id)
    other = next((answer for answer in others if answer not in (None, own)), None)
    return [*WRONG, *([("the answer to another question", other)] if other is not None else [])]


def overlap(task: Task, other: Task) -> dict[str, int]:
    """Count the held-out questions of `task` that stand among the training questions of `other`.

    `exact` counts equality up to case, spaces and the form of characters, `similar` counts 13 equal words in a row.
    Words in a row that three or more questions of either side share are the tasks' wording and do not count.
    """
    held_out = [_words(e.question) for split in ("validation", "test") for e in task.split(split)]
    trained = [_words(e.question) for e in other.split("train")]
    known = {" ".join(words) for words in trained}
    tested_in, trained_in = (Counter(g for words in side for g in _ngrams(words)) for side in (held_out, trained))
    exact = [" ".join(words) in known for words in held_out]
    similar = [
        not same and any(0 < trained_in[gram] < WORDING > tested_in[gram] for gram in _ngrams(words))
        for words, same in zip(held_out, exact, strict=True)
    ]
    return {"held_out": len(held_out), "exact": sum(exact), "similar": sum(similar)}


def _words(question: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", folded(question))


def _ngrams(words: Sequence[str]) -> set[str]:
    return {" ".join(words[start : start + NGRAM]) for start in range(len(words) - NGRAM + 1)}


def _sample(examples: Sequence[Example]) -> list[Example]:
    return list(examples) if len(examples) <= SAMPLED else random.Random(0).sample(list(examples), SAMPLED)


def _check_splits(task: Task, report: TaskReport) -> None:
    sizes = {split: len(task.split(split)) for split in SPLITS}
    report.facts.append(", ".join(f"{size} {split}" for split, size in sizes.items()))
    for kind, count in (getattr(task, "dropped", None) or {}).items():
        report.facts.append(f"left out {count}: {kind}")
    numbering = getattr(task, "row_numbering", "")
    if numbering and isinstance(numbering, str):
        report.facts.append(numbering[0].lower() + numbering[1:].rstrip("."))
    if duplicates := getattr(task, "duplicates", 0):
        report.facts.append(f"dropped {duplicates} that {'repeats' if duplicates == 1 else 'repeat'} a question")
    if not sizes["train"]:
        report.problem("no training example")
    if not sizes["validation"]:
        report.problem(
            "no validation example, and runs need them: put some rows into that split, or leave the splits out"
        )
    if not sizes["test"]:
        report.remarks.append("the test split is empty")
    contents = {split: {canonical(e.messages) for e in task.split(split)} for split in SPLITS}
    for a, b in combinations(SPLITS, 2):
        if shared := len(contents[a] & contents[b]):
            report.problem(f"{shared} questions stand in both {a} and {b}")
    _check_wordings(task, report)
    ids = sorted(e.id for split in SPLITS for e in task.split(split))
    if repeated := sum(a == b for a, b in pairwise(ids)):
        report.problem(f"{repeated} ids are used twice")
    own = getattr(task, "unchecked", task)  # a checked task of the user's asks once, and would hide a difference
    if any([e.id for e in own.split(split)] != [e.id for e in own.split(split)] for split in SPLITS):
        report.problem("a split differs when it is asked for again")


def _check_wordings(task: Task, report: TaskReport) -> None:
    """Look for a question that another split has in other words than its own by case, spaces or form alone."""
    homes: dict[str, list[Example]] = {}
    for split in SPLITS:
        for example in task.split(split):
            homes.setdefault(identity(example.messages), []).append(example)
    apart: list[str] = []
    for first, *others in homes.values():
        for other in others:
            if other.split == first.split or canonical(other.messages) == canonical(first.messages):
                continue
            if same_answer(_stated(task, first, report), _stated(task, other, report)):
                report.problem(f"{ALIKE} in {first.split} and {other.split}", f"{first.where} and {other.where}")
            else:
                apart.append(f"{first.where} and {other.where}")
    if apart and not isinstance(getattr(task, "doubts", None), Doubts):
        report.remarks.extend(summaries({DIFFERING: apart}))


def _check_texts(task: Task, report: TaskReport) -> None:
    """Look at all questions and, where that asks no scorer, all right answers."""
    doubts = getattr(task, "doubts", None)  # a task that reads rows has looked at all of them, and knows their numbers
    if not isinstance(doubts, Doubts):
        doubts = doubts_about(_questions(task, report))
        _check_contradictions(task, report)
    for kind, places in doubts.problems.items():
        for place in places:
            report.problem(kind, place)
    report.remarks.extend(summaries(doubts.remarks))


def _questions(task: Task, report: TaskReport) -> Iterator[Question]:
    for split in SPLITS:
        examples = task.split(split)
        answered = {e.id for e in _sample(examples)} if hasattr(task, "stated_answer") or split == "train" else set()
        for example in examples:
            answer = _stated(task, example, report) if example.id in answered else None
            yield Question(example.where, example.question, answer)
            if not example.question.strip():
                report.problem("a question is empty", example.where)


def _check_contradictions(task: Task, report: TaskReport) -> None:
    seen: dict[str, Example] = {}
    for split in SPLITS:
        for example in task.split(split):
            first = seen.setdefault(canonical(example.messages), example)
            if first is example or first.split != split:
                continue
            if not same_answer(_stated(task, first, report), _stated(task, example, report)):
                report.problem(
                    "examples ask one question and have different answers", f"{first.where} and {example.where}"
                )


def stated_answer(task: Task, example: Example) -> str | None:
    """Return the right answer in the data, where the task tells, whether or not its scorer accepts it."""
    stated = getattr(task, "stated_answer", None)
    return None if stated is None else stated(example)


def _stated(task: Task, example: Example, report: TaskReport) -> str | None:
    """Return the right answer in the data where the task tells, else one that its scorer accepts."""
    return stated_answer(task, example) if hasattr(task, "stated_answer") else _answer(task, example, report)


def _without_episodes(task: Task, examples: Sequence[Example], report: TaskReport) -> list[Example]:
    """Return the examples that want one answer, and report on the others, whose answer is a first turn."""
    single, first = [], 0
    for example in examples:
        try:
            plays = begin(task, example) is not None
        except Exception as error:  # the user's code may raise anything; here that is a finding
            report.problem("an episode cannot begin", f"{example.where}: {foreign.words(error)}")
            continue
        single += [] if plays else [example]
        first += plays and _answer(task, example, report) is not None
    episodes = len(examples) - len(single)
    if episodes:
        report.facts.append(
            f"{episodes} of {len(examples)} training examples looked at are episodes of several turns, {first} of them "
            "with a first turn to show; answers below are judged as an only turn"
        )
    return single


def _check_answers(task: Task, looked_at: Sequence[Example], report: TaskReport) -> None:
    examples, accepted, answers = _without_episodes(task, looked_at, report), 0, set[str]()
    if looked_at and not examples:
        return
    for example in examples:
        answer = _answer(task, example, report)
        if answer is None:
            answer = stated_answer(task, example)  # the answer in the data, though the scorer may not accept it
        answers |= {answer} if answer is not None else set()
        verdict = None if answer is None else _score(task, example, answer, report)
        accepted += verdict is not None and verdict.reward == 1.0
        if answer is not None and verdict is not None and verdict.reward != 1.0:
            report.problem(
                "its own right answer is not accepted", f"{example.where}, {_short(answer)}: {said(verdict)}"
            )
    report.facts.append(f"the right answers of {accepted} of {len(examples)} training examples looked at are accepted")
    if len(answers) == 1 and accepted == len(examples) > 1:
        report.remarks.append(f"every right answer is {_short(answers.pop())}: a model earns all of it without reading")
    if accepted < len(examples):
        report.remarks.append("examples without a right answer that is accepted cannot be shown in contexts")


def _check_literal(task: Task, examples: Sequence[Example], report: TaskReport) -> None:
    """Look for right answers that no other spelling of the same value can meet."""
    literal = getattr(task, "literal_answer", None)
    if literal is None:
        return
    reasons = [(example.where, reason) for example in examples if (reason := literal(example)) is not None]
    if reasons:
        report.remarks.append(
            f"{len(reasons)} of {len(examples)} right answers can be met by their own letters only; the first: "
            f"{reasons[0][0]} {reasons[0][1]}"
        )


def _check_wrong_answers(task: Task, examples: Sequence[Example], report: TaskReport) -> None:
    spent, silent, unscored, said_of = [], 0, [], {}
    for example, (kind, text) in product(examples, WRONG):
        started = time.perf_counter()
        verdict = _score(task, example, text, report)
        spent.append(time.perf_counter() - started)
        if verdict is None:
            continue
        silent += verdict.scored and not verdict.feedback
        if not verdict.scored:
            unscored.append(f"{verdict.info.get('unscored')} ({example.where})")
        if verdict.reward == 1.0:
            report.problem(f"the {kind} answer gets full marks", example.where)
        if _score(task, example, text, report) != verdict:
            report.problem("the same text is judged in two ways: scoring is not pure", f"{example.where}, {text!r}")
        if example.split != "train":
            said_of.setdefault((example.split, text), []).append((example, _answer(task, example, report), verdict))
    for (split, _), feedbacks in said_of.items():
        for example, secret in _leaks([(e, (answer or "").strip(), v.feedback) for e, answer, v in feedbacks]):
            report.problem(f"feedback on a {split} example shows its answer", f"{example.where}, {secret}")
    if unscored and len(unscored) == len(spent):
        report.problem("nothing is scored", unscored[0])
    elif unscored:
        report.remarks.append(f"{len(unscored)} of {len(spent)} answers are unscored: {unscored[0]}")
    if silent:
        report.remarks.append(f"{silent} wrong answers got no feedback: the fast channel learns from rewards alone")
    if spent:
        report.facts.append(
            f"scoring a wrong answer takes {1000 * median(spent):.2f} ms, at most {1000 * max(spent):.2f} ms"
        )
        if max(spent) > SLOW_SCORING_S:
            report.remarks.append(f"scoring should take {1000 * SLOW_SCORING_S:.0f} ms at most")


def _score(task: Task, example: Example, text: str, report: TaskReport) -> Verdict | None:
    try:
        verdict = task.score(example, text)
    except Exception as error:  # the user's code may raise anything; here that is a finding
        report.problem("scoring raises", f"{example.where}, {_short(text)}: {foreign.words(error)}")
        return None
    if not isinstance(verdict, Verdict):
        report.problem("scoring returns no Verdict", f"{example.where}, {_short(text)}: {type(verdict).__name__}")
        return None
    return verdict


def _answer(task: Task, example: Example, report: TaskReport) -> str | None:
    key = (example.split, example.id)
    if key not in report.answers:
        report.answers[key] = _asked(task, example, report)
    return report.answers[key]


def _asked(task: Task, example: Example, report: TaskReport) -> str | None:
    try:
        answer = task.answer(example)
    except Exception as error:
        report.problem("asking for the right answer raises", f"{example.where}: {foreign.words(error)}")
        return None
    if answer is not None and not isinstance(answer, str):
        report.problem("the right answer is not text", f"{example.where}: {type(answer).__name__}")
        return None
    return answer


def _leaks(feedbacks: Sequence[tuple[Example, str, str]]) -> list[tuple[Example, str]]:
    """Return where the feedback on one completion quotes the answer, from (example, answer, feedback).

    Feedback that is also given for an example with another answer, such as "reply with A, B, C or D", quotes nothing.
    """
    answers: dict[str, set[str]] = {}
    for _, answer, feedback in feedbacks:
        answers.setdefault(feedback, set()).add(answer)
    return [
        (example, _short(answer))
        for example, answer, feedback in feedbacks
        if answer and len(answers[feedback]) == 1 and re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", feedback)
    ]


def _check_lengths(lengths: Sequence[int], window: int, report: TaskReport) -> None:
    if not lengths:
        return
    report.facts.append(f"prompts take {median(lengths):.0f} tokens, at most {max(lengths)}, of a window of {window}")
    if over := sum(n >= window for n in lengths):
        report.problem(f"{over} of {len(lengths)} prompts fill the model's window and leave no room to answer")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")


def said(verdict: Verdict) -> str:
    """Return a verdict's reward in words."""
    return f"no score ({verdict.info.get('unscored')})" if verdict.reward is None else f"reward {verdict.reward:g}"
