"""Guards of what is exported: what was gated, with the ids of the run, from files that have an end."""

from __future__ import annotations

from guards.base import Mutation

TEMPLATE = "tests/export/test_template.py::test_"
FOLDER = "tests/export/test_folder.py::test_"
CARD = "tests/export/test_card.py::test_"
RELEASE = "tests/export/test_release.py::test_"
SERVE = "tests/cli/test_serve.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "serving",
        "contexts by the question are not exported as the lead",
        "export/choice.py",
        "if which is None and gated in CHOOSING:",
        "if False:",
        (CARD + "what_no_template_can_choose_is_refused_unless_it_is_asked_for",),
    ),
    Mutation(
        "export",
        "rows of a scaled embedding are not scaled twice",
        "export/soft.py",
        "wanted_M_D * (wanted_M_D.norm() / given_M_D.norm().clamp(min=1e-30))",
        "wanted_M_D",
        ("tests/export/test_soft.py::test_rows_of_the_embedding_compute_what_the_soft_rows_did_in_every_family",),
    ),
    Mutation(
        "serving",
        "the context that was gated is the default",
        "export/choice.py",
        "kind = SEED if ships == SEED and which != LEAD else LEAD",
        "kind = LEAD",
        (CARD + "the_context_that_was_gated_is_the_default",),
    ),
    Mutation(
        "serving",
        "a champion is served as its verdict says",
        "cli/serve.py",
        'choose=options.choose or gated or "lead",',
        'choose=options.choose or "lead",',
        (SERVE + "a_champion_is_served_as_its_verdict_says",),
    ),
    Mutation(
        "serving",
        "turns are joined without a context as well",
        "export/template.py",
        "{%- if fastslow.meet %}",
        "{%- if fastslow.meet and fastslow_context != 'none' %}",
        (TEMPLATE + "a_conversation_of_any_shape_has_our_ids_or_is_refused_by_the_models_template",),
    ),
    Mutation(
        "serving",
        "results of tools are not joined",
        "export/template.py",
        "and turn['role'] in <SPEAKERS> ",
        "",
        (TEMPLATE + "results_of_tools_are_not_joined_where_speakers_alternate",),
    ),
    Mutation(
        "serving",
        "parts of text are joined as the proxy joins them",
        "export/template.py",
        "| map(attribute='text') | join('\\\\n')",
        "| map(attribute='text') | join(' ')",
        (TEMPLATE + "parts_of_text_are_one_text_for_the_template_as_for_the_proxy",),
    ),
    Mutation(
        "serving",
        "a template is compared on two days",
        "export/equality.py",
        'for moment in MOMENTS if "strftime_now" in str(shipped.chat_template) else (None,):',
        "for moment in (None,):",
        (TEMPLATE + "a_clock_that_shows_the_runs_own_date_today_is_refused_as_well",),
    ),
    Mutation(
        "serving",
        "what cannot be sampled is not exported",
        "export/release.py",
        "if not (is_temperature(temperature) and",
        "if False and not (is_temperature(temperature) and",
        (FOLDER + "settings_that_no_server_can_sample_by_are_one_line",),
    ),
    Mutation(
        "serving",
        "a full disk under the weights is one line",
        "export/folder.py",
        "except (OSError, SafetensorError) as error:",
        "except OSError as error:",
        (FOLDER + "a_full_disk_is_one_line_whoever_writes",),
    ),
    Mutation(
        "serving",
        "only files of the folder itself are read",
        "export/release.py",
        "path = there.get(name)",
        "path = folder / name",
        (RELEASE + "only_files_of_the_folder_itself_are_read",),
    ),
    Mutation(
        "serving",
        "links are not read",
        "files/plain.py",
        "if path.is_symlink() or not stat.S_ISREG(os.fstat(descriptor).st_mode):",
        "if not stat.S_ISREG(os.fstat(descriptor).st_mode):",
        ("tests/files/test_plain.py::test_a_link_is_not_read",),
    ),
    Mutation(
        "serving",
        "no more is read than memory holds",
        "files/plain.py",
        "if size > most:",
        "if False:",
        ("tests/files/test_plain.py::test_a_file_that_is_too_long_is_not_read",),
    ),
    Mutation(
        "serving",
        "a template's name is a name of a file",
        "export/template.py",
        "if not TEMPLATE_NAME.fullmatch(name)",
        "if not name",
        (TEMPLATE + "a_template_whose_name_is_no_name_of_a_file_is_refused",),
    ),
    Mutation(
        "serving",
        "a terminal does not obey a context that is shown",
        "cli/contexts.py",
        "if sys.stdout.isatty():",
        "if False:",
        ("tests/cli/test_contexts.py::test_a_terminal_does_not_obey_a_context_and_a_pipe_gets_it_whole",),
    ),
    Mutation(
        "release",
        "a run's object for a task is not taken for the task that its settings name",
        "bundles/bundle.py",
        'if settings.get("task_object") is True and name == settings["task"]:',
        "if False:",
        ("tests/run/test_task_object.py::test_an_evaluation_asks_for_a_name_that_leads_to_it_and_takes_it",),
    ),
]
