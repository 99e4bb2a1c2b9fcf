"""Score by comparing texts: `exact`, `contains` and `regex`."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any

import regex

from fastslow.tasks.scoring.base import RIGHT, SCORERS, Judgement, PlainScorer, no_answer, unparsable, wrong
from fastslow.tasks.scoring.extract import MAX_CHARS, is_blank, tail

REGEX_SECONDS = 0.05  # of processor time; a slower pattern is the user's to mend
PATTERN_CHARS = 1_000
UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}\p{Balinese}]"
)
HANGUL = regex.compile(r"\p{Hangul}")
WITHIN = r"(?:[.,'\u2019/:^]|\{,\}|\\[,;:! ])"  # stands between two digits of one number
PROBES = ("", "a" * 5_000, "a b" * 2_000, "1" * 5_000, "0,1." * 1_500, "(" * 5_000, "\n" * 5_000, " " * 5_000)


@SCORERS.register("exact")
class Exact(PlainScorer):
    """Accept a stripped completion that equals the stripped answer, character for character.

    Line ends may be any, and Unicode's two ways to write one letter with an accent are one (its canonical form).
    """

    def judge(self, completion: str, gold: str) -> Judgement:
        most = max(MAX_CHARS, 2 * len(gold))
        if len(completion) > most:
            return unparsable(completion, f"is longer than {most} characters")
        given, right = canonical(completion), canonical(gold)
        if given == right:
            return RIGHT
        if is_blank(given):
            return no_answer("the completion is empty")
        if right in given:
            return wrong(given, "It holds the right answer among other text; reply with the answer alone.")
        if _folded(given) == _folded(right):
            return wrong(given, "Only case, spacing or the form of a character differs.")
        return wrong(given)


@SCORERS.register("contains")
class Contains(PlainScorer):
    """Accept a completion whose end contains the answer as words of its own, in any case and spacing."""

    def judge(self, completion: str, gold: str) -> Judgement:
        given = tail(completion)
        if is_blank(given):
            return no_answer("the completion is empty")
        if _stands_in(_folded(gold), _folded(given)):
            return RIGHT
        return Judgement("wrong value", "Wrong value: what was asked for does not stand in the completion.")

    def objection(self, gold: str) -> str | None:
        return "has nothing in it to look for" if is_blank(gold) or not _folded(gold) else None


@SCORERS.register("regex")
class Regex(PlainScorer):
    """Accept a stripped completion that the pattern in the answer matches as a whole."""

    def completion(self, gold: str) -> str | None:
        """Return a pattern that matches itself, which is a plain text; None for any other."""
        return gold if self.judge(gold, gold).right else None

    def judge(self, completion: str, gold: str) -> Judgement:
        if len(completion) > MAX_CHARS:
            return unparsable(completion, f"is longer than {MAX_CHARS} characters")
        given = completion.strip()
        try:
            if _pattern(gold).fullmatch(given, timeout=REGEX_SECONDS):
                return RIGHT
        except TimeoutError:
            # No verdict on the text: a clock that ran out says nothing about the answer.
            return Judgement("unscored", f"the pattern '{gold[:100]}' took longer than {REGEX_SECONDS:g} s")
        if is_blank(given):
            return no_answer("the completion is empty")
        return Judgement("wrong value", f"{wrong(given).said} It does not have the form that was asked for.")

    def objection(self, gold: str) -> str | None:
        """Refuse what is not a pattern, and patterns that are slow on plain texts already, before a run."""
        if len(gold) > PATTERN_CHARS:
            return f"is a pattern of more than {PATTERN_CHARS} characters"
        try:
            pattern = _pattern(gold)
        except (regex.error, ValueError, OverflowError, RecursionError) as error:
            return f"is not a regular expression ({error})"
        try:
            for probe in PROBES:
                pattern.fullmatch(probe, timeout=REGEX_SECONDS)
        except TimeoutError:
            return (
                f"is a pattern that needs more than {REGEX_SECONDS:g} s on plain texts; write it without nested repeats"
            )
        return None

    def shown(self, gold: str) -> str:
        return f"A right answer matches the pattern '{gold}'."


@functools.lru_cache(maxsize=1024)
def _pattern(text: str) -> Any:
    return regex.compile(text)


def _folded(text: str) -> str:
    """Return the text with case folded, compatibility forms unified, runs of space made one, formatting characters
    dropped."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c for c in plain if unicodedata.category(c) != "Cf").split())


def canonical(text: str) -> str:
    r"""Return the text as `exact` compares it: stripped, with \n at line ends, letters and accents composed."""
    text = text.strip()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _stands_in(gold: str, given: str) -> bool:
    """Return whether `gold` stands in `given` as words of its own: 4 is not in 14, -4, 4.5 or 4,000.

    Scripts without spaces between words have no words of their own to tell apart; there every place counts, but no
    place within a syllable.
    """
    at = given.find(gold)
    while at >= 0:
        if _begins(gold, given, at) and _ends(gold, given, at + len(gold)):
            return True
        at = given.find(gold, at + 1)
    return False


def _begins(gold: str, given: str, at: int) -> bool:
    before = given[at - 1 : at] if at else ""
    if not gold[0].isalnum() or not before:
        return True
    if gold[0].isdigit():
        grouped = r"|[0-9] " if re.match(r"[0-9]{3}(?![0-9])", gold) else ""
        if before in "-+\u2212\u2013" or re.search(rf"(?:[0-9]{WITHIN}{grouped})\Z", given[max(0, at - 8) : at]):
            return False
    return before not in "._-\u2212" and not _joined(before, gold[0])


def _ends(gold: str, given: str, end: int) -> bool:
    after = given[end : end + 1]
    if after and unicodedata.category(after)[0] == "M":
        return False  # an accent, or the vowel of a syllable
    if not gold[-1].isalnum() or not after:
        return True
    if gold[-1].isdigit() and re.match(rf"(?:{WITHIN}[0-9]| [0-9]{{3}}(?![0-9]))", given[end : end + 8]):
        return False
    # Particles follow a Korean word without a space.
    return HANGUL.match(after) is not None or (after != "_" and not _joined(gold[-1], after))


def _joined(left: str, right: str) -> bool:
    """Return whether two characters that stand together belong to one word."""
    if not (left.isalnum() or unicodedata.category(left)[0] == "M") or not right.isalnum():
        return False
    return not any(UNSPACED.match(c) for c in (left, right)) and bool(HANGUL.match(left)) == bool(HANGUL.match(right))
