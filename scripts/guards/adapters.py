"""Guards of the adapters."""

from __future__ import annotations

from guards.base import Mutation

KINDS = "tests/slow/adapters/test_kinds.py::"
JUMP = "tests/slow/adapters/test_jumplora.py::"
STACK = "tests/slow/adapters/test_stack.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "adapters",
        "adapters of earlier stages have no gradient, whatever peft turns on again",
        "slow/trainer.py",
        "self.adapter.freeze(self.accelerator.unwrap_model(self.model))",
        "pass",
        (STACK + "test_the_adapter_of_a_stage_is_bit_identical_after_all_later_ones[stack]",),
    ),
    Mutation(
        "adapters",
        "the KL is to the base from before an adapter changed its weights",
        "slow/adapters/corda.py",
        "edits_base = True",
        "edits_base = False",
        (KINDS + "test_the_kl_of_training_is_to_the_original_base[corda]",),
    ),
    Mutation(
        "adapters",
        "the base of a run is not what an adapter left of its weights",
        "slow/adapters/corda.py",
        "holds_base = False",
        "holds_base = True",
        (KINDS + "test_the_base_of_a_run_is_the_original_one_after_training_too[corda]",),
    ),
    Mutation(
        "adapters",
        "updates, and not gradients alone, stay out of the frozen directions",
        "slow/adapters/osf.py",
        "_project(layer, name, trained)",
        "pass",
        (KINDS + "test_osf_leaves_the_largest_singular_directions_alone",),
    ),
    Mutation(
        "adapters",
        "a threshold grows with the update",
        "slow/adapters/jumplora.py",
        "return self.log_tau.exp() * update.detach().square().mean().sqrt()",
        "return self.log_tau.exp()",
        (JUMP + "test_tau_is_set_so_that_the_budget_is_alive_and_stays_so_while_the_update_grows",),
    ),
    Mutation(
        "adapters",
        "a copy of the model removes no parametrization of the original",
        "policy/plain.py",
        "memo[id(module)] = copy.deepcopy(_bare(module), memo)",
        "pass",
        ("tests/policy/test_plain.py::test_the_plain_copy_computes_the_same_and_leaves_the_model_alone[parametrized]",),
    ),
]
