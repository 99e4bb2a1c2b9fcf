r"""Rewrite the many spellings of one mathematical text into few: Unicode signs, full-width forms, LaTeX's aliases.

`ascii_signs` is for every scorer of mathematics. `flat` goes on for `number`: it takes LaTeX apart until only digits,
signs, words and brackets are left, and marks what a reader does not see with `HIDDEN`. Every step takes time linear in
the text.
"""

from __future__ import annotations

import re
import unicodedata

from fastslow.tasks.scoring import markup
from fastslow.tasks.scoring.markup import HIDDEN, STRUCK

THIN = "\u2009"  # every space that may separate thousands, but the plain one
FRACTION, OVER, END = "\x01", "\x02", "\x03"  # \frac{a}{b} becomes FRACTION a OVER b END

WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if not 0xFF10 <= code <= 0xFF19}
SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\ufe63\ufe58", "-"),
        **dict.fromkeys("\u00a0\u2007\u2008\u202f\u205f\u2006\u2005\u2004\u200a", THIN),
        **dict.fromkeys("\u22c5\u2219\u2022", "\u00b7"),
        **dict.fromkeys("\u2044\u2215", "/"),
        **dict.fromkeys(
            "\u00ad\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069\ufe0f\u20e3",
            None,
        ),
        "\u3000": " ",
        "\u2217": "*",
        "\u2a7d": "\u2264",
        "\u2a7e": "\u2265",
        "\u221a": "√",
        "\u2236": ":",
        "\u066a": "%",
    }
    | {chr(code): chr(plain) for code, plain in WIDE.items()}
)
# Digits of any script, with Arabic's own decimal point and separator of thousands between them.
DIGITS = re.compile(r"(?<!\d)(?:(?![0-9])\d)++(?:[\u066b\u066c](?:(?![0-9])\d)++)*+(?!\d)")
POINTS = str.maketrans("\u066b\u066c", ".,")
MATH_LETTERS = re.compile("[\U0001d400-\U0001d7cb]")
RAISED, LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "₀₁₂₃₄₅₆₇₈₉"
SUPERSCRIPT, SUBSCRIPT = re.compile(f"[{RAISED}]++"), re.compile(f"[{LOWERED}]++")
TO_BASELINE = str.maketrans(RAISED + LOWERED, "0123456789+-0123456789")
VULGAR = {
    sign: (int(above), int(below))
    for sign, above, below in zip("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑", "11213123415113571", "23344555566788889", strict=True)
}
VULGARS = re.compile(f"[{''.join(VULGAR)}]")
EXOTIC = re.compile("[^\x00-\x7f]")

