"""Score one letter out of a few (`choice`)."""

from __future__ import annotations

import re

from fastslow.tasks.scoring.base import RIGHT, SCORERS, Judgement, PlainScorer, no_answer, unparsable, wrong
from fastslow.tasks.scoring.extract import is_blank, marked, tagged, tail

LETTERS = "ABCDEFGHIJ"
LONE = re.compile(r"[\s*_`\"'(\[]{0,8}([A-Za-z])[\s*_`\"')\].:]{0,8}")
LED = re.compile(r"[\s*_`\"'(\[]{0,8}([A-Z])[*_`\"']{0,3}[).:]")
OTHER = re.compile(r"(?<![A-Za-z0-9])[A-Z][).:]")
SAID = re.compile(r"\b(?i:answer(?: is| would be)?):?[\s*_`\"'(\[]{1,8}([A-Z])(?![A-Za-z0-9'])")


@SCORERS.register("choice")
class Choice(PlainScorer):
    """Compare the letter in the last answer tags or box; without these, the whole completion or what follows 'answer
    is'.

    `letters` are the options. With `tags_only`, only answer tags are read.
    """

    def __init__(self, letters: str = LETTERS, *, tags_only: bool = False):
        self.letters = letters
        self.tags_only = tags_only

    def judge(self, completion: str, gold: str) -> Judgement:
        text = tail(completion)
        if is_blank(text):
            return no_answer("the completion is empty")
        answer = tagged(text) if self.tags_only else marked(text)
        if answer is None and self.tags_only:
            return no_answer("there are no <answer> tags with a letter between them")
        if answer is not None and is_blank(answer):
            return no_answer("nothing stands where the letter should")
        letter = _letter(text if answer is None else answer)
        if letter is None and answer is None:
            said = SAID.findall(text)
            if not said:
                return no_answer("no letter is named as the answer")
            letter = said[-1]
        if letter is None:
            return unparsable(answer or text, "is not one letter")
        if letter not in self.letters:
            return unparsable(letter, f"is not one of {', '.join(self.letters)}")
        return RIGHT if letter == _letter(gold) else wrong(letter)

    def objection(self, gold: str) -> str | None:
        letter = _letter(gold)
        return None if letter and letter in self.letters else f"is not one of {', '.join(self.letters)}"

    def completion(self, gold: str) -> str:
        letter = _letter(gold) or gold
        return f"<answer>{letter}</answer>" if self.tags_only else letter


def _letter(text: str) -> str | None:
    """Return the letter of 'B', '(b)', '**B.**' or 'B) two volts'; None for 'A or B', and for words."""
    lone = LONE.fullmatch(text)
    if lone:
        return lone.group(1).upper()
    led = LED.match(text)
    return led.group(1) if led and not OTHER.search(text, led.end()) else None
