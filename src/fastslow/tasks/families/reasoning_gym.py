"""Make tasks from the reasoning-gym library: `reasoning_gym:products?min_digits=1&max_digits=1`.

Every generator of the library is a task; the parameters are the fields of its configuration. Unless `strict=false` is
among them, a completion earns 1 for the library's full marks and 0 for anything less: partial credit goes to texts that
merely contain the answer, and a policy then learns to pad instead of to answer. With `scorer=NAME` a built-in scorer
judges instead of the library's: `scorer=number` reads the answer of a model that adds other text. So does a function of
the user's, by dotted path: it is called as `scorer(completion, row)` with the library's entry as the row.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import logging
import os
import random
import sys
import tempfile
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.core.types import Example, Split, Verdict
from fastslow.tasks.base import TASKS
from fastslow.tasks.families import screen
from fastslow.tasks.families.reader import answer_text
from fastslow.tasks.families.rows import asked, load_scorer
from fastslow.tasks.scoring import Scorer, verdict
from fastslow.tasks.scoring.extract import is_blank
from fastslow.tasks.scoring.values import Json
from fastslow.tasks.spec import coerce, format_spec
from fastslow.tasks.splits import Candidate, Sizes, draw
from fastslow.tasks.verdicts import Unscored, as_reward, explain

logger = logging.getLogger(__name__)

FAMILY = "reasoning_gym"
CHUNK = 2_000  # entries asked of one dataset object: some build them all at once, word_ladder refuses above 20,000
OWN_NAMES = {"size": "train_size, validation_size and test_size", "seed": "data_seed"}
ANSWER_IN_METADATA = {
    "graph_color": "possible_answer",
    "propositional_logic": "example_answer",
    "rubiks_cube": "example_correct_answer",
}
"""Where a generator with many right answers keeps one of them; its `answer` field is None."""

NO_ANSWER = {("codeio", "{}")}
"""Placeholders of a generator that failed to make an answer (a program that crashed); such entries are left out, and so
are those with an empty answer, as an empty completion is never right."""

ITERATES_SETS = frozenset({"isomorphic_strings", "polynomial_multiplication", "ransom_note"})
"""Generators whose questions follow the order of a set of strings, which Python shuffles in every process."""


class ReasoningGymTask:
    """Draw from one reasoning-gym generator with its parameters until the splits are full (see splits.py).

    `strict` gives reward 1 to a completely right answer and 0 to everything else; otherwise the library's partial
    credit is the reward. `scorer` names a built-in scorer, or a function of the user's, that judges in the library's
    place. `duplicates` counts the repeated questions dropped, `distinct` the different ones drawn.

    Raises BadInput for an unknown generator or parameter, a value of the wrong type or refused by the generator's own
    validation, and for parameters that leave fewer than three distinct questions.
    """

    def __init__(
        self,
        generator: str,
        params: Mapping[str, str] | None = None,
        *,
        train_size: int = 1000,
        validation_size: int = 64,
        test_size: int = 64,
        data_seed: int = 0,
        strict: bool = True,
        scorer: str | None = None,
    ):
        self.generator = generator
        chosen = {**({} if strict else {"strict": "false"}), **({"scorer": scorer} if scorer else {})}
        self.name = format_spec(f"{FAMILY}:{generator}", {**(params or {}), **chosen})
        self._judge, self._function = load_scorer(scorer or None, self.name)
        self.strict = strict
        self.data_seed = data_seed
        self._config = _configuration(generator, params or {}, self.name)
        self._dataset = self._build(0)
        self._unscored = Unscored(self.name, logger)
        if generator in ITERATES_SETS and os.environ.get("PYTHONHASHSEED", "random") == "random":
            logger.warning(
                "task '%s': this generator depends on Python's string hashing; "
                "set PYTHONHASHSEED=0 to get the same questions in every process.",
                self.name,
            )
        sizes = Sizes(train_size, validation_size, test_size)
        sizes.check(self.name)
        divided = draw(self._candidates(), sizes, self.name)
        self.duplicates, self.distinct = divided.duplicates, divided.distinct
        self._splits = divided.examples(f"{FAMILY}:{generator}", self.name)

    def split(self, name: Split) -> Sequence[Example]:
        return self._splits[name]

    def score(self, example: Example, completion: str) -> Verdict:
        entry = example.payload
        if self._judge is not None:
            return self._judged(self._judge, example, completion)
        if self._function is not None:
            row = {**entry, "answer": self._shown_answer(entry)}
            return asked(self._function, completion, row, example, self._unscored)
        try:
            reward = foreign.call(self._reward, completion.strip(), entry, who=f"the scorer of task '{self.name}'")
        except foreign.Failed as fault:  # no fault of a scorer may become a reward, and the run continues
            return self._unscored(f"the scorer raised {fault}", example.where)
        return Verdict(reward, explain(completion, self._shown_answer(entry), reward, example.split))

    def _judged(self, scorer: Scorer, example: Example, completion: str) -> Verdict:
        gold = self._shown_answer(example.payload) or ""  # `_hopeless` left out what the scorer cannot judge by
        return verdict(scorer.judge(completion, gold), scorer, gold, example.split)

    def answer(self, example: Example) -> str | None:
        answer = self.stated_answer(example)
        return answer if answer is not None and self.score(example, answer).reward == 1.0 else None

    def stated_answer(self, example: Example) -> str | None:
        """Return the library's right answer, whether or not the scorer accepts it; None for no single answer."""
        answer = self._shown_answer(example.payload)
        return answer if answer is None or self._judge is None else self._judge.completion(answer)

    def _reward(self, given: str, entry: Mapping[str, Any]) -> float:
        if not given:
            return 0.0
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),  # some scorers print remarks about an answer
            screen.deadline(screen.SCORING_SECONDS) as limit,
        ):
            warnings.simplefilter("ignore")  # warnings of Python about the syntax of what is evaluated
            try:
                admitted = screen.admits(self.generator, given, entry)
                score = self._dataset.score_answer(given, entry) if admitted else 0.0
            except screen.RAISES_WHEN_MALFORMED.get(self.generator, ()):
                score = 0.0
        if limit.passed:
            raise TimeoutError(f"scoring took longer than {screen.SCORING_SECONDS:g} s of processor time")
        reward = as_reward(score)
        return reward if not self.strict or reward == 1.0 else 0.0

    def _answer(self, entry: Mapping[str, Any]) -> Any:
        if entry["answer"] is None and self.generator in ANSWER_IN_METADATA:
            return entry["metadata"][ANSWER_IN_METADATA[self.generator]]
        return entry["answer"]

    def _shown_answer(self, entry: Mapping[str, Any]) -> str | None:
        answer = self._answer(entry)
        return answer if answer is None or isinstance(answer, str) else json.dumps(answer)

    def _hopeless(self, entry: Mapping[str, Any]) -> str:
        """Return why no completion can be right; '' where one can."""
        answer = entry["answer"]
        if isinstance(answer, str) and (is_blank(answer) or (self.generator, answer) in NO_ANSWER):
            return "the answer is empty"
        if self._judge is None:
            return ""
        gold = answer_text(self._answer(entry), structured=isinstance(self._judge, Json))
        objection = "is no single text or number" if gold is None else self._judge.objection(gold)
        return f"the answer {objection}" if objection else ""

    def _candidates(self) -> Iterator[Candidate]:
        usable, reason = 0, "there is none"
        for chunk in itertools.count():
            dataset = self._dataset if chunk == 0 else self._build(chunk)
            for index in range(CHUNK):
                try:
                    with _isolated(_seed(self.data_seed, chunk) + index), self._elsewhere():
                        entry = dataset[index]
                except IndexError:
                    break  # word_ladder ends a dataset where it finds no further pair
                except Exception as error:
                    raise BadInput(
                        f"task '{self.name}': the generator failed on entry {index} "
                        f"({type(error).__name__}: {error}); try other parameters."
                    ) from error
                if hopeless := self._hopeless(entry):
                    reason = hopeless
                    continue
                usable += 1
                yield Candidate(({"role": "user", "content": entry["question"]},), entry)
            if not usable:
                raise BadInput(
                    f"task '{self.name}': no completion can be right: {reason}; try other parameters or another scorer."
                )

    def _build(self, chunk: int) -> Any:
        from reasoning_gym.factory import DATASETS

        seed = _seed(self.data_seed, chunk)
        try:
            config = DATASETS[self.generator][1](**self._config, seed=seed, size=CHUNK)
            if hasattr(config, "validate"):
                config.validate()
            with _isolated(seed):
                return DATASETS[self.generator][0](config)
        except Exception as error:
            reason = str(error).rstrip(".") or type(error).__name__
            raise BadInput(f"task '{self.name}': the generator refuses these parameters: {reason}.") from error

    @contextlib.contextmanager
    def _elsewhere(self) -> Iterator[None]:
        """Give codeio an empty working directory and input: some of its programs write files or ask for input."""
        if self.generator != "codeio":
            yield
            return
        stdin = sys.stdin
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            sys.stdin = io.StringIO()
            try:
                yield
            finally:
                sys.stdin = stdin


