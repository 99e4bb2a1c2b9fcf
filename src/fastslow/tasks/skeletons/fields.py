"""Judge replies that should be JSON, field by field. This file is yours: change it as you like.

fastslow calls `score` with what the model wrote and the row of the data; it returns a reward from 0 to 1 and feedback.
The feedback on training rows says what would have been right: the proposers instructions, reflection and mixed read it
(the default one, demonstrations, goes by rewards alone). On held-out rows it is not shown. Return None where a row
cannot be judged.
"""

import json

from fastslow.tasks.scoring import values

ANSWER = "answer"
SHOWN = 200  # characters of a value in the feedback


def score(completion: str, row: dict) -> tuple[float, str] | None:
    if row.get(ANSWER) is None:
        return None
    text = row[ANSWER] if isinstance(row[ANSWER], str) else json.dumps(row[ANSWER], ensure_ascii=False)
    right = values.load(text)
    try:
        _, given = values.found(completion)  # the value in a fenced block, in answer tags, or alone
    except values.NotJson as error:
        return 0.0, f"The reply is not JSON ({error}). Right would be: {text[:SHOWN]}"
    gap = values.difference(right, given)
    if gap is None:
        return 1.0, "Correct."
    if not isinstance(right, dict) or not isinstance(given, dict):
        return 0.0, f"{gap} Right would be: {text[:SHOWN]}"
    names = {**right, **given}  # a field too many counts as a wrong one
    shared = [name for name in names if name in right and name in given]
    met = [name for name in shared if values.difference(right[name], given[name]) is None]
    return len(met) / len(names), f"{len(met)} of {len(names)} fields are right. {gap} Right would be: {text[:SHOWN]}"
