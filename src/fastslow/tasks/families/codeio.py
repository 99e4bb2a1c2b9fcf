"""Ask for the output of a program, or for an input of it: `codeio?direction=output`, on reasoning-gym's CodeI/O data.

Programs and their descriptions come from reasoning-gym's wheel; what they compute was recorded once
(`scripts/codeio_pairs.py`), so that neither building this task nor scoring an output runs any code. Left out are
programs that read clocks, files or global randomness, or that are longer than a small model reads.

    direction    output (default): given the input, write the output
                 input: given the output, write an input. Many inputs can be right, so the program is run on the answer,
                 in the sandbox: refused where there is none
    difficulty   1 to 10 as graded by the data's authors; default all

All questions on one program are in the same split, whatever the direction.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.resources
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Split, Verdict
from fastslow.files import jsonl
from fastslow.sandbox import Limits, SandboxUnavailable, isolation, run_python
from fastslow.tasks.base import TASKS
from fastslow.tasks.scoring import values
from fastslow.tasks.scoring.base import RIGHT, Judgement, verdict, wrong
from fastslow.tasks.scoring.extract import tail
from fastslow.tasks.spec import coerce, format_spec
from fastslow.tasks.splits import SPLITS, Candidate, Sizes, allot
from fastslow.tasks.verdicts import Unscored, quote

logger = logging.getLogger(__name__)

FAMILY = "codeio"
Direction = Literal["output", "input"]
# Packages that the data's programs import besides the standard library, with what those need in turn.
PACKAGES = {"numpy": ("numpy",), "sympy": ("sympy", "mpmath")}
LIMITS = Limits(wall_s=5.0, cpu_s=2.0, memory=2**30)  # the libraries of numpy alone need most of a GiB of address space
PAIRS_FILE = "codeio_pairs.jsonl.gz"

Run = Callable[[str, Mapping[str, Any]], Any]
"""`run(program, inputs)` returns what `main_solution(**inputs)` of this source returns, as a JSON value.

