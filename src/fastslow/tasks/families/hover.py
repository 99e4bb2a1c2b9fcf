"""Ask for the second search for a claim: `hover?path=FILE&corpus=FILE`, `hover_hard?...`, and `path=sample` offline.

A claim needs several pages to be verified, its *gold* pages. A first search with the claim itself finds `k` pages,
which the model sees; it writes one follow-up query, which finds `k` more.

    missing  = gold pages that the first search did not find
    reward   = (missing pages that the follow-up search found) / (missing pages)

so that repeating the claim earns 0, and a query that finds every missing page earns 1. Claims whose gold pages the
first search finds all leave nothing to do and are left out, as are those with a gold page that the corpus lacks.

`hover_hard` keeps the claims of which the first search misses MISSING_WHEN_HARD gold pages or more. One missing page is
often found by the words of the claim in another order; with two, a single query must name two pages that the claim does
not lead to, so it has to be built from what the first search brought. The filter looks at the search alone, not at a
model: it is the same for every run and needs no rollouts.

Files have HoVer's public schema (https://hover-nlp.github.io), as a JSON array or JSONL:

    uid, claim, num_hops       supporting_facts   [[title, sentence], ...] or [{"key": title, "value": sentence}, ...]
    label                      SUPPORTED or NOT_SUPPORTED, or 1 or 0; claims of both kinds are searched for

Not covered: reading the pages and judging the claim, and more than two searches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.core.types import Example, Split, Verdict
from fastslow.files.jsonl import loads
from fastslow.tasks.base import TASKS
from fastslow.tasks.families.retrieval import Search, is_text, read_pages
from fastslow.tasks.samples.hover import sample_claims, sample_pages
from fastslow.tasks.scoring.extract import is_blank
from fastslow.tasks.spec import coerce, format_spec
from fastslow.tasks.splits import HELD_OUT_DEFAULT, SPLITS, Candidate, Divided, Sizes, allot, position, split_at

logger = logging.getLogger(__name__)

FAMILIES = ("hover", "hover_hard")
SAMPLE = "sample"
K = 5  # pages of each search: the five texts fit into 600 tokens. The paper does not say its own
MISSING_WHEN_HARD = 2
TEXT_CHARS = 300  # of a found page's text in the question: HoVer's pages are first paragraphs of about twice that
QUERY_CHARS = 500  # of a query; a longer one is no search query, and would pay for titles by listing them
SHOWN_TITLES = 10  # in feedback
LABELS = ("SUPPORTED", "NOT_SUPPORTED", 0, 1)

Row = Mapping[str, Any]


class HoverTask:
    """Claims of a file, or of the bundled sample, searched in a corpus (see the module).

    A claim's hash decides its split, the same for every `k` and for both families. By default validation and test hold
    64 claims each at most, and train all of its own. `left_out` counts claims by why they are no examples.

    Raises BadInput, naming the row, for a file that cannot be used.
    """

    def __init__(
        self,
        family: str,
        path: str | Path,
        corpus: str | Path | None = None,
        *,
        k: int = K,
        train_size: int | None = None,
        validation_size: int | None = None,
        test_size: int | None = None,
    ):
        shown = {"path": str(path), "corpus": str(corpus or ""), "k": "" if k == K else str(k)}
        self.name = format_spec(family, {key: value for key, value in shown.items() if value})
        self.k = k
        self._least_missing = MISSING_WHEN_HARD if family == "hover_hard" else 1
        if not 1 <= k <= 100:
            raise BadInput(f"task '{self.name}': 'k' must lie between 1 and 100, got {k}.")
        sizes: dict[Split, int | None] = {
            "train": train_size,
            "validation": HELD_OUT_DEFAULT if validation_size is None else validation_size,
            "test": HELD_OUT_DEFAULT if test_size is None else test_size,
        }
        Sizes(*(1 if sizes[split] is None else sizes[split] for split in SPLITS)).check(self.name)  # type: ignore[arg-type]
        rows, pages = _read(path, corpus, self.name)
        self._search = Search(pages)
        self.left_out = {"found by the first search": 0, "gold page not in the corpus": 0, "not hard": 0}
        self.duplicates = 0
        self._splits = self._divide(rows, sizes).examples(family, self.name)

    def split(self, name: Split) -> Sequence[Example]:
        return self._splits[name]

    def score(self, example: Example, completion: str) -> Verdict:
        missing = example.payload["missing"]
        query = completion.rpartition("</think>")[2].strip()
        train = example.split == "train"
        if is_blank(query[: QUERY_CHARS + 1]):
            return Verdict(0.0, "The query is empty." + (_list(" Missing", missing) if train else ""))
        if len(query) > QUERY_CHARS:
            said = f"The query has more than {QUERY_CHARS} characters; write a short one, and nothing else."
            return Verdict(0.0, said + (_list(" Missing", missing) if train else ""))
        titles = [self._search.pages[place].title for place in self._search.top(query, self.k)]
        reached = [title for title in missing if title in titles]
        still = [title for title in missing if title not in titles]
        said = f"The query found {len(reached)} of the {len(missing)} missing pages."
        if train:
            said += _list(" Found", reached) + _list(" Still missing", still)
            if still:
                said += _list(" The query brought instead", [title for title in titles if title not in reached])
        return Verdict(len(reached) / len(missing), said, {"found": len(reached), "missing": len(missing)})

    def answer(self, example: Example) -> str | None:
        """Return the titles of the missing pages, where they find all of them."""
        query = " ".join(example.payload["missing"])
        return query if self.score(example, query).reward == 1.0 else None

    def _divide(self, rows: Sequence[Row], sizes: Mapping[Split, int | None]) -> Divided:
        candidates = list(self._candidates(rows, sizes))
        if not candidates:
            reasons = ", ".join(f"{reason}: {n}" for reason, n in self.left_out.items())
            raise BadInput(f"task '{self.name}': none of the {len(rows)} claims can be an example ({reasons}).")
        if self.left_out["gold page not in the corpus"]:
            number = self.left_out["gold page not in the corpus"]
            logger.warning(
                "task '%s': left out %d claims with a gold page that is not in the corpus.", self.name, number
            )
        return allot(candidates, sizes, self.name)

    def _candidates(self, rows: Sequence[Row], sizes: Mapping[Split, int | None]) -> Iterator[Candidate]:
        """Yield claims that leave something to find. A search in a large corpus takes long, so full splits end the
        search."""
        have = dict.fromkeys(SPLITS, 0)
        claims = set()
        for row in sorted(rows, key=lambda row: position(row["claim"])):
            split = split_at(position(row["claim"]))
            bound = sizes[split]
            if row["claim"] in claims or (bound is not None and have[split] >= bound):
                self.duplicates += row["claim"] in claims
                continue
            claims.add(row["claim"])
            gold = [self._search.place(title) for title in row["gold"]]
            known = [place for place in dict.fromkeys(gold) if place is not None]
            if None in gold:
                self.left_out["gold page not in the corpus"] += 1
                continue
            first = self._search.top(row["claim"], self.k)
            missing = [self._search.pages[place].title for place in known if place not in first]
            if len(missing) < self._least_missing:
                self.left_out["not hard" if missing else "found by the first search"] += 1
                continue
            have[split] += 1
            payload = {"uid": row["uid"], "num_hops": row["num_hops"], "missing": missing}
            messages = ({"role": "user", "content": self._question(row["claim"], first)},)
            yield Candidate(messages, payload, group=row["claim"])

    def _question(self, claim: str, first: Sequence[int]) -> str:
        pages = [self._search.pages[place] for place in first]
        shown = "\n\n".join(f"{page.title}: {_cut(page.text)}" for page in pages) or "(nothing)"
        return (
            f"Claim: {claim}\n\nA first search with the claim itself found these pages:\n\n{shown}\n\n"
            "Other pages are needed to verify the claim. Write one search query that finds them. "
            "Reply with the query alone."
        )


def read_claims(path: str | Path, task: str) -> list[Row]:
    """Read the rows of a HoVer file as uid, claim, num_hops and gold (titles). Raises BadInput, naming the row."""
    try:
        text = Path(path).expanduser().read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"task '{task}': cannot read '{path}' ({error.strerror}); give the path of a file.") from None
    except UnicodeDecodeError:
        raise BadInput(f"task '{task}': '{path}' is not UTF-8; save it as UTF-8.") from None
    try:
        if text.lstrip()[:1] == "[":
            rows = loads(text)
        else:
            rows = [loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise BadInput(f"task '{task}': '{path}' is neither a JSON array nor JSON lines ({error}).") from None
    if not rows:
        raise BadInput(f"task '{task}': '{path}' is empty; write one claim a line.")
    return [_claim(row, f"task '{task}': row {number} of '{path}'") for number, row in enumerate(rows, start=1)]


def _claim(row: Any, where: str) -> Row:
    fields = ("uid", "claim", "supporting_facts", "label", "num_hops")
    lacking = [field for field in fields if field not in row] if isinstance(row, dict) else list(fields)
    if lacking:
        raise BadInput(f"{where} lacks {', '.join(lacking)}; HoVer's training and validation files have them all.")
    claim, hops = row["claim"], row["num_hops"]
    if not is_text(claim):
        raise BadInput(f"{where} has no text as its claim; write one or remove the row.")
    if not isinstance(row["uid"], str | int):
        raise BadInput(f"{where} has no text or number as its uid; give it one.")
    if isinstance(hops, bool) or not isinstance(hops, int) or hops < 1:
        raise BadInput(f"{where} has {hops!r} as num_hops; write a whole number from 1.")
    if row["label"] not in LABELS:
        raise BadInput(f"{where} has {row['label']!r} as its label; write SUPPORTED or NOT_SUPPORTED.")
    facts = row["supporting_facts"]
    titles = [_fact_title(fact) for fact in facts] if isinstance(facts, list) else []
    if not titles or None in titles:
        raise BadInput(
            f"{where} has no supporting_facts of the form [title, sentence]; the unlabelled test set has none."
        )
    return {"uid": str(row["uid"]), "claim": claim, "num_hops": hops, "gold": list(dict.fromkeys(titles))}


def _fact_title(fact: Any) -> str | None:
    title = fact.get("key") if isinstance(fact, dict) else fact[0] if isinstance(fact, list) and fact else None
    return title if is_text(title) else None


def _read(path: str | Path, corpus: str | Path | None, task: str) -> tuple[list[Row], list[Any]]:
    if str(path) == SAMPLE:
        if corpus is not None:
            raise BadInput(f"task '{task}': path={SAMPLE} has a corpus of its own; leave 'corpus' out.")
        pages = sample_pages()
        return [_claim(row, f"sample row {n}") for n, row in enumerate(sample_claims(), start=1)], pages
    if corpus is None:
        if not Path(path).expanduser().exists():
            raise BadInput(
                f"task '{task}': '{path}' does not exist; give a file, or path={SAMPLE} for the bundled claims."
            )
        raise BadInput(
            f"task '{task}': which pages are to be searched? Add &corpus=FILE, JSONL with title and text. "
            "Quote the name: a shell ends a command at '&'."
        )
    return read_claims(path, task), read_pages(corpus, task)


def _list(what: str, titles: Sequence[str]) -> str:
    shown = ", ".join(f"'{title}'" for title in titles[:SHOWN_TITLES])
    more = f" and {len(titles) - SHOWN_TITLES} more" if len(titles) > SHOWN_TITLES else ""
    return f"{what}: {shown}{more}." if titles else ""


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else text[:TEXT_CHARS].rsplit(" ", 1)[0] + " ..."


def describe() -> list[tuple[str, str]]:
    files = "?path=FILE&corpus=FILE in HoVer's schema, or ?path=sample offline"
    return [
        ("hover", f"Write a second search query that finds the pages a claim still needs; {files}"),
        ("hover_hard", f"hover, where the first search misses two or more pages; {files}"),
    ]


def _from_spec(family: str, rest: str, params: Mapping[str, str], *, data_seed: int = 0, **sizes: int) -> HoverTask:
    """Make a task from a file, which is not drawn, so that `data_seed` has no effect."""
    known = ("path", "corpus", "k")
    for key in params:
        if key not in known:
            raise BadInput(f"task '{family}' has no parameter '{key}'.{nearest(key, known)}")
    if rest or "path" not in params:
        raise BadInput(
            f"task '{family}': which claims? Write {family}?path=FILE&corpus=FILE, or {family}?path={SAMPLE} for the "
            "bundled ones."
        )
    try:
        k = coerce(params.get("k", str(K)), int)
    except ValueError as error:
        raise BadInput(f"task '{family}': 'k' must be {error}, got '{params['k'][:40]}'.") from None
    return HoverTask(family, params["path"], params.get("corpus"), k=k, **sizes)


@TASKS.register("hover")
def hover_from_spec(rest: str, params: Mapping[str, str], **options: Any) -> HoverTask:
    """Make the task of `hover?params`."""
    return _from_spec("hover", rest, params, **options)


@TASKS.register("hover_hard")
def hover_hard_from_spec(rest: str, params: Mapping[str, str], **options: Any) -> HoverTask:
    """Make the task of `hover_hard?params`."""
    return _from_spec("hover_hard", rest, params, **options)