def _seed(data_seed: int, chunk: int) -> int:
    """Return seeds far apart: entry i of seed s is entry i-1 of seed s+1 in most generators."""
    digest = hashlib.sha256(f"fastslow-data:{data_seed}:{chunk}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1


@contextlib.contextmanager
def _isolated(seed: int) -> Iterator[None]:
    """Seed the global generators, which some datasets use, restore them afterwards, and suppress what the datasets
    print."""
    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


def _configuration(generator: str, params: Mapping[str, str], name: str) -> dict[str, Any]:
    """Convert the parameters to the types of the configuration's own fields."""
    from reasoning_gym.factory import DATASETS

    if generator not in DATASETS:
        raise BadInput(f"task '{name}': reasoning-gym has no generator '{generator}'.{nearest(generator, DATASETS)}")
    if generator == "composite":
        raise BadInput(f"task '{name}': composite mixes other generators; name one of them instead.")
    config_class = DATASETS[generator][1]
    hints = typing.get_type_hints(config_class)
    fields = {field.name for field in dataclasses.fields(config_class)} - set(OWN_NAMES)
    values = {}
    for key, text in params.items():
        if key in OWN_NAMES:
            raise BadInput(f"task '{name}': '{key}' is not given in the name; use {OWN_NAMES[key]} instead.")
        if key not in fields:
            raise BadInput(f"task '{name}': '{generator}' has no parameter '{key}'.{nearest(key, fields)}")
        try:
            values[key] = coerce(text, hints[key])
        except ValueError as error:
            raise BadInput(f"task '{name}': '{key}' must be {error}, got '{text}'.") from None
        except TypeError as error:
            raise BadInput(f"task '{name}': '{key}' ({error}) cannot be written in a name; leave it out.") from None
    return values


WORDLESS = {
    "acre": "Tells from experiments whether a set of objects makes a detector light up (abstract causal reasoning)",
    "arc_agi": "Finds the rule between input and output grids of ARC-AGI-1, and applies it",
    "boxnet": "Plans moves of agents that push boxes over a grid to targets of their colours",
    "calendar_arithmetic": "Asks for weekdays, leap years, and days between dates",
    "emoji_mystery": "Decodes a sentence that is hidden in an emoji's variation selectors",
    "gsm_symbolic": "Grade-school word problems of GSM-Symbolic with names and numbers drawn anew",
    "list_functions": "Finds the rule between input and output lists, and applies it",
    "puzzle24": "Makes 24 out of four numbers, each used once",
    "rearc": "As arc_agi, with grids drawn anew for each rule (RE-ARC)",
    "survo": "Fills the empty cells of a matrix so that rows and columns have the given sums",
}
"""What reasoning-gym does not say of some of its generators."""


def describe() -> list[tuple[str, str]]:
    """Return name and one-line description of every generator that can be a task."""
    from reasoning_gym.factory import DATASETS

    def line(name: str) -> str:
        said = (DATASETS[name][0].__dict__.get("__doc__") or "").strip().partition("\n")[0].rstrip(".")
        return said or WORDLESS.get(name, "")

    return [(f"{FAMILY}:{name}", line(name)) for name in sorted(DATASETS) if name != "composite"]


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], **options: Any) -> ReasoningGymTask:
    """Make the task of `reasoning_gym:REST?params`; `strict` and `scorer` are not parameters of the generator."""
    params = dict(params)
    scorer = params.pop("scorer", None)
    text = params.pop("strict", "true")
    try:
        strict = coerce(text, bool)
    except ValueError as error:
        raise BadInput(f"task '{FAMILY}:{rest}': 'strict' must be {error}, got '{text}'.") from None
    return ReasoningGymTask(rest, params, strict=strict, scorer=scorer, **options)
