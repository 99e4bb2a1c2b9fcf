"""Compute what a run costs, case by case: memory of each GPU, seconds of each stage, tokens, disk, dollars.

Case 0 (low) takes the cheap end of what nobody knows, case 2 (high) the dear end; `table` prints all three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fastslow.core.errors import BadInput
from fastslow.costs import seconds
from fastslow.costs.disk import Disk
from fastslow.costs.machines import Gpu, Machines
from fastslow.costs.memory import RUNTIME, Training, passing, serving, standing
from fastslow.costs.prices import Prices
from fastslow.costs.shape import ModelShape
from fastslow.costs.work import Range, Unknowns, Work

SECONDS_PER_MONTH = 30 * 86_400


@dataclass(frozen=True)
class Placement:
    """Say which GPUs do what: `trainers` hold a training process each, `servers` a server each; a GPU that holds both
    does one at a time."""

    machines: Machines
    trainers: int
    servers: int

    @property
    def shared(self) -> bool:
        """Whether a GPU holds both a training process and a server."""
        return self.trainers + self.servers > self.machines.count

    @classmethod
    def of(cls, machines: Machines, *, processes: int | None = None, servers: int = 0) -> Placement:
        """Place a run on all GPUs; `servers` of them only serve, none by default. Raises BadInput."""
        if servers >= machines.count:
            raise BadInput(f"--servers {servers} leaves none of {machines} to train on.")
        trainers = processes or machines.count - servers
        if trainers + servers > machines.count:
            raise BadInput(f"--processes {trainers} and --servers {servers} are more than the GPUs of {machines}.")
        return cls(machines, trainers, servers or machines.count)


@dataclass(frozen=True)
class Estimate:
    """Compute the costs of `work` with a model of `shape` on the GPUs of `place`. Seconds, bytes and dollars are those
    of a case: 0, 1 or 2."""

    shape: ModelShape
    place: Placement
    work: Work
    unknown: Unknowns
    disk: Disk
    prices: Prices

    @property
    def gpu(self) -> Gpu:
        return self.place.machines.gpu

    # Memory

    @property
    def how(self) -> Training:
        """How a process trains."""
        work = self.work
        n = self.place.trainers
        return Training(n, n, work.trains, work.moments, work.references, work.checkpointing)

    def tokens_at_once(self, case: int) -> int:
        """Return the tokens of a micro-batch of one process; in the low case its rows are of mean length."""
        answer = self.unknown.answer.low if case == 0 else self.work.longest
        return int(self.work.rows * (self.unknown.prompt[case] + answer))

    @cached_property
    def training_memory(self) -> Mapping[str, Range]:
        """Bytes of a training process, by purpose."""
        cases = []
        for case in range(3):
            moves = passing(self.shape, self.how, self.tokens_at_once(case)) if self.work.trains else {}
            cases.append(standing(self.shape, self.how) | moves)
        return {name: Range(*(parts[name] for parts in cases)) for name in cases[0]}

    @cached_property
    def server_weights(self) -> int:
        """Bytes of the weights that rollouts are made with, beside those in training: a server's, or a whole copy of
        what is cut up."""
        return serving(self.shape) if self.work.engine == "vllm" or self.place.trainers > 1 else 0

    def trains_in(self, case: int) -> float:
        """Return the bytes of a training process, without the runtime."""
        return sum(value[case] for value in self.training_memory.values())

    def room(self, case: int) -> float:
        """Return the bytes that a server has for keys and values."""
        beside = self.trains_in(case) if self.place.shared else 0
        return self.gpu.memory - RUNTIME - self.server_weights - beside

    def most_at_once(self, case: int) -> float:
        """Return the rows whose keys and values a server's memory holds, at least one."""
        a_row = (self.unknown.prompt[case] + self.unknown.answer[case]) * self.shape.kv_bytes
        return max(1.0, self.room(case) / a_row) if a_row else float(self.work.rollouts)

    def rows_at_once(self, case: int) -> float:
        """Return the rows of a step that a server decodes together: all of them, or as many as its memory holds."""
        return min(self.work.rollouts / self.place.servers, self.most_at_once(case))

    def keys_and_values(self, case: int) -> float:
        """Return the bytes of the rows of a step that a server decodes together."""
        context = self.unknown.prompt[case] + self.unknown.answer[case]
        return self.rows_at_once(case) * context * self.shape.kv_bytes

    @property
    def fits(self) -> bool:
        """Whether training, and one row of greatest length on a server, have the memory that they need."""
        return self.trains_in(1) + RUNTIME <= self.gpu.memory and self.room(1) >= self.longest_row

    @property
    def longest_row(self) -> float:
        """Bytes of the keys and values of a row of greatest length."""
        return (self.unknown.prompt.typical + self.work.longest) * self.shape.kv_bytes

    # Tokens

    def generated(self, case: int) -> float:
        """Return the tokens that a step generates."""
        if not self.work.samples:
            return 0.0
        return self.work.rollouts * (1 - self.unknown.reused[2 - case]) * self.unknown.answer[case]

    def trained_on(self, case: int) -> float:
        """Return the tokens that a step trains on."""
        copies = min(1.0, self.work.contexts / self.work.group) if self.work.packed else 1.0
        live = self.work.rollouts * self.unknown.live[case]
        return live * (copies * self.unknown.prompt[case] + self.unknown.answer[case])

    # Seconds

    def step_throughput(self, case: int) -> float:
        """Return the seconds of a step's rollouts by throughput alone."""
        rows = self.work.rollouts * (1 - self.unknown.reused[2 - case])
        return self._throughput(case, rows, self.work.problems * self.work.contexts)

    def tail(self, case: int) -> float:
        """Return the seconds of the longest row: in the low case twice the mean, else the longest allowed."""
        u = self.unknown
        longest = min(self.work.longest, 2 * u.answer[case]) if case == 0 else self.work.longest
        efficiency = u.efficiency[2 - case]
        return seconds.tail(self.shape, self.gpu, prompt=u.prompt[case], longest=longest, efficiency=efficiency)

    def generation(self, case: int) -> float:
        """Return the seconds in which the rollouts of a step are made."""
        if not self.work.samples:
            return 0.0
        return self._both(case, self.step_throughput(case), self.tail(case))

    def training(self, case: int) -> float:
        """Return the seconds of forward, backward and the reference's forward of a step."""
        u = self.unknown
        if not self.work.trains:
            return 0.0
        return self.work.updates * seconds.update(
            self.shape, self.gpu, tokens=self.trained_on(case), length=u.prompt[case] + u.answer[case],
            gpus=self.place.trainers, mfu=u.mfu[2 - case], forwards=self.forwards,
        )  # fmt: skip

    @property
    def forwards(self) -> int:
        """What a token of training costs, in forwards."""
        learns = 2 if self.shape.adapted else 3
        return learns + self.work.checkpointing + self.work.kl

    def transport(self, case: int) -> float:
        """Return the seconds in which new weights reach the servers."""
        if not self.work.trains or not self.server_weights:
            return 0.0
        return seconds.transport(self.shape, bytes_per_second=self.unknown.transport[2 - case])

    def step(self, case: int) -> float:
        """Return the seconds of a slow step."""
        return self.generation(case) + self.training(case) + self.transport(case)

    def fast_phase(self, case: int) -> float:
        """Return the seconds of a fast phase, in which all servers work."""
        work = self.work
        if not work.phases:
            return 0.0
        rolled = self._both(case, self._throughput(case, work.calls, work.calls), work.rounds * self.tail(case))
        return rolled + work.iterations * self.unknown.wait[case]

    def evaluation(self, case: int) -> float:
        """Return the seconds of one evaluation."""
        rows = self.work.evaluated
        return self._both(case, self._throughput(case, rows, rows), self.tail(case)) if rows else 0.0

    def run(self, case: int) -> float:
        """Return the seconds of the whole run."""
        work = self.work
        steps = work.steps * self.step(case) if work.trains else 0.0
        return steps + work.phases * self.fast_phase(case) + work.evaluations * self.evaluation(case)

    def _throughput(self, case: int, rows: float, prompts: float) -> float:
        """Return the seconds of all servers for `rows` answers; `prompts` prompts are read, the rest is cached."""
        u, servers = self.unknown, self.place.servers
        written = seconds.throughput(
            self.shape, self.gpu, rows=rows / servers, at_once=self.most_at_once(case), prompt=u.prompt[case],
            answer=u.answer[case], efficiency=u.efficiency[2 - case],
        )  # fmt: skip
        return written + seconds.prefill(self.shape, self.gpu, tokens=prompts * u.prompt[case] / servers)

    def _both(self, case: int, through: float, tail: float) -> float:
        """Join throughput and tail: the larger of them; in the high case both, as a batch thins out slowly."""
        return through + tail if case == 2 else max(through, tail)

    # Dollars

    def gpu_hours(self, case: int) -> float:
        return self.run(case) / 3600 * self.place.machines.count

    @property
    def replies(self) -> int:
        """Replies of a paid reflection LM over the run."""
        return self.work.phases * self.work.iterations * self.work.proposals if self.work.reply else 0

    def reflection(self, case: int) -> float:
        """Return what the replies cost, at most the run's own ceiling; 0 where their price is unknown."""
        if self.work.reply_prices is None:
            return 0.0
        prompt, completion = self.work.reply_prices
        paid = self.replies * (self.unknown.request[case] * prompt + self.work.reply * completion) / 1e6
        return paid if self.work.reply_budget is None else min(paid, self.work.reply_budget)

    def storage(self, case: int) -> float:
        """Return what the disk costs at its fullest, for as long as the run takes; 0 where its price is unknown."""
        price = self.prices.storage
        return self.disk.fullest / 1e9 * price[case] * self.run(case) / SECONDS_PER_MONTH if price else 0.0
