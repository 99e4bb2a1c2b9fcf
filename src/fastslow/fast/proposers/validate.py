"""Check a proposal before it may cost a rollout."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence

from fastslow.contexts.context import EXAMPLES, Context, WorkedExample, load_examples
from fastslow.core.texts import folded
from fastslow.core.types import Example

MIN_ANSWER_CHARS = 20
"""Shortest held-out answer that is searched for, in characters: shorter ones ('42', 'yes', a name) occur in innocent
text."""

MAX_CHARS_PER_TOKEN = 50

LAYOUT = "\n\r\t"
"""The control characters that ordinary text contains."""


class HeldOut:
    """Hold the validation and test material that no context may contain, indexed for one look-up per proposal.

    A question is a whole conversation. Texts are compared in their normal form: case, spaces and the form of characters
    aside. A training question may contain a held-out one, and an answer, or a turn of a longer conversation, that the
    training examples contain is free to use. Not detected: a paraphrase, and a question of a single word ('good')
    inside other text.

    Args:
        examples: the validation and test examples; their `payload["answer"]` counts where it is text.
        training: the training examples of the same task.
    """

    def __init__(self, examples: Iterable[Example], training: Iterable[Example] = ()):
        training = list(training)
        held_out = list(examples)
        self._training_questions = {normalised(example.question) for example in training}
        self._verbatim = {normalised(example.question) for example in held_out}
        self._questions = {folded(example.question) for example in held_out} - {""}
        self._searchable = [
            *(question for question in self._questions if not question.isalnum()),
            *_unknown(_turns(held_out), "\n".join(folded(example.question) for example in training)),
        ]
        self._answers = _unknown(_answers(held_out), "\n".join(_answers(training)))

    def copied_into(self, text: str) -> str | None:
        """Return what free text copies from the held-out material, or None."""
        text = folded(text)
        if text in self._questions or any(_occurs(question, text) for question in self._searchable):
            return "a held-out question"
        if any(answer in text for answer in self._answers):
            return "a held-out answer"
        return None

    def copied_into_example(self, worked: WorkedExample) -> str | None:
        """Return what a worked example copies from the held-out material, or None."""
        question = normalised(worked.question)
        if question in self._verbatim:
            return "a held-out question"
        if question not in self._training_questions and (copied := self.copied_into(question)):
            return copied
        return self.copied_into(worked.answer)


def proposal_problem(
    child: Context,
    *,
    parent: Context,
    known_ids: Collection[str],
    count_tokens: Callable[[str], int],
    max_tokens: int,
    held_out: HeldOut,
    special_tokens: Collection[str] = (),
) -> str | None:
    """Return why `child` must not cost a rollout, or None where it may.

    Args:
        child: the proposed context.
        parent: the context that it was made from.
        known_ids: contexts already scored in this population.
        count_tokens: length of a text in tokens.
        max_tokens: most tokens of all components together.
        held_out: material that no context may contain.
        special_tokens: tokens of the chat template, which could forge a turn.
    """
    if set(child.components) != set(parent.components):
        return f"its components are {sorted(child.components)}, its parent's {sorted(parent.components)}"
    try:
        worked_examples = load_examples(child.components.get(EXAMPLES, ""))
    except ValueError as error:
        return str(error)
    return (
        _change_problem(child, parent, worked_examples, known_ids)
        or _text_problem(child, worked_examples, special_tokens)
        or _size_problem(child, count_tokens, max_tokens)
        or copy_problem(child, worked_examples, held_out)
    )


def normalised(text: str) -> str:
    """Return `text` with every run of whitespace replaced by one space, and none at its ends."""
    return " ".join(text.split())


def _change_problem(
    child: Context, parent: Context, worked_examples: list[WorkedExample], known_ids: Collection[str]
) -> str | None:
    changed = {name for name, text in child.components.items() if text != parent.components[name]}
    if tuple(worked_examples) == parent.worked_examples:
        changed.discard(EXAMPLES)  # the same examples in another JSON layout
    if not changed:
        return "it changes nothing"
    for name in sorted(changed):
        if not child.components[name].strip() or (name == EXAMPLES and not worked_examples):
            return f"it empties '{name}'"
    if child.id in known_ids:
        return "it is already known"
    return None


def _text_problem(child: Context, worked_examples: list[WorkedExample], special_tokens: Collection[str]) -> str | None:
    # JSON can spell any character as \uXXXX, so worked examples are checked in the form that the policy reads.
    texts = [(name, text) for name, text in child.components.items()]
    for worked in worked_examples:
        if not worked.question.strip() or not worked.answer.strip():
            return "a worked example has a blank question or answer"
        texts += [(EXAMPLES, worked.question), (EXAMPLES, worked.answer)]
    for name, text in texts:
        if bad := next((char for char in text if is_control(char)), None):
            return f"'{name}' holds the control character U+{ord(bad):04X}"
        if token := next((token for token in special_tokens if token and token in text), None):
            return f"'{name}' holds the special token {token}"
    return None


def is_control(char: str) -> bool:
    """Return whether `char` is a control character other than layout, or a lone surrogate, which no tokenizer can
    encode."""
    return char not in LAYOUT and unicodedata.category(char) in ("Cc", "Cs")


def _size_problem(child: Context, count_tokens: Callable[[str], int], max_tokens: int) -> str | None:
    characters = sum(map(len, child.components.values()))
    if characters > MAX_CHARS_PER_TOKEN * max_tokens:  # megabytes need no tokenizer
        return f"it has {characters} characters, far over the cap of {max_tokens} tokens"
    tokens = sum(count_tokens(text) for text in child.components.values())
    return f"it has {tokens} tokens, over the cap of {max_tokens}" if tokens > max_tokens else None


def copy_problem(child: Context, worked_examples: Sequence[WorkedExample], held_out: HeldOut) -> str | None:
    """Return what a context, with these worked examples, copies from the held-out material, or None."""
    for worked in worked_examples:
        if copied := held_out.copied_into_example(worked):
            return f"'{EXAMPLES}' copies {copied}"
    for name, text in child.components.items():
        if name != EXAMPLES and (copied := held_out.copied_into(text)):
            return f"'{name}' copies {copied}"
    return None


def _answers(examples: Iterable[Example]) -> list[str]:
    return [folded(answer) for e in examples if isinstance(answer := e.payload.get("answer"), str)]


def _turns(examples: Iterable[Example]) -> list[str]:
    """Return the turns of conversations of several: one of them may be all that matters of a question."""
    return [folded(turn["content"]) for e in examples if len(e.messages) > 1 for turn in e.messages]


def _unknown(texts: Iterable[str], known: str) -> list[str]:
    """Return the texts that are long enough to be told from innocent ones, and that training does not know."""
    return [text for text in dict.fromkeys(texts) if len(text) >= MIN_ANSWER_CHARS and text not in known]


def _occurs(question: str, text: str) -> bool:
    """Return whether `question` stands in `text` as whole words: '3 + 4' does not stand in '13 + 45'."""
    start = text.find(question)
    while start >= 0:
        end = start + len(question)
        if not (_continues(question[0], text[start - 1 : start]) or _continues(question[-1], text[end : end + 1])):
            return True
        start = text.find(question, start + 1)
    return False


def _continues(edge: str, neighbour: str) -> bool:
    return edge.isalnum() and neighbour.isalnum()
