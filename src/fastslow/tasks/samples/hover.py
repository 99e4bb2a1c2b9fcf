"""A small world of made-up pages, and claims about it in HoVer's schema: `hover?path=sample`.

    work, company -> its maker -> the maker's home town -> the river of that town

A claim names only where such a chain begins and what stands at its end; who stands between is told by the pages. So a
first search with the claim finds the beginning, and the rest has to be asked for by names read there. Everything
follows from SEED: the same pages and claims on every machine, about nobody and nothing that exists.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fastslow.core.seeding import derive_seed
from fastslow.tasks.families.retrieval import Page

SEED = 1
RIVERS, TOWNS, PEOPLE, WORKS, COMPANIES = 40, 90, 170, 260, 90
PAIRS, TO_TOWNS, TO_RIVERS = 170, 180, 120  # claims of each kind beside one for every work and company


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


STARTS = _words("Ba Bel Cor Dar El Fen Gal Har Il Jor Kel Lor Mar Nev Or Pel Quin Ras Sel Tor Ul Vel Wen Yar Zan")
MIDDLES = _words("a an ar e en er i in o ol or u")
ENDS = _words("bek dal dra fis gar kin lan mar nok ris sen tha vin wick zel")
FIRST = _words("Ada Bruno Clara Dario Edda Falk Greta Hugo Ines Jonas Karin Lasse Mira Nils Olga Pavel Rosa Sven Uwe")
NOUNS = _words(
    "Anchor Bridge Candle Door Garden Harbour Ladder Lantern Meadow Mirror Orchard Station Tower Violin Well Window"
)
KINDS = ("novel", "film", "opera", "play")
PROFESSIONS = ("botanist", "cellist", "engineer", "judge", "painter", "sailor", "surgeon", "teacher", "weaver", "pilot")
PRODUCTS = ("bells", "boats", "carpets", "cheese", "clocks", "glass", "hats", "honey", "paper", "salt")
TRADES = ("Brewery", "Foundry", "Mills", "Press", "Shipyard", "Tannery")
HILLS = ("Grey", "Long", "Upper", "Windy", "Stone", "Heather", "Birch", "Chalk")


@dataclass(frozen=True)
class Entity:
    """Hold something with a page. `end` is what a claim can say of it."""

    page: Page
    end: str
    leads_to: Entity | None = None

    @property
    def title(self) -> str:
        return self.page.title


@dataclass(frozen=True)
class World:
    rivers: list[Entity]
    towns: list[Entity]
    people: list[Entity]
    works: list[Entity]
    companies: list[Entity]


def sample_pages() -> list[Page]:
    world = _world()
    everything = itertools.chain(world.rivers, world.towns, world.people, world.works, world.companies)
    return [entity.page for entity in everything]


def sample_claims() -> list[dict[str, Any]]:
    """Return rows as in a HoVer file; every other row claims the wrong thing and is NOT_SUPPORTED, on the same gold
    pages."""
    rows = []
    for number, (text, end, wrong, gold) in enumerate(_claims(_world(), _rng("claims"))):
        supported = number % 2 == 0
        rows.append(
            {
                "uid": f"sample-{number:04d}",
                "claim": text.format(end=end if supported else wrong),
                "supporting_facts": [[entity.title, 0] for entity in gold],
                "label": "SUPPORTED" if supported else "NOT_SUPPORTED",
                "num_hops": len(gold),
            }
        )
    return rows


def _claims(world: World, rng: random.Random) -> Iterator[tuple[str, str, str, list[Entity]]]:
    """Return a claim's text, its right and its wrong end, and the pages that decide it."""
    for begin in (*world.works, *world.companies):
        maker = _next(begin)
        yield (
            f"{begin.title} was made by {{end}}.",
            _an(maker.end),
            _an(_other(rng, PROFESSIONS, maker.end)),
            [begin, maker],
        )
    for begin, other in itertools.islice(_pairs(world.works, rng), PAIRS):
        makers = [_next(begin), _next(other)]
        text = f"The maker of {begin.title} is {{end}} and the maker of {other.title} is {_an(makers[1].end)}."
        yield text, _an(makers[0].end), _an(_other(rng, PROFESSIONS, makers[0].end)), [begin, other, *makers]
    for begin in rng.sample(world.works, TO_TOWNS):
        maker = _next(begin)
        town = _next(maker)
        text = f"The maker of {begin.title} comes from a town known for its {{end}}."
        yield text, town.end, _other(rng, PRODUCTS, town.end), [begin, maker, town]
    for begin in rng.sample(world.works, TO_RIVERS):
        maker = _next(begin)
        town = _next(maker)
        river = _next(town)
        text = f"The maker of {begin.title} comes from a town on a river that rises in the {{end}} Hills."
        yield text, river.end, _other(rng, HILLS, river.end), [begin, maker, town, river]


