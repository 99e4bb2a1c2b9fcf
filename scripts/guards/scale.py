"""Guards of what outgrows a machine: a copy of a run at a second place, streamed data, and what a run will cost."""

from __future__ import annotations

from guards.base import Mutation

SECOND = "tests/files/test_second_place.py::"
MIRROR = "tests/run/test_mirror.py::"
STREAMED = "tests/tasks/families/test_streamed.py::"
COSTS = "tests/costs/"

MUTATIONS: list[Mutation] = [
    Mutation(
        "second place", "a checkpoint's manifest is copied last", "files/second_place.py",
        "            if path != manifest:\n", "            if path:\n",
        (SECOND + "test_a_copy_that_is_broken_off_is_not_taken_for_a_checkpoint",),
    ),
    Mutation(
        "second place", "a part of a log that was broken off is none", "files/second_place.py",
        ' and entry["size"] == int(match[2]) - int(match[1])', "",
        (SECOND + "test_a_part_of_a_log_that_was_broken_off_is_copied_again",),
    ),
    Mutation(
        "second place", "every byte is verified before a run goes on", "files/second_place.py",
        "            self._verify(run / name, names)\n", "",
        (SECOND + "test_a_file_that_changed_at_the_second_place_is_noticed_and_the_one_before_named",),
    ),
    Mutation(
        "second place", "logs are verified before a run goes on", "files/second_place.py",
        "if _Part.of(part.start, data) != part:", "if False:",
        (SECOND + "test_a_log_that_changed_at_the_second_place_is_noticed",),
    ),
    Mutation(
        "second place", "nothing is written outside of the folder", "files/second_place.py",
        'if not relative.parts or ".." in relative.parts:', "if False:",
        (SECOND + "test_a_store_cannot_write_outside_of_the_folder",),
    ),
    Mutation(
        "second place", "a run is not copied into itself", "files/second_place.py",
        "if here.is_relative_to(there) or there.is_relative_to(here):", "if False:",
        (SECOND + "test_a_place_in_the_run_directory_or_around_it_is_refused",),
    ),
    Mutation(
        "second place", "a chain of URLs, which may hold secrets, is refused", "files/second_place.py",
        'if "::" in url:', "if False:",
        (SECOND + "test_a_chain_of_urls_is_refused",),
    ),
    Mutation(
        "second place", "a URL that may hold a secret is refused", "files/second_place.py",
        "    if secret:\n", "    if False:\n",
        (SECOND + "test_a_url_that_may_hold_a_secret_is_refused",),
    ),
    Mutation(
        "second place", "a checkpoint that is being copied stays on the disk", "files/sealed.py",
        " - set(held):", ":",
        (MIRROR + "test_a_checkpoint_that_is_being_copied_is_not_deleted_by_the_rules",),
    ),
    Mutation(
        "second place", "a place that holds a run is refused", "run/mirror.py",
        "    if taken:\n", "    if False:\n",
        (MIRROR + "test_a_place_that_holds_a_run_is_refused_before_anything_is_written",),
    ),
    Mutation(
        "streamed", "no training example asks a held-out question", "tasks/families/streamed.py",
        "if candidate.identity in self._held_out:", "if False:",
        (STREAMED + "test_no_training_example_asks_a_held_out_question_in_other_case_or_spacing",),
    ),
    Mutation(
        "streamed", "blocks are forgotten", "tasks/families/streamed.py",
        "while len(self._blocks) > BLOCKS:", "while False:",
        (STREAMED + "test_memory_does_not_grow_with_the_data_set",),
    ),
    Mutation(
        "costs", "the efficiency is not bent until one number of one paper fits", "costs/published.py",
        "EFFICIENCY = Range(0.527, 0.607, 0.699)", "EFFICIENCY = Range(0.9, 0.95, 1.0)",
        (COSTS + "test_published.py",),
    ),
    Mutation(
        "costs", "a parameter is cut into equal chunks, the last one padded", "costs/shape.py",
        "-(-shape[0] // processes)", "shape[0] // processes",
        (COSTS + "test_memory.py::test_a_parameter_is_cut_along_its_first_dimension_and_padded",),
    ),
]  # fmt: skip
