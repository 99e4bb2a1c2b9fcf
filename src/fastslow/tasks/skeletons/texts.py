"""Judge replies that should be one text, and nothing beside it. This file is yours: change it as you like.

fastslow calls `score` with what the model wrote and the row of the data; it returns a reward from 0 to 1 and feedback.
The feedback on training rows says what would have been right: the proposers instructions, reflection and mixed read it
(the default one, demonstrations, goes by rewards alone). On held-out rows it is not shown. Return None where a row
cannot be judged.
"""

ANSWER = "answer"
SHOWN = 200  # characters of a text in the feedback


def score(completion: str, row: dict) -> tuple[float, str] | None:
    if row.get(ANSWER) is None:
        return None
    given, right = completion.strip(), str(row[ANSWER]).strip()
    if given == right:
        return 1.0, "Correct."
    if right in given:
        return 0.0, f"The right answer stands among other text; reply with '{right[:SHOWN]}' alone."
    return 0.0, f"'{given[:SHOWN]}' is wrong; the right answer is '{right[:SHOWN]}', and nothing else."
