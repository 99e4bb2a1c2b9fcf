"""Find what feedback keeps saying: group its clauses into kinds that are general, and weigh each by lost reward.

A clause is general if nothing in it belongs to one question: it holds no number, no quotation, no word of the example's
answer, no word that tells its question from the others, and no three words in a row of the completion. A clause that
fails this counts for no kind, so that nothing of an answer can reach a context by way of feedback.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fastslow.contexts.context import WorkedExample
from fastslow.core.types import Trace
from fastslow.fast.proposers.validate import normalised

FEEDBACK_EDGES = (1_000, 500)
"""Characters read at the beginning and the end of a feedback text: those of the built-in scorers are shorter."""

TEXT_EDGE = 500
"""Characters read at each end of a question, an answer or a completion when a clause is compared with its words."""

MAX_CLAUSES = 8
"""Clauses read of one feedback text."""

MAX_CLAUSE_CHARS = 100
"""Longest clause that becomes a line: rules are short, and what is longer is a story about one answer."""

ECHO_WORDS = 3
"""As many words in a row, found in the completion as well, make a clause an echo of it."""

SHARED = 0.9
"""Share of the different questions (or answers) from which a word is the task's and not one question's."""

LEAST_EXAMPLES = 2
"""Examples, and different answers, that a kind must be seen with: what is seen once is noise, or a leak."""

PARTICULAR = "\0"
QUOTED = re.compile(
    r"""(?<!\w)'(?:[^']|(?<=\w)'(?=\w))*+(?:'|\Z)|"[^"]*+(?:"|\Z)|`[^`]*+(?:`|\Z)"""
    r"""|“[^”]*+(?:”|\Z)|‘[^’]*+(?:’|\Z)|«[^»]*+(?:»|\Z)|「[^」]*+(?:」|\Z)"""
)
NUMBERED = re.compile(r"(?<![^\s(\[])(?=[^\s(\[]*?\d)(?:[,;:.!?)\]]*[^\s,;:.!?)\](\[])+")
"""A word with a digit, up to the punctuation behind it; brackets begin a word, so that a run of them costs no more."""

SENTENCE = re.compile(r"(?<![.!?])[.!?]++(?=\s|\Z)|\n+|[。！？]")
CLAUSE = re.compile(r"[;:](?=\s|\Z)|\s[-–—]+\s|—")
ASIDE = re.compile(rf"(?<=\s)\([^()]*{PARTICULAR}[^()]*\)")
OF_VERB = r"(?= (?:is|has|holds|contains|lacks|misses|cannot|does|needs|must|should)\b)"
SUBJECT = re.compile(rf"\A\s*{PARTICULAR}{OF_VERB}")
ANNOUNCED = re.compile(rf":\s*(?={PARTICULAR})(?!{PARTICULAR}{OF_VERB})")
JOINED = re.compile(r"\A(?:and|but|or|so|yet) ", re.IGNORECASE)
WORD = re.compile(r"\w+")
BETWEEN_WORDS = str.maketrans({chr(code): " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")})
FOREIGN = re.compile(r"[\"“”‘«»「」`]|(?<!\w)'|'(?!\w)|<[|｜<]|\[/?INST|</?s>|_of_turn|\{\{|\{%|\$\{|#\{")
"""Left-over quotation marks, chat markup and placeholders of templates: no rule needs them."""

OF_GRAMMAR = (
    "a about all also an and any are as at be been but by can do does for from had has have how if in into is it its "
    "just more most must no not of on one only or other out so such than that the their them then there these they "
    "this those to up was were what when which who will with without you your"
)
OF_VERDICTS = (
    "actual again answer answered answers attempt bad completion correct correctly error expected fail failed false "
    "found gave given good got here incorrect incorrectly instead mistake output please quite real reply response "
    "result returned right sorry still true try unfortunately unparsable value wrong wrongly"
)
SAYS_NOTHING = frozenset(f"{OF_GRAMMAR} {OF_VERDICTS}".split())
"""Words that say of an answer only that it is wrong; a clause of nothing else teaches nothing."""


