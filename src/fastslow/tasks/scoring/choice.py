r"""Score one letter out of a few (`choice`)."""

from __future__ import annotations

import re

from fastslow.tasks.scoring import hedges
from fastslow.tasks.scoring.base import RIGHT, SCORERS, Judgement, PlainScorer, no_answer, unparsable, wrong
from fastslow.tasks.scoring.extract import is_blank, marked, tagged, tail
from fastslow.tasks.scoring.markup import STRUCK, TAG
from fastslow.tasks.scoring.notation import NESTED, SIZES, SPACES, WORDS, ascii_signs

LETTERS = "ABCDEFGHIJ"
OPENS, CLOSES = r"[\s*_`\"'(\[{「【《#]{0,8}", r"[\s*_`\"')\]}」】》.:,!。、]{0,8}"
NAMED = (
    r"(?:(?i:(?:the\s)?(?:(?:correct|right|best|final)\s)?(?:answer|option|choice|letter)(?:\sis|\swould\sbe)?"
    rf"(?:\s(?:option|choice))?)[\s:]{{1,3}}{OPENS})?"
)
LONE = re.compile(rf"{OPENS}{NAMED}([A-Za-z]){CLOSES}")
LED = re.compile(rf"{OPENS}{NAMED}([A-Z])[*_`\"']{{0,3}}[).:\]}}、]")
OTHER = re.compile(r"(?<![A-Za-z0-9])[A-Z][).:、]")
# "B) or C", "B. and (D)" and "B) is wrong" choose nothing.
HEDGED = re.compile(
    r"[\s*_`\"').,:;\]}]{0,8}(?:(?i:and|or|nor|und|oder|et|ou|versus|vs)\b(?:\s(?i:maybe|perhaps|possibly))?|[/,;&|+、・→和或与及]|\?"
    r"|または|또는|(?=[(\[]))[\s*_`\"'(\[]{0,8}"
    r"(?:(?i:option|choice|answer)\s)?(?:(?<![A-Za-z0-9_])[A-Z](?![A-Za-z0-9'])|\Z|(?<=\?))"
)
DENIED = re.compile(
    r"[\s*_`\"').,:\]}]{0,8}(?i:(?:is|was|are|would be)(?:n['’]t|\s(?:not|wrong|incorrect|false|no)\b))"
)
ENTRY = re.compile(r"(?<![A-Za-z0-9])[A-Z][):]\s")
CORRECTED = re.compile(
    r"\b(?:No|Actually|Wait|Sorry|Correction|Rather|Hmm)\b[\s,.:;-]{1,4}"
    r"(?:(?i:it is|it's|i mean|the answer is)\s)?[(\[]?[A-Z](?![A-Za-z0-9'])"
)
ASIDE = r"[\s*_`\"'(\[{:「【]"
CHOSEN = (
    r"(?:answer|(?:correct|right|best|final|my)\s(?:option|choice|letter))(?:\sis|\swould\sbe)?(?:\s(?:option|choice))?"
    r"|i(?:\swould|\swill|['’]d|['’]ll)?\s(?:choose|chose|pick|select|go\swith)(?:\s(?:option|choice|answer))?"
)
SAID = re.compile(
    rf"(?:\b(?i:{CHOSEN}){ASIDE}{{1,8}}"
    rf"|(?:答案|答え|正解|정답|답|คำตอบ|(?<![不非])[选選]|(?i:respuesta|réponse|antwort|ответ|risposta|resposta))"
    rf"\s{{0,2}}(?:应该是|是|为|為|は|은|는|คือ|(?i:es|est|ist|è|é)\s|择|擇)?{ASIDE}{{0,8}})([A-Z])(?![A-Za-z0-9'’])"
    rf"|(?:\A|\n)[ \t]{{0,3}}\#{{4}}[ \t]{{0,3}}{OPENS}([A-Z]){CLOSES}(?=\n|\Z)"
    r"|(?<![A-Za-z0-9'’])([A-Z])[*_`\"')\]}]{0,4}\s(?i:(?:is|would\sbe|must\sbe)\s(?:indeed\s|clearly\s|therefore\s|thus\s)?"
    r"(?:the\s)?(?:(?:only\s|most\s)?(?:correct|right|best)(?:\s(?:answer|option|choice|one|letter)\b"
    r"|(?=[*_\s]{0,4}(?:[.,;:!\n]|\Z|because\b|since\b)))|answer\b))"
)
BESIDE = re.compile(
    r"(?:\b(?i:and|or|nor|either|neither)\s|[/&+、]|(?<![A-Za-z])[A-Z][)\]*.]{0,3}\s?,)[\s*_`\"'(\[{]{0,8}\Z"
)
ARTICLE = re.compile(r"\s+(?!because|since|as\b|for\b|due|with|and\b|or\b|so\b|in\b|by\b|at\b)[a-z]")
BRACED = re.compile(r"(?<![A-Za-z}\]^_])\{([^{}]*)\}")
MATH = re.compile(r"\\[()\[\]]|\\?\$")


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
            letter = _said(_bare(text))
            if letter is None:
                return no_answer("no letter is named as the answer")
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


def _bare(text: str) -> str:
    r"""Return the text without what is put around a letter: \text{B}, $B$, \(B\), <b>B</b>, full-width forms."""
    text = ascii_signs(text).replace("~~", STRUCK)
    if any(sign in text for sign in "\\$~{"):
        text = MATH.sub("", SPACES.sub(" ", SIZES.sub("", text)))
        for _ in range(NESTED):
            text, words = WORDS.subn(r"\1", text.replace("\\{", "(").replace("\\}", ")"))
            text, braces = BRACED.subn(r"\1", text)
            if not words and not braces:
                break
    return TAG.sub("", text) if "<" in text else text


def _letter(text: str) -> str | None:
    """Return the letter of 'B', '(b)', '**B.**' or 'B) two volts'; None for 'A or B', and for words."""
    text = _bare(text)
    lone = LONE.fullmatch(text)
    if lone:
        return lone[1].upper()
    led = LED.match(text)
    if (
        led is None
        or OTHER.search(text, led.end())
        or _is_taken_back(text, led.end() - 1)
        or LONE.fullmatch(text, led.end())
    ):
        return None
    return led[1]


def _is_taken_back(text: str, end: int) -> bool:
    """Return whether what follows a letter names another beside it, denies it, or corrects it."""
    sentence = text[end : end + 200]
    listed = ENTRY.search(re.split(r"[.!?\n]\s", sentence, maxsplit=1)[0])
    return bool(HEDGED.match(text, end) or DENIED.match(text, end) or CORRECTED.search(sentence) or listed)


def _said(text: str) -> str | None:
    """Return the letter that is named last as the answer; None where none is, or that one is one of several."""
    letter = None
    for said in SAID.finditer(text):
        if hedges.unsure(text[max(0, said.start() - hedges.CHARS) : said.start()]) or DENIED.match(text, said.end()):
            continue
        named = said[1] or said[2] or said[3]
        if said[1] in ("A", "I") and ARTICLE.match(
            text, said.end()
        ):  # the answer is A lot, the answer is I do not know
            continue
        beside = said[3] and BESIDE.search(text[max(0, said.start() - 20) : said.start()])
        letter = None if beside or _is_taken_back(text, said.end()) else named
    return letter
