"""A command of fastslow under a real launcher, sharded by a kind; one process gets SIGKILL at a point (`points`):
python -m torch.distributed.run ... -m tests.support.struck KIND POINT COUNT RANK ARGUMENT ..."""

from __future__ import annotations

import os
import signal
import sys

from fastslow.cli.main import main
from tests.support.points import arm
from tests.support.sharding import shard_on_cpu, start_over

if __name__ == "__main__":
    kind, point, count, rank, *argv = sys.argv[1:]
    shard_on_cpu()
    start_over(kind)
    if os.environ["RANK"] == rank:
        arm(point, int(count), lambda: os.kill(os.getpid(), signal.SIGKILL))
    sys.exit(main(argv))
