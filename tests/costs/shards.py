"""Shard a tiny Llama by torch's fully_shard in each of several processes, and write what each holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import distributed
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from tests.support.tiny import tiny_model, tiny_tokenizer


def held_by(folder: str) -> None:
    distributed.init_process_group("gloo")
    mesh = distributed.init_device_mesh("cpu", (distributed.get_world_size(),))
    model: Any = tiny_model(tiny_tokenizer())
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    local = [p.to_local() for p in model.parameters() if isinstance(p, DTensor)]
    out = {
        "sharded": len(local) == len(list(model.parameters())),
        "bytes": sum(t.numel() * t.element_size() for t in local),
        "held": sum(t.untyped_storage().nbytes() for t in local),
    }
    (Path(folder) / f"{distributed.get_rank()}.json").write_text(json.dumps(out))
    distributed.destroy_process_group()
