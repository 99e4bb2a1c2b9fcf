r"""Rewrite the many spellings of one mathematical text into few: Unicode signs, full-width forms, LaTeX's aliases.

`ascii_signs` is for every scorer of mathematics. `flat` goes on for `number`: it takes LaTeX apart until only digits,
signs, words and brackets are left, and marks what a reader does not see with `HIDDEN`. Every step takes time linear in
the text.
"""

from __future__ import annotations

import re

HIDDEN = "\0"  # stands where a dollar sign or an emphasis was: neither a space nor a part of a number
THIN = "\u2009"  # every space that may separate thousands, but the plain one
FRACTION, OVER, END = "\x01", "\x02", "\x03"  # \frac{a}{b} becomes FRACTION a OVER b END

WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if not 0xFF10 <= code <= 0xFF19}
SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\ufe63\ufe58", "-"),
        **dict.fromkeys("\u00a0\u2007\u2008\u202f\u205f\u2006\u2005\u2004\u200a", THIN),
        **dict.fromkeys("\u22c5\u2219\u2022", "\u00b7"),
        **dict.fromkeys("\u2044\u2215", "/"),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", None),
        "\u3000": " ",
        "\u2217": "*",
        "\u2a7d": "\u2264",
        "\u2a7e": "\u2265",
        "\u221a": "√",
    }
    | {chr(code): chr(plain) for code, plain in WIDE.items()}
)
WIDE_DIGITS = re.compile("(?<![0-9])[\uff10-\uff19]++(?![0-9])")
FROM_WIDE = {code: code - 0xFEE0 for code in range(0xFF10, 0xFF1A)}
RAISED, LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "₀₁₂₃₄₅₆₇₈₉"
SUPERSCRIPT, SUBSCRIPT = re.compile(f"[{RAISED}]++"), re.compile(f"[{LOWERED}]++")
TO_BASELINE = str.maketrans(RAISED + LOWERED, "0123456789+-0123456789")
VULGAR = {
    sign: (int(above), int(below))
    for sign, above, below in zip("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑", "11213123415113571", "23344555566788889", strict=True)
}
VULGARS = re.compile(f"[{''.join(VULGAR)}]")
EXOTIC = re.compile("[^\x00-\x7f]")

SIZES = re.compile(
    r"\\(?:left|right|middle|(?:[bB]ig|[bB]igg)[lrm]?|displaystyle|textstyle|limits|nolimits|phantom\{[^{}]*\})(?![A-Za-z])\.?"
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
MONEY = re.compile(r"\\?[$€£¥₹]|\\(?:pounds|euro)(?![A-Za-z])")
OPENS_EMPHASIS = re.compile(r"(?<![\w)}\]*\\])\*{1,3}(?=[^\s*])|(?<![\w\\])_{1,2}(?=[^\s_{])")
ENDS_EMPHASIS = re.compile(r"(?<=[^\s*])\*{1,3}(?![\w({\[\\*]|[-+][0-9])|(?<=[^\s_])_{1,2}(?![\w{(\\])")
TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]{0,15}(?:\s[^<>]{0,80})?/?>")
COMMANDS = {
    **dict.fromkeys(("approx", "simeq", "sim", "equiv"), "="),
    **dict.fromkeys(("implies", "Rightarrow", "Longrightarrow", "to", "rightarrow", "therefore"), "⇒"),
    **dict.fromkeys(("quad", "qquad", "hspace", "hfill"), " "),
    **dict.fromkeys(("lbrace", "lbrack"), "("),
    **dict.fromkeys(("rbrace", "rbrack"), ")"),
} | {"times": "×", "cdot": "·", "ast": "*", "div": "÷", "pm": "±", "mp": "∓", "percent": "%", "minus": "-"}
COMMAND = re.compile(rf"\\({'|'.join(COMMANDS)})(?![A-Za-z])")
STRUCK = "\\struck "  # Markdown's ~~, which takes back what stands between: an unknown command
NESTED = 5  # wrappers inside one another


def ascii_signs(text: str) -> str:
    r"""Return the text with Unicode's signs spelled plainly: a true minus is -, 10⁻³ is 10^{-3}, ½ is \frac{1}{2}.

    Full-width digits are digits, but not where an ASCII digit stands beside them: a number in two scripts is none.
    """
    text = text.replace("\r\n", "\n")
    if not EXOTIC.search(text):
        return text
    text = text.translate(SIGNS)
    text = WIDE_DIGITS.sub(lambda match: match[0].translate(FROM_WIDE), text)
    text = SUPERSCRIPT.sub(lambda match: f"^{{{match[0].translate(TO_BASELINE)}}}", text)
    text = SUBSCRIPT.sub(lambda match: f"_{{{match[0].translate(TO_BASELINE)}}}", text)
    return VULGARS.sub(lambda match: "\\frac{{{}}}{{{}}}".format(*VULGAR[match[0]]), text)


def flat(text: str) -> str:
    r"""Return the text as the tokens of `numerals` read it; a command that is not known stays and makes a formula."""
    text = ascii_signs(text).replace("~~", STRUCK)
    text = SPACES.sub(THIN, text.replace("{,}", ",").replace("\\!", "")) if "\\" in text or "~" in text else text
    text = MONEY.sub(HIDDEN, text.replace("{,}", ","))
    if "\\" in text:
        text = MATH_BEGINS.sub(" ( ", MATH_ENDS.sub(" ) ", POWER.sub(r"^(\1\2)", text)))
        text = SIZES.sub("", text).replace("\\%", "%").replace("\\{", "(").replace("\\}", ")").replace("\\#", "#")
        text = COMMAND.sub(lambda match: COMMANDS[match[1]], DEGREE.sub("°", text))
        for _ in range(NESTED):
            text, words = WORDS.subn(r" \1 ", text)
            text, fractions = FRAC.subn(_fraction, text)
            if not words and not fractions:
                break
    if "*" in text or "_" in text:
        text = ENDS_EMPHASIS.sub(HIDDEN, OPENS_EMPHASIS.sub(HIDDEN, text))
    return TAG.sub("\n", text) if "<" in text else text


def _fraction(match: re.Match[str]) -> str:
    above, below = match[1] if match[2] is None else match[2], match[3] if match[4] is None else match[4]
    return f"{FRACTION}{above}{OVER}{below}{END}"
