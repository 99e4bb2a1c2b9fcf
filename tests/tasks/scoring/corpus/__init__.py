"""Right, nearly right and wrong answers whose truth is known before any scorer has seen them.

A generator draws a value (a fraction, a set, a letter, a JSON value), writes it down once as the gold and once as the
answer, each in a notation of its own, and knows that the answer is right because both came from one value; or it writes
down another value, or a text of which the gold is only a part, and knows that it is wrong. No scorer is asked.

- `base`: what a pair is, and how its scores are counted.
- `notations`: ways to write a fraction. `frames`: ways to put it into a completion.
- `lookalikes`: what changes an answer, or does not, around it.
- `numbers`; `formulas` and `dressed`; `texts`; `values`: the pairs for `number`; `boxed`; `exact`, `contains` and
  `choice`; `json`.

    python -m tests.tasks.scoring.corpus          prints the table of docs/scorers.md
    python -m tests.tasks.scoring.corpus boxed    prints what `boxed` judges otherwise, too
"""
