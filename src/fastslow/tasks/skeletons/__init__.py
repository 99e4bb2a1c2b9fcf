"""Scorers to begin with, one for each kind of answer: `fastslow tasks new` copies one and fills in its capitals.

- `texts`: the whole reply must be the answer. `labels`: the answer is one of a few texts.
- `read`: a number or the letter of an option, found in the reply by the scorer of that name.
- `fields`: a JSON value; of an object, the share of its fields.

A copy belongs to the user, so that each file explains itself and needs no other one of this folder.
"""
