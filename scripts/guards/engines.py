"""Guards of engines in other programs: what samples has the policy's weights, and answers what was asked."""

from __future__ import annotations

from guards.base import Mutation

ENGINE = "tests/policy/engines/test_vllm.py::test_"
SETTINGS = "tests/policy/test_engine_settings.py::test_"
SERVERS = "tests/policy/engines/test_servers.py::test_"
TRIPWIRE = "tests/policy/test_tripwire.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "engines", "another program's log-probabilities are compared with the model's", "policy/tripwire.py",
        "if not self.last.largest <= self._bound:", "if False:",
        (TRIPWIRE + "a_reload_that_answers_200_and_keeps_something_old_ends_the_run[tied]",),
    ),
    Mutation(
        "engines", "a log-probability that is not a number trips", "policy/tripwire.py",
        "if not self.last.largest <= self._bound:", "if self.last.largest > self._bound:",
        (TRIPWIRE + "one_wrong_token_among_many_rows_is_found[nan-True]",),
    ),
    Mutation(
        "engines", "the prefix caches are dropped with the weights that filled them", "policy/engines/vllm.py",
        "        await server.reset_prefix_cache()\n", "",
        (TRIPWIRE + "an_honest_server_passes_and_the_gap_is_logged",),
    ),
    Mutation(
        "engines", "the head is written apart from the embedding", "policy/engines/servable.py",
        "weight.clone() if weight.data_ptr() in memory else weight.contiguous()", "weight.contiguous()",
        (ENGINE + "the_head_is_written_apart_from_the_embedding",),
    ),
    Mutation(
        "engines", "a restarted server is noticed before a batch", "policy/policy.py",
        "self.engine.refresh(self.version)  # it may have been restarted since", "pass",
        (TRIPWIRE + "a_restarted_server_costs_a_push_and_no_rollout",),
    ),
    Mutation(
        "engines", "a server that changed its weights while it answered is not believed", "policy/engines/vllm.py",
        "for at in sorted(set(home.values())):", "for at in ():",
        (ENGINE + "a_server_whose_weights_change_while_it_answers_is_not_believed",),
    ),
    Mutation(
        "engines", "the prompt that a server echoes is the one it was sent", "policy/engines/servers.py",
        'if choice["prompt_token_ids"] != list(prompt.ids):', "if False:",
        (ENGINE + "what_no_honest_server_answers_is_not_used[changes0-echoes another prompt]",),
    ),
    Mutation(
        "engines", "weights go below a folder that was prepared for this model only", "policy/engines/servable.py",
        "if told != own:", "if False:",
        (ENGINE + "a_server_of_another_model_is_refused",),
    ),
    Mutation(
        "engines", "the loss divides by the probability of whoever sampled", "loop/groups.py",
        "off_policy=self.policy.engine.separate or any(", "off_policy=any(",
        ("tests/run/test_engines.py::test_every_ratio_is_to_the_server_that_sampled",),
    ),
    Mutation(
        "engines", "another machine needs an explicit yes", "policy/settings.py",
        "if not remote and not is_loopback(url):", "if False:",
        (SETTINGS + "servers_that_cannot_be_meant_are_refused_in_one_line[another machine]",),
    ),
    Mutation(
        "engines", "a server that sends byte by byte is given up", "policy/engines/servers.py",
        "said = await asyncio.wait_for(call, whole)", "said = await call",
        (SERVERS + "a_server_that_answers_byte_by_byte_is_given_up",),
    ),
    Mutation(
        "engines", "a server's words come without the key", "policy/engines/servers.py",
        'quoted(str(words).replace(self._key, "***"))', "quoted(str(words))",
        (SERVERS + "the_key_is_not_repeated",),
    ),
    Mutation(
        "engines", "a body that was not asked for is not unpacked", "policy/engines/servers.py",
        'if response.headers.get("Content-Encoding", "identity") != "identity":', "if False:",
        (SERVERS + "a_body_that_nobody_needs_is_not_read",),
    ),
    Mutation(
        "engines", "tokens that the model does not have are refused", "policy/engines/servers.py",
        "if any(not 0 <= i < vocabulary for i in ids):", "if False:",
        (ENGINE + "what_no_honest_server_answers_is_not_used",),
    ),
    Mutation(
        "engines", "an error under status 200 is an error", "policy/engines/servers.py",
        'if (error := _mapping(said).get("error")) and not _mapping(said).get("choices"):', "if error := None:",
        (ENGINE + "an_error_under_status_200_is_an_error",),
    ),
]  # fmt: skip
