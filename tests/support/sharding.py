"""FSDP2 and DeepSpeed between processes of one CPU. accelerate turns them on where there are accelerators only: without
this module the same configuration trains whole copies, so every test has to ask what is active (`shards_by`)."""

from __future__ import annotations

import os
import socket
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

FSDP2 = {
    "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
}  # fmt: skip
ZERO2 = {
    "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2", "DS_ACCELERATOR": "cpu",
    "ACCELERATE_GRADIENT_CLIPPING": "1000000000.0", "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none",
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
}  # fmt: skip
ENVIRONMENTS: dict[str, dict[str, str]] = {"DDP": {}, "FSDP2": FSDP2, "ZeRO-2": ZERO2}


def rank_environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What a launcher tells one of `count` processes."""
    return {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true",
    }  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def shard_on_cpu() -> None:
    """Have accelerate shard on this CPU what its environment asks for."""
    real = AcceleratorState.__init__

    def init(self: Any, mixed_precision: Any = None, cpu: bool = False, *args: Any, **kwargs: Any) -> None:
        state = PartialState._shared_state
        if AcceleratorState._shared_state == {} and state.get("distributed_type") == DistributedType.MULTI_CPU:
            if os.environ.get("ACCELERATE_USE_FSDP") == "true":
                state["distributed_type"] = DistributedType.MULTI_GPU  # the branch in which FSDP is looked at
            if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
                cpu = False
                os.environ.pop("ACCELERATE_USE_CPU", None)
        real(self, mixed_precision, cpu, *args, **kwargs)

    AcceleratorState.__init__ = init  # type: ignore[method-assign]


def start_over(kind: str) -> None:
    """Shard by `kind` from now on, as in a new process."""
    for name in {**FSDP2, **ZERO2}:
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENTS[kind])
    AcceleratorState._reset_state(True)


def shards_by(trainer: Any) -> str:
    """What is active in one of our trainers, by accelerate's own words."""
    accelerator = trainer.slow._trainer.accelerator
    if accelerator.is_fsdp2:
        return "FSDP2"
    return "ZeRO-2" if accelerator.distributed_type == DistributedType.DEEPSPEED else "DDP"
