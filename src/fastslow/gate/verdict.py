"""State the outcome of a gate: every check with its numbers, and the digests of what was measured.

Text, JSON, JUnit and the page are all made from one `Verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fastslow.core.errors import BadInput, quoted
from fastslow.files import jsonl
from fastslow.files.manifest import is_signed, signed
from fastslow.files.typed import read_as

FORMAT = 1
State = Literal["pass", "fail", "undecided", "invalid"]
PROSE, NEUTRAL_KL, KL = "bits per byte", "KL on neutral prompts", "KL to the base"
PROMPT_TOKENS, LATENCY = "added prompt tokens", "latency rise (p95)"
"""Names of the checks that measure no task."""
EXIT: Mapping[State, int] = {"pass": 0, "fail": 1, "undecided": 1, "invalid": 2}


@dataclass(frozen=True)
class Lost:
    """A question that the candidate lost, with both answers. A reward is the mean over the question's samples."""

    question: str
    candidate: str
    baseline: str
    candidate_reward: float
    baseline_reward: float


@dataclass(frozen=True)
class Check:
    """One check and what it found.

    Args:
        kind: gain, retain, prose, neutral, samples or limit.
        name: what was measured: a task, or a quantity.
        state: what follows.
        reason: why, in one sentence.
        candidate, baseline: what was measured of each; None where it was not.
        difference: the candidate's minus the baseline's, with the ends `low` and `high` of the interval that the test
            goes by: a check passes where the whole interval lies on the right side of `against`.
        against: the difference, or the largest value, that the check allows.
        n: questions (or pieces of text) behind the numbers; `won` and `lost` of them.
        looks: how often the answers were looked at.
        more: further questions that would probably decide an undecided check; None for none, or where no number would.
        losses: questions that were lost, the first of them.
        candidate_right, baseline_right: the share of each one's answers with a reward of 1, where `candidate` and
            `baseline` are means of rewards that lie between 0 and 1 as well; None where every reward is 0 or 1.
    """

    kind: str
    name: str
    state: State
    reason: str
    candidate: float | None = None
    baseline: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    against: float | None = None
    n: int = 0
    won: int = 0
    lost: int = 0
    looks: int = 0
    more: int | None = None
    losses: tuple[Lost, ...] = ()
    candidate_right: float | None = None
    baseline_right: float | None = None

    @property
    def graded(self) -> bool:
        """Whether some answer earned a reward between 0 and 1."""
        return self.candidate_right is not None


@dataclass(frozen=True)
class Model:
    """One of the two models: where it was, and the digest of its bytes."""

    name: str
    digest: str
    weights: str = "bundle"


@dataclass(frozen=True)
class Asked:
    """The questions that a task contributed. `seed` is the data seed that a generator drew them with; None for a file,
    or a generator that knows no others. `digest` is that of the questions; `uses` counts earlier gates of a registry
    that asked these very questions."""

    task: str
    n: int
    seed: int | None
    digest: str
    uses: int = 0


@dataclass(frozen=True)
class Verdict:
    """The outcome of a gate. `margins` are the tasks that the policy keeps; `policy` is its file, as text."""

    state: State
    candidate: Model
    baseline: Model
    policy_digest: str
    policy: str
    margins: Mapping[str, float]
    alpha: float
    looks: int
    contexts: str
    seed: int
    checks: tuple[Check, ...]
    questions: tuple[Asked, ...]
    notes: tuple[str, ...]
    made: str
    seconds: float
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        return EXIT[self.state]

    @property
    def interval_level(self) -> float:
        """The confidence of every interval, as a share: each end errs with at most alpha, over all looks together."""
        return round(1 - 2 * self.alpha, 10)

    def to_json(self) -> dict[str, Any]:
        """Return what a file holds, with its own SHA-256. `interval_level` follows from alpha, and is not read back."""
        return signed({"format": FORMAT, "interval_level": _plain(self.interval_level), **_plain(asdict(self))})


def combined(checks: Sequence[Check]) -> State:
    """Return the state of the whole. It passes only where every check passes: then the chance of a false release is at
    most that of one check, however many there are (an intersection-union test, Berger 1982)."""
    states = {check.state for check in checks}
    for state in ("fail", "invalid", "undecided"):
        if state in states:
            return state
    return "pass" if checks else "invalid"


def read_verdict(path: str | Path) -> Verdict:
    """Read the JSON of a verdict. Raises BadInput for anything else, and where a byte of it was changed.

    Whoever edits the file can renew its SHA-256 as well: `gate.audit` says whether the state follows from the rest.
    """
    try:
        data = jsonl.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(data, dict) or not is_signed(data):
            raise BadInput(f"verdict '{path}' is not as the gate wrote it (SHA-256 differs); gate the candidate again.")
        return verdict_of(data)
    except OSError as error:
        raise BadInput(f"verdict '{path}' cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"'{path}' is no verdict of a gate: {quoted(error)}.") from error


def verdict_of(data: Mapping[str, Any]) -> Verdict:
    """Return the verdict that `to_json` wrote. Raises ValueError, and RecursionError, for anything else."""
    body = {key: value for key, value in data.items() if key not in ("format", "interval_level", "sha256")}
    if type(data.get("format")) is not int or data["format"] != FORMAT:
        raise ValueError(f"its format is {quoted(data.get('format'), 20)}, and this fastslow reads {FORMAT}")
    if _plain(body) != body:
        raise ValueError("it holds what is no text")
    return read_as(Verdict, body)


def _plain(value: Any) -> Any:
    """JSON has no NaN, infinity or tuple, and UTF-8 no lone surrogates, which a model may write."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
