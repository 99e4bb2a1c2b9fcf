"""Guards of settings, recipes and the environment."""

from __future__ import annotations

from guards.base import Mutation

RECIPE = "tests/config/test_recipe.py::"
LATE = "tests/run/test_refusals.py::test_what_a_library_refuses_late_is_refused_in_one_line_at_once"
REFUSALS = "tests/run/test_refusals.py::"
INHERITED = "tests/config/test_inherited.py::"
PROXY = "tests/fast/reflection/test_http.py::"
PLACES = "tests/run/test_places.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "settings", "settings of the libraries are rehearsed before a run", "run/preflight.py",
        "if names and processes_here() == 1:", "if False:",
        ("tests/run/test_refusals.py::test_train_and_doctor_refuse_alike_and_write_nothing",),
    ),
    Mutation(
        "settings", "a tracker that is not installed is refused", "slow/rehearsal.py",
        "        raise BadInput(problems[0])", "        pass",
        (LATE + '[{"report_to": "wandb"}]',),
    ),
    Mutation(
        "settings", "a tracker that is not installed is named with its package", "slow/rehearsal.py",
        "if importlib.util.find_spec(module) is None:", "if False:",
        (REFUSALS + "test_a_tracker_that_is_not_installed_is_named_with_the_command_that_mends_it",),
    ),
    Mutation(
        "settings", "numbers of TRL and transformers are bounded", "config/checks.py",
        "        check_value(name, getattr(config, name), spec)\n", "        pass\n",
        (INHERITED + "test_a_value_out_of_bounds_is_refused_by_name",),
    ),
    Mutation(
        "settings", "a part of a step is refused", "core/settings.py",
        "if spec.whole and value != int(value):", "if False:",
        (INHERITED + "test_a_part_of_a_step_is_refused",),
    ),
    Mutation(
        "settings", "a temperature of evaluation that overflows is refused", "policy/settings.py",
        "return value == 0 or LEAST_TEMPERATURE <= value <= MOST_TEMPERATURE", "return 0 <= value <= MOST_TEMPERATURE",
        (INHERITED + "test_what_overflows_is_refused_by_its_own_name",
         "tests/cli/test_eval_files.py::test_a_temperature_that_overflows_is_refused_before_anything_is_loaded"),
    ),
    Mutation(
        "settings", "a report is refused before runs are read", "cli/report.py",
        "        check_target(Path(options.output))\n", "        pass\n",
        ("tests/cli/test_eval_files.py::test_every_command_refuses_a_file_it_cannot_write_before_it_reads_anything",),
    ),
    Mutation(
        "settings", "a scheduler's rate is computed for the whole run", "slow/rehearsal.py",
        "range(0, steps + 1, max(1, steps // PLACES))", "range(0)",
        (LATE + '[{"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": "many"}}]',),
    ),
    Mutation(
        "settings", "an optimiser that steps within the backward pass is refused", "slow/rehearsal.py",
        'if isinstance(optimizer, LayerWiseDummyOptimizer) or "lomo" in name:', "if False:",
        ("tests/run/test_refusals.py::test_an_optimiser_that_steps_in_the_backward_pass_is_refused",),
    ),
    Mutation(
        "settings", "a rehearsal keeps the random numbers", "slow/rehearsal.py",
        "random.setstate(python)", "pass",
        ("tests/run/test_refusals.py::test_a_rehearsal_changes_no_random_numbers_and_leaves_no_file",),
    ),
    Mutation(
        "settings", "any error of the trainer's constructor is a refusal", "slow/trainer.py",
        "except Exception as error:  # refused by TRL", "except ValueError as error:  # refused by TRL",
        ("tests/slow/test_channel.py::test_whatever_a_library_raises_while_the_trainer_is_made_is_a_refusal",),
    ),
    Mutation(
        "settings", "folders made on the way to a refused run are removed", "files/run_directory.py",
        "        remove_empty(missing)\n", "        pass\n",
        ("tests/run/test_refusals.py::test_a_trainer_without_a_run_directory_leaves_no_folder_and_an_empty_one_of_the_users",),
    ),
    Mutation(
        "settings", "TRL's settings have their types checked", "config/settings.py",
        "if f.init and not unset and set(types) <= set(WORDS):", "if False:",
        ("tests/run/test_refusals.py::test_what_a_library_refuses_of_the_settings_alone_is_one_line"
         '[{"adam_epsilon": "small"}]',),
    ),
    Mutation(
        "settings", "a word of a recipe stays text until its setting reads it", "config/recipe.py",
        'for _kind in ("null", "bool", "int", "float", "timestamp", "str", "value"):',
        'for _kind in ("null", "str"):',
        (RECIPE + "test_what_has_one_reading_is_taken[packing: off-off]",),
    ),
    Mutation(
        "settings", "a number with a leading zero is refused", "config/reading.py",
        "return None if OCTAL.fullmatch(text) else int(text, 0)", 'return int(text.lstrip("0"))',
        (RECIPE + "test_what_has_no_reading_or_two_is_refused",),
    ),
    Mutation(
        "settings", "a key that stands twice in a recipe is refused", "config/recipe.py",
        "if twice is not None:", "if False:",
        (RECIPE + "test_what_has_no_reading_or_two_is_refused",),
    ),
    Mutation(
        "settings", "text that no file takes is refused", "core/settings.py",
        "if isinstance(text, str) and any(", "if False and any(",
        (RECIPE + "test_what_has_no_reading_or_two_is_refused",),
    ),
    Mutation(
        "settings", "no flags come from a file beside the command", "config/parsing.py",
        "look_for_args_file=False", "look_for_args_file=True",
        (RECIPE + "test_no_flags_are_read_from_a_file_beside_the_command",),
    ),
    Mutation(
        "settings", "a proxy that cannot be used is named by its variable", "fast/reflection/http.py",
        "except Exception as error:  # a missing package", "except ZeroDivisionError as error:  # a missing package",
        (PROXY + "test_a_proxy_that_cannot_be_used_is_named_by_its_variable",),
    ),
    Mutation(
        "settings", "paths of a run are made absolute", "config/settings.py",
        "self._fix_paths()\n", "pass\n",
        (PLACES + "test_what_a_run_writes_names_files_by_their_absolute_paths",),
    ),
    Mutation(
        "settings", "what moved with a run is found", "core/paths.py",
        "return moved if moved is not None and", "return moved if False and",
        (PLACES + "test_a_file_that_stayed_where_it_was_wins_over_one_that_moved",),
    ),
    Mutation(
        "settings", "an evaluation keeps the run's compute type", "evaluation/bundle.py",
        'return settings["dtype"] or', "return",
        ("tests/cli/test_eval_type.py::test_the_runs_type_is_kept_on_a_machine_that_would_take_another",),
    ),
    Mutation(
        "settings", "a report notes runs of different compute types", "report/reading/sources.py",
        "if len(by_type) > 1:", "if False:",
        ("tests/cli/test_eval_type.py::test_a_report_notes_runs_that_computed_in_different_types",),
    ),
    Mutation(
        "settings", "a table too wide for the terminal is printed as lines", "record/tables.py",
        "if least_width(table) <= console.width:", "if True:",
        ("tests/record/test_tables.py::test_the_closing_table_keeps_its_numbers_at_any_width",),
    ),
    Mutation(
        "settings", "python without docstrings is refused", "cli/main.py",
        "if sys.flags.optimize >= 2:", "if False:",
        ("tests/cli/test_environment.py::test_python_without_docstrings_is_refused_in_one_line",),
    ),
    Mutation(
        "settings", "what an encoding lacks is escaped", "cli/main.py",
        'stream.reconfigure(errors="backslashreplace")', "pass",
        ("tests/cli/test_environment.py::test_any_text_can_be_shown",),
    ),
    Mutation(
        "settings", "sizes that are typing errors are refused", "config/checks.py",
        "if rows > MOST_ROWS:", "if False:",
        ("tests/config/test_settings.py::test_what_does_not_exist_or_makes_no_sense_is_refused",),
    ),
]  # fmt: skip
