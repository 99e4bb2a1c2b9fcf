"""Guards of exported folders and of the proxy that serves them."""

from __future__ import annotations

from guards.base import Mutation

TEMPLATE = "tests/export/test_template.py::test_"
FOLDER = "tests/export/test_folder.py::test_"
REQUESTS = "tests/serving/test_requests.py::test_"
PROXY = "tests/serving/test_proxy.py::test_"
STRANGERS = "tests/serving/test_strangers.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "serving",
        "a template that renders otherwise is not exported",
        "export/equality.py",
        "if tuple(theirs) != ours:",
        "if False:",
        (FOLDER + "a_template_that_renders_otherwise_is_not_exported",),
    ),
    Mutation(
        "serving",
        "signs of Jinja's tags in texts are escaped",
        "export/template.py",
        'if sign in "{}%#" or not shown:',
        'if sign == "\\n":',
        (TEMPLATE + "200_random_requests_have_the_ids_of_our_own_rendering",),
    ),
    Mutation(
        "serving",
        "a worked example that is the question is left out by the template",
        "export/template.py",
        "if fastslow_own not in worked[2] %}",
        "%}",
        (TEMPLATE + "a_worked_example_that_is_the_question_is_left_out_whatever_its_case_and_spaces",),
    ),
    Mutation(
        "serving",
        "an export that fails leaves nothing",
        "export/folder.py",
        "    finally:\n        atomic.remove(scratch)\n",
        "    finally:\n        pass\n",
        (FOLDER + "an_export_that_fails_leaves_nothing",),
    ),
    Mutation(
        "serving",
        "files of different versions are not served together",
        "export/release.py",
        "    if wrong:\n",
        "    if False:\n",
        (FOLDER + "a_file_that_was_changed_after_the_export_is_not_served",),
    ),
    Mutation(
        "serving",
        "a verdict is on this very bundle",
        "export/card.py",
        "if verdict.candidate.digest != digest:",
        "if False:",
        (FOLDER + "a_verdict_on_another_bundle_or_none_at_all_is_refused",),
    ),
    Mutation(
        "serving",
        "fields that name files are not passed on",
        "serving/requests.py",
        "if fields.get(name) is not None:",
        "if False:",
        (REQUESTS + "fields_that_name_files_code_or_machines_are_refused",),
    ),
    Mutation(
        "serving",
        "arguments that the template does not read are refused",
        "serving/requests.py",
        "if name != ARGUMENT and name not in allowed:",
        "if False:",
        (REQUESTS + "arguments_that_the_template_does_not_read_are_refused",),
    ),
    Mutation(
        "serving",
        "a body has a limit",
        "serving/app.py",
        "                if len(body) > most:\n",
        "                if False:\n",
        (STRANGERS + "a_body_in_chunks_without_an_end_is_refused_at_the_limit",),
    ),
    Mutation(
        "serving",
        "a body that drips is a timeout",
        "serving/app.py",
        "with anyio.fail_after(BODY_SECONDS):",
        "with anyio.fail_after(60):",
        (STRANGERS + "a_body_that_drips_is_a_timeout",),
    ),
    Mutation(
        "serving",
        "a head that drips is cut off",
        "serving/server.py",
        "self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)",
        "pass",
        (STRANGERS + "a_head_that_drips_is_cut_off",),
    ),
    Mutation(
        "serving",
        "a client that does not read is given up",
        "serving/server.py",
        "self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)",
        "pass",
        (STRANGERS + "a_client_that_does_not_read_is_given_up_and_the_server_behind_is_freed",),
    ),
    Mutation(
        "serving",
        "a client that leaves takes its request along",
        "serving/relay.py",
        "tasks.cancel_scope.cancel()  # which closes",
        "pass  # which closes",
        (PROXY + "a_client_that_leaves_closes_the_connection_behind",),
    ),
    Mutation(
        "serving",
        "the key is asked for",
        "serving/app.py",
        'if self._key is None or path == "/health":',
        "if True:",
        (STRANGERS + "without_the_key_nothing_is_answered_and_nothing_is_said_about_it",),
    ),
    Mutation(
        "serving",
        "the Host header names this machine",
        "serving/app.py",
        "if self._hosts is not None and",
        "if False and",
        (STRANGERS + "a_name_of_somebody_else_in_the_host_header_is_refused",),
    ),
    Mutation(
        "serving",
        "a web page cannot ask without asking first",
        "serving/app.py",
        'if kind != "application/json":',
        "if False:",
        (STRANGERS + "a_page_in_a_browser_cannot_ask_without_asking_first",),
    ),
    Mutation(
        "serving",
        "names from files are safe in headers",
        "serving/app.py",
        'return re.sub(r"[^A-Za-z0-9._-]", "_", value)[:64]',
        "return value",
        (STRANGERS + "names_from_files_are_safe_in_headers",),
    ),
    Mutation(
        "serving",
        "a broken stream does not look like a whole one",
        "serving/relay.py",
        "if not self._transcript.finished:",
        "if False:",
        (PROXY + "a_stream_without_an_end_is_a_broken_one",),
    ),
]