FONTS = (
    r"\\(?:tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|displaystyle|textstyle|scriptstyle"
    r"|scriptscriptstyle|bf|it|rm|sf|tt|sc|bfseries|itshape|rmfamily|sffamily|ttfamily|mdseries|upshape|boldmath|normalfont"
    r"|limits|nolimits)(?![A-Za-z])|\\(?:color|phantom|[hv]space\*?)\s?\{[^{}]*\}"
)
SIZES = re.compile(rf"\\(?:left|right|middle|(?:[bB]ig|[bB]igg)[lrm]?)(?![A-Za-z])\.?|{FONTS}")
COLOURED = re.compile(r"\\(?:textcolor|colorbox)\s?\{[^{}]*\}\s?(?=\{)")
# Punctuation inside a number, wrapped so that LaTeX puts no space behind it: 1{,}000.
WRAPPED = re.compile(r"\\(?:text|mathrm|mbox|mathpunct|mathord)\s?\{\s?([,.])\s?\}(?=[0-9])")
PART = r"((?:[^{}\\]|\\(?!(?:over|choose)(?![A-Za-z]))[A-Za-z,;! ]|\{[^{}]{0,40}\}){1,80})"
INFIX = re.compile(rf"\{{{PART}\\(over|choose)(?![A-Za-z]){PART}\}}")
NEGATED = re.compile(r"\\not\s?(?:=|<|>|\\(?:eq|leq?|geq?|lt|gt|in|equiv|approx|sim)(?![A-Za-z]))")
OVERLINED = re.compile("(?:[0-9][\u0304\u0305])++")
REPEATING = re.compile(
    r"(?<![0-9.,}])(?<![0-9] )([0-9]{1,40})\.([0-9]{0,40})"
    r"(?:\\(?:overline|bar)\s?(?:\{\s?([0-9]{1,40})\s?\}|([0-9]))|\(([0-9]{1,40})\)"
    r"|\\dot\s?\{?\s?([0-9])\s?\}?(?:([0-9]{0,40})\\dot\s?\{?\s?([0-9])\s?\}?)?)(?![0-9])"
)
SPACES = re.compile(
    r"(?<!\\)\\(?:[,;: ]|(?:thinspace|medspace|thickspace|enspace|nobreakspace)(?![A-Za-z]))|~|\{\\[,;: ]\}"
)
NAMED = r"text|textbf|textit|textrm|textsf|texttt|textnormal|mathrm|mathbf|mathit|mathsf|mathtt|mathnormal|mbox|hbox"
WORDS = re.compile(rf"\\(?:{NAMED}|boxed|fbox|emph|underline|bm|boldsymbol|operatorname\*?)\s{{0,3}}\{{([^{{}}]*)\}}")
POWER = re.compile(r"\^\s?\{\s?([-+]?)\s?([0-9]++)\s?\}")
MATH_BEGINS, MATH_ENDS = re.compile(r"(?<!\\)\\[(\[]"), re.compile(r"(?<!\\)\\[)\]]")
FRAC = re.compile(r"\\[dtc]?frac\s{0,3}(?:\{([^{}]*)\}|([0-9]))\s{0,3}(?:\{([^{}]*)\}|([0-9]))")
DEGREE = re.compile(r"\^\s?\{?\s?\\circ\s?\}?|\\degree(?![A-Za-z])")
CURRENCY = r"[$€£¥₹]|\\(?:pounds|euro)(?![A-Za-z])"
MONEY = re.compile(rf"(?:(?<![A-Za-z])(?:US|AU|CA|NZ|HK))?\\?(?:{CURRENCY})")
# With a currency before it, a letter behind a number is a magnitude and no unit: $1.5M.
MAGNITUDES = {
    **dict.fromkeys(("k", "K"), "thousand"),
    **dict.fromkeys(("M", "m", "MM", "mm", "mn", "mio", "mil"), "million"),
    **dict.fromkeys(("B", "b", "bn"), "billion"),
    **dict.fromkeys(("T", "t", "tn"), "trillion"),
}
MAGNITUDE = f"({'|'.join(sorted(MAGNITUDES, key=len, reverse=True))})"
IN_WORDS = rf"\\(?:text|mathrm)\s?\{{\s?{MAGNITUDE}\s?\}}"
AMOUNT = r"\s?[0-9][0-9,]*+(?:\.[0-9]++)?)\s?"
FOLLOWS = r"[.,;!?)\]}*_]{0,3}(?:\s+[A-Za-z]|\s*\Z|\s*\n)|[)\]}*_]"
# $2k$ is a formula, and $\$2k$ is an amount in one.
MAGNIFIED = re.compile(
    rf"(\${AMOUNT}{MAGNITUDE}(?={FOLLOWS})"
    rf"|((?:\\\$|[€£¥₹]|\\(?:pounds|euro)(?![A-Za-z])){AMOUNT}(?:{MAGNITUDE}|{IN_WORDS})(?={FOLLOWS}|\$)"
)
COMMANDS = {
    **dict.fromkeys(("approx", "simeq", "sim", "equiv"), "="),
    **dict.fromkeys(("implies", "Rightarrow", "Longrightarrow", "to", "rightarrow", "therefore"), "⇒"),
    **dict.fromkeys(("quad", "qquad", "hspace", "hfill"), " "),
    **dict.fromkeys(("lbrace", "lbrack"), "("),
    **dict.fromkeys(("rbrace", "rbrack"), ")"),
} | {"times": "×", "cdot": "·", "ast": "*", "div": "÷", "pm": "±", "mp": "∓", "percent": "%", "minus": "-"}
COMMAND = re.compile(rf"\\({'|'.join(COMMANDS)})(?![A-Za-z])")
NESTED = 5  # wrappers inside one another


