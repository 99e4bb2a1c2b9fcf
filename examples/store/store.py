"""A storeroom that can be asked: the model has to look before it can answer."""

import random
import re

from fastslow.core.types import Example, Verdict
from fastslow.tasks.episodes import Reply

THINGS = (
    "lamp", "kettle", "chair", "ladder", "bucket", "hammer", "blanket", "candle", "basket", "mirror", "teapot", "towel",
    "pillow", "carpet", "bottle", "broom", "clock", "drawer", "fan", "glove", "helmet", "jug", "key", "lock", "mug",
    "napkin", "oven", "plate", "quilt", "rope", "saddle", "table", "vase", "whistle", "barrel", "brush", "crate",
    "fork", "hook", "kite",
)  # fmt: skip
SHELVES = 10
LOOK = re.compile(r"LOOK ([a-z]+)\.?")


class Visit:
    """One visit to the storeroom: looks, and at the end a number."""

    def __init__(self, thing: str, count: int, told: bool):
        self.thing, self.count, self.told = thing, count, told
        self.looked, self.reward = False, 0.0

    def step(self, turn: str) -> Reply:
        words = turn.strip()
        look = LOOK.fullmatch(words)
        if look is None:
            told = re.match(r"\d+", words)
            right = told is not None and told[0] == str(self.count)
            alone = right and words.removesuffix(".") == str(self.count)
            self.reward = 1.0 if alone else 0.6 if right else self.reward
            return Reply(None, "" if alone else self._advice(words))
        if look[1] != self.thing:
            return Reply(f"There is no {look[1]} here.", f"'{look[1]}' is not what the question asks for.")
        self.looked, self.reward = True, 0.2
        return Reply(f"{self.thing}: {self.count}. How many? The number alone.")

    def verdict(self) -> Verdict:
        return Verdict(self.reward, "Correct." if self.reward == 1.0 else "")

    def _advice(self, words: str) -> str:
        """Say what was wrong; on a training question also what would have been right."""
        if not self.looked:
            first = f": say LOOK {self.thing} first, alone, and the storeroom tells how many there are" * self.told
            return f"'{words[:60]}' is a guess{first}."
        return (
            f"'{words[:60]}' is not the number that the storeroom told"
            + f": {self.count}, in digits, alone" * self.told
            + "."
        )


class Storeroom:
    """Questions about how many of a thing there are, which nobody can know without looking."""

    name = "storeroom"

    def __init__(self, sizes: dict[str, int], seed: int = 0):
        draw = random.Random(seed)
        places = [f"{thing}-{shelf}" for thing in THINGS for shelf in range(1, SHELVES + 1)]
        draw.shuffle(places)
        self._rows = {place: (place.partition("-")[0], draw.randint(10, 99)) for place in places}
        self._splits = {}
        for split, size in sizes.items():
            part, places = places[:size], places[size:]
            self._splits[split] = [self._example(place, split) for place in part]

    def split(self, name: str) -> list[Example]:
        return self._splits[name]

    def episode(self, example: Example) -> Visit:
        return Visit(*self._rows[example.id], told=example.split == "train")

    def answer(self, example: Example) -> str:
        """A good first turn: worked examples show it."""
        return f"LOOK {self._rows[example.id][0]}"

    def _example(self, id_: str, split) -> Example:
        thing, shelf = id_.split("-")
        question = f"How many of the {thing} kind are on shelf {shelf} of the storeroom?"
        return Example(id_, self.name, split, ({"role": "user", "content": question},))


def make_task(train_size: int = 200, validation_size: int = 100, test_size: int = 100) -> Storeroom:
    return Storeroom({"train": train_size, "validation": validation_size, "test": test_size})
