"""How the weights are adapted: all of them, or what an adapter adds to them. One kind a file.

- `base`: what the trainer asks of a kind, and the kind that trains every weight.
- `stages`: which stage of a stream a step belongs to.
- `lora`: LoRA (peft). `stack`: a new LoRA adapter for each stage, summed, or merged by TIES.
- `shira`: SHiRA (peft), a random choice of entries. `osf`: OSF (peft), the smallest singular directions.
  `corda`: LoRA that starts from directions which given text uses least (peft's CorDA).
- `jumplora`: entries of a low-rank update that exceed a threshold which is learned.

`kind_of` returns the kind that settings name; `trainer` makes it and tells it where stages end.
"""

from __future__ import annotations

from typing import Any

from fastslow.slow.adapters.base import AllWeights
from fastslow.slow.adapters.corda import Corda
from fastslow.slow.adapters.jumplora import JumpLora
from fastslow.slow.adapters.lora import Lora
from fastslow.slow.adapters.osf import Osf
from fastslow.slow.adapters.shira import Shira
from fastslow.slow.adapters.stack import Merge, Stack

KINDS: dict[str, type[AllWeights]] = {
    "lora": Lora, "jumplora": JumpLora, "shira": Shira, "osf": Osf, "corda": Corda,
}  # fmt: skip
BY_STAGE: dict[str, type[AllWeights]] = {"stack": Stack, "merge": Merge}

__all__ = ["BY_STAGE", "KINDS", "AllWeights", "kind_of"]


def kind_of(args: Any) -> type[AllWeights]:
    """Return the kind of adapter that settings name, to be made with them."""
    if not args.lora_r:
        return AllWeights
    return BY_STAGE.get(args.adapter_stages) or KINDS[args.adapter]
