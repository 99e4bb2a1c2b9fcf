r"""Find the words that make a number a bound or a guess, or deny it: at least 2, 2 or more, is not 2, 至少2.

`standing` asks about the text right before and right after a number, `measures` about the words of a box, and `choice`
and `values` about the sentence before an answer. Approximations (about 2) name their number and are none of these.
"""

from __future__ import annotations

import re

CHARS = 80  # of text that is looked at on either side

_BETWEEN = r"(?:\s(?:about|around|roughly|approximately|exactly|some))?[\s\0\u2009\"'`(\[{=]{0,8}"
BEFORE = re.compile(
    r"(?:\b(?:than|least|most|maximally|minimally|under|below|above|beneath|beyond|exceed(?:s|ed|ing)?|up\sto|almost|nearly"
    r"|within|between|except|excluding|besides|unlike|surpass(?:es|ed)?|greater|larger|smaller|bigger|unequal\sto"
    r"|(?:differs?|different|distinct)\sfrom|instead\sof|except\sfor|apart\sfrom|times|twice|double|triple|thrice"
    r"|(?:wrong|incorrect|false)(?:\s(?:answer|value|result|number))?(?:\s(?:is|was)|:)"
    r"|(?:más|mas|menos|plus|moins)\s(?:de|que)|mehr\sals|weniger\sals"
    r"|mindestens|höchstens|unter|über|au\s(?:moins|plus)|al\smenos|a\slo\ssumo|не|больше|меньше"
    r"|(?:multiple|divisor|negative)s?\sof)"
    r"|(?:\b(?:not|never|cannot|neither|nor|kein|keine|nicht|no\ses|n['’]?est\spas)|n['’]t)"
    r"(?:\s(?:be|equal|equals|exactly|to|the|number|value|answer|a|is|necessarily|simply)){0,4}"
    rf"|(?:大于|小于|大於|小於|多于|少于|不是|并非|至少|最少|最多|至多|超过|超過|不足|不到|不等于|不等於|除了|高于|低于|未满|약간))"
    rf"{_BETWEEN}\Z",
    re.IGNORECASE,
)
AFTER = re.compile(
    r"[\s\0\u2009,;()\"'`*]{0,6}(?:[a-z]{2,15}\s){0,2}(?:"
    r"and\s(?:more|above|below|over|under|up|upwards?|higher|beyond)\b"
    r"|(?:or|oder|ou|o)\s(?:maybe\s|even\s)?(?:any(?:thing)?\s)?(?:more|less|fewer|greater|higher|lower|above|below|over"
    r"|under|larger|smaller|bigger|so|up|upwards?|older|younger|longer|shorter|later|earlier|better|worse|beyond|mehr|weniger"
    r"|plus|moins|más|menos)\b"
    r"|(?:more|less|fewer|greater|smaller|larger)\sthan\b|times\s(?:the|a|as|more|less|that|its|of)\b|to\sthe\b"
    r"|(?:score|gross)\b"
    r"|at\s(?:the\s)?(?:(?:very\s)?(?:least|most)|minimum|maximum)\b|(?:minimum|maximum|max|upwards)\b"
    r"|(?:is|was|are|would\sbe|seems)(?:n['’]t|\s(?:not|wrong|incorrect|false|never)\b)"
    r"|(?:does|do|can|could)(?:n['’]t|\snot)\b"
    r"|(?:以上|以下|以内|以內|未満|多|余|左右以上))"
    r"|-?(?:ish|fold)\b|\?",
    re.IGNORECASE,
)
UNSURE = re.compile(r"(?:\bnot\b|n['’]t\b|\bnever\b|\bif\b|\bunless\b|\bwhether\b)[^.!?\n]{0,60}\Z", re.IGNORECASE)
# Words of a box, whose spaces are gone, that make the number beside them a bound or another one.
IN_BOX = re.compile(
    r"^(?:or(?:more|less|fewer|so)|at(?:least|most|max)|never|under|below|above|exceed|upto|almost|nearly|between|except)"
    r"|(?:more|less|fewer|most|least)$|(?:^|is)not$|than",
    re.IGNORECASE,
)


def before(text: str) -> bool:
    """Return whether a number that follows this text is a bound, or is denied."""
    return BEFORE.search(text[-CHARS:]) is not None


def unsure(text: str) -> bool:
    """Return whether the sentence that this text begins denies what follows, or makes it a condition."""
    return UNSURE.search(text[-CHARS:]) is not None


def after(text: str) -> bool:
    """Return whether a number that stands before this text is a bound, or is denied."""
    return AFTER.match(text[:CHARS]) is not None