@cache
def _world() -> World:
    rng = _rng("world")
    names = iter(_names(rng, RIVERS + TOWNS + PEOPLE + WORKS + COMPANIES))
    rivers = [_river(next(names), rng) for _ in range(RIVERS)]
    towns = [_town(next(names), rng.choice(rivers), rng) for _ in range(TOWNS)]
    people = [_person(f"{rng.choice(FIRST)} {next(names)}", rng.choice(towns), rng) for _ in range(PEOPLE)]
    works = [_work(f"The {rng.choice(NOUNS)} of {next(names)}", rng.choice(people), rng) for _ in range(WORKS)]
    companies = [_company(f"{next(names)} {rng.choice(TRADES)}", rng.choice(people), rng) for _ in range(COMPANIES)]
    return World(rivers, towns, people, works, companies)


def _river(name: str, rng: random.Random) -> Entity:
    hills = rng.choice(HILLS)
    text = f"The {name} is a river of {rng.randrange(30, 400)} kilometres. It rises in the {hills} Hills."
    return Entity(Page(name, text), hills)


def _town(name: str, river: Entity, rng: random.Random) -> Entity:
    product = rng.choice(PRODUCTS)
    text = (
        f"{name} is a town on the {river.title}, founded in {rng.randrange(900, 1800)}. It is known for its {product}."
    )
    return Entity(Page(name, text), product, river)


def _person(name: str, town: Entity, rng: random.Random) -> Entity:
    profession = rng.choice(PROFESSIONS)
    text = f"{name}, born in {rng.randrange(1850, 1990)}, is {_an(profession)}. The family comes from {town.title}."
    return Entity(Page(name, text), profession, town)


def _work(title: str, maker: Entity, rng: random.Random) -> Entity:
    kind = rng.choice(KINDS)
    return Entity(
        Page(title, f"{title} is {_an(kind)} of {rng.randrange(1880, 2020)}, made by {_signed(maker)}."), kind, maker
    )


def _company(name: str, maker: Entity, rng: random.Random) -> Entity:
    made = rng.choice(PRODUCTS)
    text = f"{name} is a company that sells {made}. It was made by {_signed(maker)} in {rng.randrange(1880, 2020)}."
    return Entity(Page(name, text), made, maker)


def _signed(person: Entity) -> str:
    """Name a person as in 'B. Galebek': the whole name stands on the person's own page, so a search for it finds that
    page first."""
    first, last = person.title.split()
    return f"{first[0]}. {last}"


def _an(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _next(entity: Entity) -> Entity:
    assert entity.leads_to is not None
    return entity.leads_to


def _names(rng: random.Random, count: int) -> list[str]:
    return rng.sample(["".join(parts) for parts in itertools.product(STARTS, MIDDLES, ENDS)], count)


def _pairs(entities: Sequence[Entity], rng: random.Random) -> Iterator[tuple[Entity, Entity]]:
    """Return pairs of entities with different makers."""
    while True:
        one, other = rng.sample(entities, 2)
        if one.leads_to is not other.leads_to:
            yield one, other


def _other(rng: random.Random, choices: Sequence[str], than: str) -> str:
    return rng.choice([choice for choice in choices if choice != than])


def _rng(purpose: str) -> random.Random:
    return random.Random(derive_seed(SEED, "hover_sample", purpose))