def ascii_signs(text: str) -> str:
    r"""Return the text with Unicode's and HTML's signs spelled plainly: a true minus is -, 10⁻³ is 10^{-3}, ½ is
    \frac{1}{2}, and a repeating decimal is its fraction.

    Digits of other scripts are digits, but not where those of a second script stand beside them: such a number is none.
    """
    text = markup.unescaped(text.replace("\r\n", "\n"))
    if EXOTIC.search(text):
        text = _from_unicode(text)
    if "\\" in text:
        text = NEGATED.sub("≠", COLOURED.sub("", WRAPPED.sub(r"{\1}", text).replace("{.}", ".")))
        text = INFIX.sub(_infix, text) if "\\over" in text or "\\choose" in text else text
    if "." in text and ("(" in text or "\\" in text):
        text = REPEATING.sub(_repeating, text)
    return MAGNIFIED.sub(lambda m: f"{m[1] or m[3]} {MAGNITUDES[m[2] or m[4] or m[5]]}", text)


def _from_unicode(text: str) -> str:
    text = MATH_LETTERS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = OVERLINED.sub(_overlined, text)
    text = unicodedata.normalize("NFC", text).translate(SIGNS)
    text = DIGITS.sub(_digits, text)
    text = SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(TO_BASELINE)}}}", text)
    text = SUBSCRIPT.sub(lambda match: f"_{{{match[0].translate(TO_BASELINE)}}}", text)
    return VULGARS.sub(lambda match: "\\frac{{{}}}{{{}}}".format(*VULGAR[match[0]]), text)


def _digits(match: re.Match[str]) -> str:
    """Return the digits of one script as ASCII; those of several as they are."""
    digits = match[0].translate(POINTS)
    zeros = {ord(c) - unicodedata.decimal(c) for c in digits if c.isdecimal()}
    return digits if len(zeros) > 1 else "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in digits)


def _overlined(match: re.Match[str]) -> str:
    return f"\\overline{{{''.join(filter('0123456789'.__contains__, match[0]))}}}"


def _infix(match: re.Match[str]) -> str:
    command = {"over": "\\frac", "choose": "\\binom"}[match[2]]
    return f"{command}{{{match[1].strip()}}}{{{match[3].strip()}}}"


def _repeating(match: re.Match[str]) -> str:
    r"""Return 0.1\overline{6} as \frac{15}{90}."""
    whole, fixed = match[1], match[2]
    period = match[3] or match[4] or match[5] or (match[6] + (match[7] or "") + (match[8] or ""))
    above = int(whole + fixed + period) - int(whole + fixed)
    return f"\\frac{{{above}}}{{{'9' * len(period)}{'0' * len(fixed)}}}"


def flat(text: str) -> str:
    r"""Return the text as the tokens of `numerals` read it; a command that is not known stays and makes a formula."""
    text = ascii_signs(text).replace("~~", STRUCK)
    text = SPACES.sub(THIN, text.replace("{,}", ",").replace("\\!", "")) if "\\" in text or "~" in text else text
    text = MONEY.sub(HIDDEN, text.replace("{,}", ","))
    if "\\" in text:
        text = MATH_BEGINS.sub(" ( ", MATH_ENDS.sub(" ) ", text))
    if "^" in text:
        text = POWER.sub(r"^(\1\2)", text)
    if "\\" in text:
        text = SIZES.sub("", text).replace("\\%", "%").replace("\\{", "(").replace("\\}", ")").replace("\\#", "#")
        text = COMMAND.sub(lambda match: COMMANDS[match[1]], DEGREE.sub("°", text))
        for _ in range(NESTED):
            text, words = WORDS.subn(r" \1 ", text)
            text, fractions = FRAC.subn(_fraction, text)
            if not words and not fractions:
                break
    return markup.untagged(markup.unemphasised(text))


def _fraction(match: re.Match[str]) -> str:
    above, below = match[1] if match[2] is None else match[2], match[3] if match[4] is None else match[4]
    return f"{FRACTION}{above}{OVER}{below}{END}"
