"""Pairs for `exact`, `contains` and `choice`."""

from __future__ import annotations

import random
import unicodedata
from typing import Literal

from tests.tasks.scoring.corpus.base import Pair

TEXTS = (
    *(
        "two words",
        "Paris",
        "café au lait",
        "naïve",
        "a\nb",
        "first line\nsecond line",
        "x = 1",
        "C++",
        "4711",
        "-5",
        "3.5",
    ),
    *(
        "東京",
        "北京大学",
        "ひらがな",
        "カタカナ",
        "서울",
        "대한민국",
        "กรุงเทพ",
        "ภาษาไทย",
        "Москва",
        "Ελλάδα",
        "العربية",
        "हिन्दी",
    ),
    *("ပုဂံ", "ភ្នំពេញ", "ວຽງຈັນ", "New York City", "é", "Å", "½", "a-b", "don't", "$5", "(a)", "🙂", "Việt Nam"),
)
EDGES = ("%s", " %s", "%s\n", "\n\n%s \t", "\r\n%s\r\n", "\u00a0%s", "\u3000%s")


def right_exact(rng: random.Random) -> Pair:
    gold = rng.choice(TEXTS) if rng.random() < 0.5 else f"{rng.choice(TEXTS)} {rng.choice(TEXTS)}"
    form: Literal["NFC", "NFD", "as it is"] = rng.choice(("NFC", "NFD", "as it is"))
    ends = rng.choice(("\n", "\r\n"))
    text = gold if form == "as it is" else unicodedata.normalize(form, gold)
    return Pair(gold, rng.choice(EDGES).replace("%s", text.replace("\n", ends)), True, f"{form}, {ends!r}")


def wrong_exact(rng: random.Random) -> Pair:
    gold = rng.choice(TEXTS)
    at = rng.randrange(len(gold))
    ways = {
        "one more letter": gold + rng.choice("xх一ก"),
        "one letter less": gold[:at] + gold[at + 1 :],
        "other text": rng.choice([text for text in TEXTS if text != gold]),
        "in a sentence": f"It is {gold}",
        "twice": gold + gold,
        "full stop": gold + "。",
        "a space inside": gold[:1] + " " + gold[1:] + "!",
        "full width": gold.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)}) + "．",
        "another case": gold.swapcase() if gold.swapcase() != gold else gold + "?",
        "nothing": "",
    }
    kind, text = rng.choice(list(ways.items()))
    if unicodedata.normalize("NFC", text).strip() == unicodedata.normalize("NFC", gold).strip():
        kind, text = "nothing", ""
    return Pair(gold, text, False, kind)


# Sentences around a word of each script; `%s` is the word.
SENTENCES = {
    "latin": (
        "I say %s.",
        "%s",
        "So it is %s, of course",
        "“%s”",
        "It's (%s)!",
        "THE %s\r\nAND MORE",
        "answer=%s",
        "a/%s",
    ),
    "han": ("答案是%s。", "%s", "我们去%s吧", "“%s”", "在%s的时候", "首都は%sです", "それは%sだ"),
    "thai": ("คำตอบคือ%sครับ", "%s", "เมือง %s สวย", "ไป%sกัน"),
    "hangul": ("정답은 %s입니다.", "%s", "나는 %s에 산다", "‘%s’"),
    "cyrillic": ("Это %s.", "%s", "Город %s, да", "«%s»"),
    "digits": (
        "so %s.",
        "It is %s, then",
        "答えは%sです",
        "共%s个",
        "%s kg",
        "정답은 %s입니다",
        "ข้อ%sครับ",
        "(%s)",
        "x=%s",
        "%s",
    ),
}
WORDS = {
    "latin": ("Paris", "two words", "café", "Oslo", "naïve", "gold"),
    "han": ("東京", "北京", "ひらがな", "東京タワー", "山"),
    "thai": ("กรุงเทพ", "ภาษาไทย", "เชียงใหม่"),
    "hangul": ("서울", "부산", "대한민국"),
    "cyrillic": ("Москва", "Омск", "Киев"),
    "digits": ("4", "42", "-5", "3.5", "1000", "17"),
}
# The word is a part of something else: `%s` is a number, or a word of a script with spaces.
GLUED = {
    "digits": (
        "1%s",
        "%s7",
        "7.%s",
        "%s.5",
        "%s,000",
        "%s'000",
        "-%s",
        "−%s",
        "x%s",
        "%sth",
        "%s:30",
        "1/%s",
        "%s/7",
        "%s{,}000",
    ),
    "latin": ("%sx", "x%s", "%sian", "un%s", "%s_", "_%s"),
    "cyrillic": ("%sя", "х%s"),
    "hangul": ("남%s", "북%s"),
    "han": (),
    "thai": (),
}
ELSE = {
    "latin": ("nothing", "Rome", "two  wards"),
    "han": ("大阪", "南京", "かたかな"),
    "thai": ("ลำปาง", "ภาษาลาว"),
    "hangul": ("대구", "제주"),
    "cyrillic": ("Тула", "Пермь"),
    "digits": ("8", "99", "6.25"),
}


