"""Guards of runs whose weights are cut up between processes."""

from __future__ import annotations

from guards.base import Mutation

KILLS = "tests/faults/test_sharded_kills.py::"
RUNS = "tests/slow/test_sharding.py::"
REFUSED = "tests/slow/test_sharding_refused.py::"

MUTATIONS = [
    Mutation(
        "sharding", "processes make as many forwards of the KL", "evaluation/drift.py",
        "max(processes.gather([len(chunks)])) - len(chunks) if shards.is_sharded(model) else 0", "0",
        (RUNS + "test_evaluation_and_kl_are_those_of_whole_copies_and_every_process_works[padded]",),
    ),
    Mutation(
        "sharding", "a checkpoint of shares goes on with as many processes only", "files/snapshot.py",
        "if found != own:", "if False:",
        (KILLS + "test_another_number_of_processes_and_another_way_of_sharing_are_refused_in_one_line",),
    ),
    Mutation(
        "sharding", "sharding that is not active is refused", "slow/sharding.py",
        "if found is not wanted:", "if False:",
        (KILLS + "test_sharding_that_is_not_active_is_refused_before_anything_is_written",),
    ),
    Mutation(
        "sharding", "FSDP1 is refused by name", "slow/sharding.py",
        'if version != "2":', "if False:",
        (REFUSED + "test_fsdp1_is_one_line_and_leaves_nothing[train]",),
    ),
    Mutation(
        "sharding", "a process that waits for one that ended does not wait for ever", "core/peers.py",
        "os._exit(1)", "return",
        ("tests/core/test_peers.py::test_a_process_that_is_killed_ends_the_others_with_a_line_that_names_it[elsewhere-1]",),
    ),
    Mutation(
        "sharding", "the optimiser takes up its share", "slow/state.py",
        "trainer.optimizer.load_state_dict({**saved, \"state\": state})", "pass",
        (RUNS + "test_a_run_of_shares_goes_back_to_an_earlier_step_bit_for_bit",),
    ),
]  # fmt: skip
