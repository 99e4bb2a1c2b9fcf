"""Guards of what is shown of a run while it goes on, here and from elsewhere."""

from __future__ import annotations

from guards.base import Mutation

DISPLAY = "tests/record/test_display.py::test_"
PROGRESS = "tests/record/test_progress.py::test_"
WATCHING = "tests/record/test_watching.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "showing", "notes are not obeyed by a terminal", "record/display.py",
        "lines = (printable(line) for line in text.split(\"\\n\"))", "lines = text.split(\"\\n\")",
        (DISPLAY + "no_words_of_a_model_or_a_file_are_obeyed_by_a_terminal",),
    ),
    Mutation(
        "showing", "nor is what a watched run's files say", "record/watching.py",
        "return Condition(quoted(summary[\"status\"]), ended=True,",
        "return Condition(summary[\"status\"], ended=True,",
        (WATCHING + "nothing_that_a_file_says_is_obeyed_or_ends_the_watching",),
    ),
    Mutation(
        "showing", "the loss of a terminal ends nothing", "record/terminal.py",
        "except (OSError, ValueError):", "except ZeroDivisionError:",
        (DISPLAY + "a_terminal_has_live_lines_below_the_notes_and_may_close",),
    ),
    Mutation(
        "showing", "what nohup ignores stays ignored", "run/signals.py",
        "if number != signal.SIGHUP or signal.getsignal(number) is signal.SIG_DFL:", "if True:",
        ("tests/run/test_signals.py::"
         "test_a_terminal_that_closes_stops_a_run_once_and_what_nohup_ignores_stays_ignored",),
    ),
    Mutation(
        "showing", "a pipe gets no live lines", "record/terminal.py",
        "return console.is_interactive and console.file.isatty()", "return console.is_interactive",
        (DISPLAY + "what_cannot_be_drawn_again_gets_plain_lines",),
    ),
    Mutation(
        "showing", "a kind of work that was not timed yet is named", "record/progress.py",
        "if ahead[kind] and each[kind] is None)", "if False)",
        (PROGRESS + "each_kind_of_work_ahead_counts_at_its_own_price",),
    ),
    Mutation(
        "showing", "the lead is the context that leads", "record/progress.py",
        "if one.get(\"context_id\") == row.get(\"lead\") and len(ends) == 3:", "if len(ends) == 3 and not self.lead:",
        (PROGRESS + "lead_is_the_context_that_leads_and_not_the_best",),
    ),
    Mutation(
        "showing", "half a line is left for later", "files/tail.py",
        "if not line.endswith(b\"\\n\"):", "if False:",
        ("tests/files/test_tail.py::test_a_line_counts_once_and_only_when_it_is_whole",),
    ),
    Mutation(
        "showing", "a file that was cut back is read anew", "files/tail.py",
        "return size >= self._end and file.read(len(self._mark)) == self._mark", "return size >= self._end",
        ("tests/files/test_tail.py::"
         "test_a_file_that_was_cut_back_is_read_again_even_where_it_has_grown_since",),
    ),
    Mutation(
        "showing", "whom one cannot see is not said to be gone", "files/locks.py",
        "return held or (False if _name(folder)[1] == socket.gethostname() else None)", "return held",
        ("tests/files/test_locks.py::test_nobody_is_said_to_be_gone_whom_one_cannot_see",),
    ),
    Mutation(
        "showing", "whoever looks at a lock keeps nobody out", "files/locks.py",
        "            time.sleep(GLANCE)\n            if not try_lock(descriptor):", "            if True:",
        ("tests/files/test_locks.py::test_whoever_only_looks_keeps_nobody_out",),
    ),
    Mutation(
        "showing", "a killed run's phase is nobody's once it is resumed", "record/watching.py",
        "resumed = before and not self.condition.broken", "resumed = False",
        (WATCHING + "a_run_without_a_process_and_a_summary_was_broken_off_and_may_be_resumed",),
    ),
]  # fmt: skip
