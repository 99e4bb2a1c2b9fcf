"""Judge replies that should be one label of a few. This file is yours: change it as you like.

fastslow calls `score` with what the model wrote and the row of the data; it returns a reward from 0 to 1 and feedback.
The feedback on training rows says what would have been right: the proposers instructions, reflection and mixed read it
(the default one, demonstrations, goes by rewards alone). On held-out rows it is not shown. Return None where a row
cannot be judged.
"""

ANSWER = "answer"
LABELS = ("yes", "no")


def score(completion: str, row: dict) -> tuple[float, str] | None:
    if row.get(ANSWER) is None:
        return None
    given, right = completion.strip(), str(row[ANSWER]).strip()
    if given == right:
        return 1.0, "Correct."
    if given in LABELS:
        return 0.0, f"'{given}' is a label, but here '{right}' is right."
    known = ", ".join(LABELS)
    return 0.0, f"'{given[:80]}' is not a label. Reply with one of {known}, and nothing else; here: {right}."