def right_contains(rng: random.Random) -> Pair:
    script = rng.choice(list(WORDS))
    gold = rng.choice(WORDS[script])
    form = rng.choice(("NFC", "NFD", "upper", "lower", "wide"))
    text = {"upper": gold.upper(), "lower": gold.lower()}.get(form) or gold
    if form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, gold)
    if form == "wide" and script in ("latin", "digits"):
        text = gold.translate(
            {code: code + 0xFEE0 for code in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B))}
        )
    return Pair(gold, rng.choice(SENTENCES[script]).replace("%s", text), True, f"{script}, {form}")


def wrong_contains(rng: random.Random) -> Pair:
    script = rng.choice(list(WORDS))
    gold = rng.choice([w for w in WORDS[script] if w not in ("-5", "3.5")])
    sentence = rng.choice(SENTENCES[script])
    if GLUED[script] and rng.random() < 0.6:
        glued = rng.choice(GLUED[script])
        return Pair(gold, sentence.replace("%s", glued.replace("%s", gold)), False, f"glued: {glued}")
    if rng.random() < 0.2:
        return Pair(gold, f"<think>{gold}</think> {rng.choice(ELSE[script])}", False, "a draft")
    return Pair(gold, sentence.replace("%s", rng.choice(ELSE[script])), False, "another word")