@dataclass
class Kind:
    """Hold one kind of fault: the wording first seen, and with whom it came.

    `lost` sums 1 - reward over the traces that it came with, and `right` counts those with full reward: what is said of
    every answer with partial credit may still be what keeps it from more. `examples` and `answers` are those of traces
    that lost reward.
    """

    said: str
    lost: float = 0.0
    right: int = 0
    examples: set[str] = field(default_factory=set)
    answers: set[str] = field(default_factory=set)

    @property
    def seen_often(self) -> bool:
        return min(len(self.examples), len(self.answers)) >= LEAST_EXAMPLES

    def weight(self, lost: float, right: int) -> float:
        """Return the kind's lost reward, times its share of all lost reward less its share of all right answers."""
        return self.lost * (self.lost / lost - (self.right / right if right else 0.0)) if lost else 0.0


class Known:
    """Hold what the examples of a request say themselves, so that no rule repeats it.

    Args:
        traces: the traces whose feedback is read.
        demonstrations: verified answers, by which the answer to a trace's question may be known.
    """

    def __init__(self, traces: Sequence[Trace], demonstrations: Sequence[WorkedExample]):
        verified = {normalised(worked.question): worked.answer for worked in demonstrations}
        self.examples = {trace.example.id: trace.example for trace in traces}
        self.answers: dict[str, str] = {}
        for name, example in self.examples.items():
            own = example.payload.get("answer")
            answer = own if isinstance(own, str) else verified.get(normalised(example.question))
            if answer is not None:
                self.answers[name] = answer
        self._verified = list(verified.values())
        self._completions: dict[int, str] = {}

    @cached_property
    def _words_of_questions(self) -> dict[str, frozenset[str]]:
        return particular_words({name: example.question for name, example in self.examples.items()})

    @cached_property
    def _words_of_answers(self) -> dict[str, frozenset[str]]:
        return particular_words(self.answers)

    @cached_property
    def _whole_answers(self) -> frozenset[str]:
        answers = [(answer.strip(), phrase(answer).strip()) for answer in [*self.answers.values(), *self._verified]]
        return frozenset(plain if len(plain) == 1 else spoken for plain, spoken in answers) - {""}

    def repeats(self, said: Said, trace: Trace) -> bool:
        """Return whether a clause repeats a part of the question, the answer or the completion of its own trace."""
        name = trace.example.id
        if not self._words_of_questions[name].isdisjoint(said.words):
            return True
        if not self._words_of_answers.get(name, frozenset()).isdisjoint(said.words):
            return True
        if id(trace) not in self._completions:
            self._completions[id(trace)] = phrase(trace.completion)
        completion = self._completions[id(trace)]
        if said.clause in trace.completion or (completion.strip() and completion in said.spoken):
            return True
        return any(run in completion for run in said.runs)

    def discloses(self, line: str) -> bool:
        """Return whether a line holds a number, or all of the answer to any known question as words of its own.

        The case of an answer of one letter counts: the option A is no article.
        """
        words = WORD.findall(line)
        runs = {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
        spoken = {run if len(run) == 1 else run.lower() for run in runs}
        return is_numbered(line) or not self._whole_answers.isdisjoint(spoken)


class Said:
    """Hold a clause with its words, and the runs of words by which an echo of a completion is known."""

    def __init__(self, clause: str):
        self.clause = clause
        self.spoken = phrase(clause)
        self.words = self.spoken.split()
        length = min(ECHO_WORDS, len(self.words))
        starts = range(len(self.words) - length + 1)
        self.runs = [f" {' '.join(self.words[start : start + length])} " for start in starts]


def kinds_of(traces: Sequence[Trace], known: Known) -> list[Kind]:
    """Return the kinds of fault that the feedback on these scored traces names often enough, in the order seen."""
    clauses: dict[str, list[Said]] = {}
    heard: dict[str, list[tuple[Said, Trace]]] = {}
    for trace in traces:
        feedback = trace.verdict.feedback
        if feedback not in clauses:
            clauses[feedback] = [Said(clause) for clause in dict.fromkeys(general_clauses(feedback))]
        for said in clauses[feedback]:
            heard.setdefault(said.spoken, []).append((said, trace))
    kinds = []
    for pairs in heard.values():
        if len({trace.example.id for _, trace in pairs}) < LEAST_EXAMPLES:
            continue  # before anything is compared with long texts
        kind = Kind(pairs[0][0].clause)
        for said, trace in pairs:
            if not known.repeats(said, trace):
                count(kind, trace, known.answers)
        if kind.seen_often and not known.discloses(kind.said):
            kinds.append(kind)
    return kinds


def count(kind: Kind, trace: Trace, answers: Mapping[str, str]) -> None:
    """Add a scored trace to a kind."""
    reward = trace.verdict.reward or 0.0
    kind.lost += 1.0 - reward
    kind.right += reward == 1.0
    if reward < 1.0:
        kind.examples.add(trace.example.id)
        kind.answers.add(answers.get(trace.example.id, f"of {trace.example.id}"))


def general_clauses(feedback: str) -> list[str]:
    """Return the clauses of a feedback text in which nothing is numbered or quoted, and that say more than wrong.

    Of a sentence that also says what to do, only that is returned. What is quoted is 'the answer' where a clause begins
    with it: "Unparsable answer: 'x y' is not one letter".
    """
    general: list[str] = []
    for sentence in SENTENCE.split(_general(feedback), MAX_CLAUSES)[:MAX_CLAUSES]:
        clauses = [SUBJECT.sub("the answer", clause) for clause in CLAUSE.split(sentence, MAX_CLAUSES)]
        parts = [clause.split(",", MAX_CLAUSES) if PARTICULAR in clause else [clause] for clause in clauses]
        pieces = [piece for part in parts for piece in part]
        usable = [tidy for piece in pieces if PARTICULAR not in piece and is_rule(tidy := _tidy(piece))]
        general += [clause for clause in usable if says_what_to_do(clause)] or usable
    return general[:MAX_CLAUSES]


def is_rule(clause: str) -> bool:
    """Return whether a clause may be shown to a model at all, and says anything."""
    if len(clause) > MAX_CLAUSE_CHARS or FOREIGN.search(clause) or is_numbered(clause):
        return False
    words = phrase(clause).split()
    return len(words) > 1 and not SAYS_NOTHING.issuperset(words) and clause.isprintable()


def is_numbered(text: str) -> bool:
    """Return whether a text holds a digit or a numeral of any script."""
    return any(unicodedata.category(char)[0] == "N" for char in text)


TO_DO = re.compile(
    r"(?:please |you |the answer |it |answers )?(?:must|should|needs?|ha(?:s|ve) to|always|never|avoid|do not|don't)\b"
    r"|(?:please )?(?:add|answer|begin|check|choose|end|follow|give|include|keep|leave|list|make|name|output|print|put|"
    r"reply|respond|return|say|show|spell|start|state|stop|use|write)\b"
    r"|.*\b(?:must|should)\b",
    re.IGNORECASE,
)


def says_what_to_do(clause: str) -> bool:
    """Return whether a clause is a rule as it stands ('use capital letters'), and not the name of a fault."""
    return TO_DO.match(clause) is not None


def phrase(text: str) -> str:
    """Return the words of both ends of a text in lower case, with one space before, between and after them."""
    edges = text if len(text) <= 2 * TEXT_EDGE else f"{text[:TEXT_EDGE]} {text[-TEXT_EDGE:]}"
    words = (
        edges.translate(BETWEEN_WORDS).split() if edges.isascii() else WORD.findall(edges)
    )  # the first is far faster
    return f" {' '.join(words)} ".lower()


def particular_words(texts: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Return, for each text, the words that tell it from the others: none that nearly all of them hold, or that say
    nothing. Of a text of one word, that word."""
    words = {name: frozenset(phrase(text).split()) for name, text in texts.items()}
    different = set(words.values())
    counts = Counter(itertools.chain.from_iterable(different))
    enough = len(different) > LEAST_EXAMPLES
    shared = {word for word, number in counts.items() if enough and number >= SHARED * len(different)}
    return {name: of_one if len(of_one) == 1 else of_one - shared - SAYS_NOTHING for name, of_one in words.items()}


def _general(feedback: str) -> str:
    """Return a feedback text with a mark in the place of all that is quoted, numbered or left out."""
    head, tail = FEEDBACK_EDGES
    if len(feedback) > head + tail:
        feedback = f"{feedback[:head]}{PARTICULAR}{feedback[-tail:]}"
    marked = NUMBERED.sub(PARTICULAR, QUOTED.sub(PARTICULAR, feedback))
    # "Still missing: 'x'" is no clause without what it announces; an aside may go without its sentence.
    return ANNOUNCED.sub(" ", ASIDE.sub("", marked))


def _tidy(clause: str) -> str:
    return JOINED.sub("", " ".join(clause.split()).strip(" ,;:.!?-*#>|"))
