"""Judge replies that hold one number or one letter, wherever it stands. This file is yours: change it as you like.

fastslow calls `score` with what the model wrote and the row of the data; it returns a reward from 0 to 1 and feedback.
The feedback on training rows says what would have been right: the proposers instructions, reflection and mixed read it
(the default one, demonstrations, goes by rewards alone). On held-out rows it is not shown. Return None where a row
cannot be judged.
"""

from fastslow.tasks.scoring import scorer_named

ANSWER = "answer"
KIND = "number"
JUDGE = scorer_named(KIND, __name__)  # finds the answer in a reply, and compares by value


def score(completion: str, row: dict) -> tuple[float, str] | None:
    if row.get(ANSWER) is None:
        return None
    right = str(row[ANSWER])
    judged = JUDGE.judge(completion, right)
    if judged.right:
        return 1.0, "Correct."
    return 0.0, f"{judged.said} The right answer is {right}."
