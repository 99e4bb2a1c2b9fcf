"""Print how the scorers do: `python -m tests.tasks.scoring.corpus [SCORER ...]`."""

from __future__ import annotations

import sys
import time

from tests.tasks.scoring.corpus.all import CORPORA
from tests.tasks.scoring.corpus.base import judged

HEAD = "| scorer | right answers | refused | wrong answers | rewarded | kinds refused |\n|---|---|---|---|---|---|"

if __name__ == "__main__":
    print(HEAD)
    for name in sys.argv[1:] or CORPORA:
        started = time.process_time()
        tally = judged(name, CORPORA[name]())
        print(tally.line(name))
        print(f"{name}: {time.process_time() - started:.1f} s", file=sys.stderr)
        for title in ("rewarded", "refused", "objected") if sys.argv[1:] else ():
            for pair in getattr(tally, title):
                print(f"  {title}: gold {pair.gold!r}, {pair.completion!r} ({pair.kind})")
