"""Options of the suite, and the account of the proof table that a run of its long tests prints."""

from tests.support.rows import ROWS, Account

account = Account()


def pytest_addoption(parser) -> None:
    parser.addoption("--texts", type=int, default=100, help="generated texts for each reasoning-gym scorer")


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        mark = item.get_closest_marker("row")
        if mark is not None:
            assert mark.kwargs["name"] in ROWS, f"{item.nodeid}: no row '{mark.kwargs['name']}'"
            item.user_properties.append(("row", mark.kwargs["name"]))


def pytest_runtest_logreport(report) -> None:
    account.add(report)


def pytest_terminal_summary(terminalreporter, config) -> None:
    if "row" in config.getoption("markexpr"):
        terminalreporter.write_line("")
        for line in account.lines():
            terminalreporter.write_line(line)