LETTERS = "ABCDEFGHIJ"
WRAPPED = (
    *(
        "%s",
        "(%s)",
        "[%s]",
        "**%s**",
        "**%s.**",
        "%s.",
        "%s)",
        "%s:",
        "`%s`",
        "$%s$",
        "\\(%s\\)",
        "\\text{%s}",
        "\\textbf{%s}",
    ),
    *(
        "\\mathrm{%s}",
        "\\mathbf{%s}",
        "\\text{(%s)}",
        "(\\text{%s})",
        "\\textbf{(%s)}",
        "{%s}",
        "\\{%s\\}",
        "（%s）",
        "【%s】",
    ),
    *(
        "「%s」",
        "%s。",
        "Option %s",
        "\\text{Option %s}",
        "option (%s)",
        "<b>%s</b>",
        "\\,%s\\,",
        "\\left(%s\\right)",
        '"%s"',
    ),
    *(
        "%s) two volts",
        "%s. Because it is.",
        "\\text{%s) two volts}",
        "(%s) a long text",
        "\\text{%s. }5",
        "\\emph{%s}",
        "\\boxed{%s}",
    ),
    *("\\bf %s", "{\\bf %s}", "\\textcolor{red}{%s}", "\\large\\text{%s}", "\\mathsf{%s}", "&nbsp;%s", "{\\rm (%s)}"),
)
PLACED = (
    *(
        "%s",
        "<answer>%s</answer>",
        "\\boxed{%s}",
        "<answer>\r\n%s\r\n</answer>",
        "So: <answer> %s </answer>",
        "\r\n%s\r\n",
    ),
    *(
        "$\\boxed{%s}$",
        "Not \\boxed{Z}, but \\boxed{%s}",
        "<think>The answer is J</think>%s",
        "<answer>\\boxed{%s}</answer>",
    ),
    *(
        "%s<|im_end|>",
        "<answer>%s</answer><|eot_id|>",
        "<|im_start|>assistant\n%s<|im_end|>\n",
        "\\boxed{%s}</s>",
        "#### %s",
    ),
)
SAID = (
    *(
        "The answer is %s.",
        "I think the answer is %s, as I said.",
        "Answer: %s",
        "**Answer:** %s",
        "The correct answer is option %s",
    ),
    *(
        "答案是%s。",
        "答案：%s",
        "答えは%sです",
        "정답은 %s입니다",
        "คำตอบคือ %s",
        "选%s",
        "Antwort: %s",
        "The answer is **(%s)**.",
    ),
    *(
        "The answer is $%s$.",
        "Answer:\r\n%s",
        "The answer is A. No, the answer is %s.",
        "The answer is \\textbf{%s}.",
        "正解は「%s」",
    ),
    *(
        "%s is the correct answer.",
        "After all, %s is the best choice.",
        "Option %s is correct.",
        "(%s) is the answer<|im_end|>",
    ),
    *(
        "Reasoning.\n#### %s",
        "I choose %s.",
        "I would go with option %s",
        "The correct option is %s.",
        "**%s** is right.",
    ),
)
NOT_CHOSEN = (
    *(
        "%s or %o",
        "%s and %o",
        "%s, %o",
        "%s/%o",
        "%s) or %o",
        "(%s) and (%o)",
        "%s) x %o) y",
        "<answer>%s or %o</answer>",
    ),
    *(
        "\\boxed{\\text{%s or %o}}",
        "\\boxed{%s%o}",
        "\\boxed{%s, %o}",
        "\\boxed{\\text{not %s}}",
        "<answer>not %s</answer>",
        "~~%s~~",
    ),
    *(
        "The answer is not %s.",
        "I do not think the answer is %s.",
        "The answer is %s or %o.",
        "The answer is %s and %o.",
        "不选%s",
    ),
    *(
        "<think>The answer is %s</think> I cannot tell.",
        "<think>%s",
        "Is the answer %s?",
        "%sx",
        "<answer>%s?</answer>",
        "%s^2",
    ),
    *(
        "\\overline{%s}",
        "The answer is %s/%o",
        "答案不是%s",
        "%s) is wrong",
        "Between %s and %o I cannot choose.",
        "\\boxed{\\text{neither %s}}",
    ),
    *(
        "<answer>%s</answer> no, <answer>%o</answer>",
        "The answer is %s. No, the answer is %o.",
        "\\boxed{%s} \\boxed{%o}",
    ),
    *(
        "%s is not the correct answer.",
        "%s and %o is the correct answer.",
        "%s or %o is correct.",
        "If %s is correct, so be it.",
    ),
    *(
        "%s is the correct answer, or %o.",
        "<del>%s</del>",
        "<s>%s</s>",
        "%s<sup>2</sup>",
        "#### %s or %o",
        "#### %s\n#### %o",
    ),
    *(
        "I did not choose %s.",
        "Neither %s is the right choice.",
        "%s is the wrong answer.",
        "%s, %o is the best answer.",
    ),
    *("\\boxed{{\\bf %s} or {\\bf %o}}", "%s is the answer? No, %o is the answer."),
)


def right_choice(rng: random.Random) -> Pair:
    letter = rng.choice(LETTERS)
    if rng.random() < 0.3:
        frame = rng.choice(SAID)
        return Pair(letter, frame.replace("%s", letter), True, frame)
    wrapper = rng.choice(WRAPPED)
    given = letter.lower() if wrapper in ("%s", "(%s)") and rng.random() < 0.3 else letter
    given = chr(ord(letter) + 0xFEE0) if rng.random() < 0.1 else given
    return Pair(letter, rng.choice(PLACED).replace("%s", wrapper.replace("%s", given)), True, wrapper)


def wrong_choice(rng: random.Random) -> Pair:
    letter, other = rng.sample(LETTERS[:8], 2)
    if rng.random() < 0.5:
        frame = rng.choice(NOT_CHOSEN)
        return Pair(letter, frame.replace("%s", letter).replace("%o", other), False, f"not chosen: {frame}")
    if rng.random() < 0.4:
        return Pair(letter, rng.choice(SAID).replace("%s", other), False, "another letter")
    return Pair(
        letter, rng.choice(PLACED).replace("%s", rng.choice(WRAPPED).replace("%s", other)), False, "another letter"
    )