It must isolate the program, as the inputs are a model's. It raises ProgramFailed where the program itself fails, or
takes too much time or memory on these inputs: a wrong answer. Any other exception leaves the rollout unscored.
"""


class ProgramFailed(Exception):
    """Raised where the program did not return a JSON value on these inputs; the message says why."""


def sandboxed(program: str, inputs: Mapping[str, Any]) -> Any:
    """Run a program in the sandbox, as `Run` says. Raises SandboxUnavailable where the machine has none: unscored,
    never wrong."""
    packages = [name for name, needs in PACKAGES.items() if re.search(rf"^\s*(import|from) {name}\b", program, re.M)
                for name in needs]  # fmt: skip
    result = run_python(program, "main_solution", dict(inputs), packages=packages, limits=LIMITS)
    if not result.ok:
        raise ProgramFailed(f"{result.kind}: {result.message}" if result.message else result.kind)
    return result.value


class CodeioTask:
    """Ask one direction of CodeI/O (see the module). Input prediction runs programs with `run`, by default in the
    sandbox.

    Raises BadInput for input prediction on a machine without isolation, and for a difficulty without any program.
    """

    def __init__(
        self,
        direction: Direction = "output",
        *,
        difficulty: int | None = None,
        run: Run | None = None,
        train_size: int = 1000,
        validation_size: int = 64,
        test_size: int = 64,
        data_seed: int = 0,
    ):
        shown = {"direction": direction} if difficulty is None else {"direction": direction, "difficulty": difficulty}
        self.name = format_spec(FAMILY, {key: str(value) for key, value in shown.items()})
        self.direction: Direction = direction
        self.run = run or sandboxed
        if direction == "input" and run is None:
            try:
                isolation()
            except SandboxUnavailable as problem:
                raise BadInput(
                    f"task '{self.name}': input prediction runs programs on what a model wrote, and this machine "
                    f"cannot isolate them ({problem}) Train on direction=output, which runs nothing."
                ) from problem
        sizes = Sizes(train_size, validation_size, test_size)
        sizes.check(self.name)
        programs = [row for row in load_programs() if difficulty in (None, row["difficulty"])]
        if len(programs) < 3:
            raise BadInput(f"task '{self.name}': {len(programs)} programs have difficulty {difficulty}; leave it out.")
        bounds: dict[Split, int | None] = {split: sizes.of(split) for split in SPLITS}
        divided = allot(self._candidates(programs, data_seed), bounds, self.name)
        self.duplicates, self.distinct = divided.duplicates, divided.distinct
        self._splits = divided.examples(FAMILY, self.name)
        self._scorer = values.Json()
        self._unscored = Unscored(self.name, logger)

    def split(self, name: Split) -> Sequence[Example]:
        return self._splits[name]

    def score(self, example: Example, completion: str) -> Verdict:
        judgement = self._scorer.judge(completion, self._gold(example))
        # Another input than the recorded one may be right as well.
        if self.direction == "input" and judgement.defect == "wrong value":
            try:
                judgement = self._judge_input(example.payload, completion)
            except Exception as error:  # raised by `run` alone: training continues whatever happens to the sandbox
                return self._unscored(f"running the program raised {type(error).__name__}: {error}", example.where)
        return verdict(judgement, self._scorer, self._gold(example), example.split)

    def answer(self, example: Example) -> str | None:
        answer = self._gold(example)
        return answer if self.score(example, answer).reward == 1.0 else None

    def _gold(self, example: Example) -> str:
        return json.dumps(example.payload["output" if self.direction == "output" else "inputs"])

    def _judge_input(self, payload: Mapping[str, Any], completion: str) -> Judgement:
        """Run the program on the input that is the answer; only an answer with the right keys is run."""
        given = next(filter(None, map(_loaded, values.json_texts(tail(completion)))))
        text = json.dumps(given.value)
        if not isinstance(given.value, dict):
            return wrong(text, "The input must be an object with the names of the parameters as keys.")
        for key in (*payload["inputs"], *given.value):
            if key not in given.value:
                return wrong(text, f"The parameter {json.dumps(key)} is missing.")
            if key not in payload["inputs"]:
                return wrong(text, f"The program has no parameter {json.dumps(key)[:80]}.")
        assert self.run is not None
        try:
            output = self.run(payload["program"], given.value)
        except ProgramFailed as error:
            return wrong(text, f"The program fails on this input: {quote(str(error))}.")
        mismatch = values.difference(payload["output"], output)
        return wrong(text, f"On this input the program returns something else. {mismatch}") if mismatch else RIGHT

    def _candidates(self, programs: Sequence[Mapping[str, Any]], data_seed: int) -> Iterator[Candidate]:
        """Yield every recorded pair as a question, in an order that follows from the seed."""
        pairs = [(row, index) for row in programs for index in range(len(row["pairs"]))]
        pairs.sort(key=lambda pair: derive_seed(data_seed, FAMILY, pair[0]["key"], pair[1]))
        for row, index in pairs:
            inputs, output = row["pairs"][index]
            payload = {"program": row["code_sample"], "inputs": inputs, "output": output}
            question = _question(row, self.direction, inputs if self.direction == "output" else output)
            yield Candidate(({"role": "user", "content": question},), payload, group=f"{FAMILY} {row['key']}")


@functools.cache
def load_programs() -> Sequence[Mapping[str, Any]]:
    """Return the rows of reasoning-gym's data that have recorded `pairs` of inputs and output, with their `key`."""
    from reasoning_gym.data import get_data_file_path

    recorded = importlib.resources.files("fastslow.tasks") / PAIRS_FILE
    with recorded.open("rb") as packed, gzip.open(packed) as lines:
        pairs = {entry["program"]: entry["pairs"] for _, entry in jsonl.objects(lines)}
    programs: dict[str, dict[str, Any]] = {}
    with gzip.open(get_data_file_path("codeio.jsonl.gz")) as lines:
        for _, row in jsonl.objects(lines):
            key = hashlib.sha256(row["code_sample"].encode()).hexdigest()[:16]
            if key in pairs:
                row.setdefault("difficulty", None)
                programs[key] = row | {"key": key, "pairs": pairs[key]}
    if len(programs) < len(pairs):  # another release of the library has other programs
        logger.warning("task '%s': reasoning-gym has %d of the %d programs.", FAMILY, len(programs), len(pairs))
    return list(programs.values())


class _Loaded(NamedTuple):
    value: Any


def _loaded(text: str) -> _Loaded | None:
    try:
        return _Loaded(values.load(text))
    except values.NotJson:
        return None


def _question(row: Mapping[str, Any], direction: Direction, known: Any) -> str:
    if direction == "output":
        asked = f"It is called with this input:\n\n{json.dumps(known)}\n\nWhat does `main_solution` return? "
        form = "Write floats with all their digits. "
    else:
        asked = f"It returned:\n\n{json.dumps(known)}\n\nOn which input? Find one that gives this output. "
        form = "Write an object with the names of the parameters as keys. "
    return (
        f"{row['task_description']}\n\n{row['input_output_spec']}\n\n"
        f"A program computes it:\n\n```python\n{row['code_sample'].strip()}\n```\n\n"
        f"{asked}{form}Reply with the JSON value alone, or put it in a ```json block at the end."
    )


def describe() -> list[tuple[str, str]]:
    return [(FAMILY, "What a program returns on an input, as JSON; ?direction=output&difficulty=8")]


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], **options: Any) -> CodeioTask:
    """Make the task of `codeio?params`. `run` may be among the options."""
    if rest:
        raise BadInput(f"task '{FAMILY}:{rest}': '{FAMILY}' takes parameters only; write {FAMILY}?direction=output.")
    kinds = {"direction": Direction, "difficulty": int}
    values = {}
    for key, text in params.items():
        if key not in kinds:
            raise BadInput(f"task '{FAMILY}' has no parameter '{key}'.{nearest(key, kinds)}")
        try:
            values[key] = coerce(text, kinds[key])
        except ValueError as error:
            raise BadInput(f"task '{FAMILY}': '{key}' must be {error}, got '{text[:40]}'.") from None
    return CodeioTask(**values, **options)
