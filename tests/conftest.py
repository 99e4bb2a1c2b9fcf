"""Options of the suite, and the account of the proof table that a run of its long tests prints."""

import gc
import os

from hypothesis import HealthCheck, settings

from tests.support.nursery import read_metadata_once
from tests.support.rows import ROWS, Account

# Where slipcover counts lines it wraps fork, to count in children as well. Its book of children breaks in a suite that
# forks as much as this one (its end then counts nothing), and children are left out of the figure in any case.
for _name in ("fork", "_exit"):
    setattr(os, _name, getattr(getattr(os, _name), "__wrapped__", getattr(os, _name)))

# A busy machine decides no test: hypothesis would fail one whose example took 0.2 s, or took long to make.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

read_metadata_once()
account = Account()


def pytest_addoption(parser) -> None:
    parser.addoption("--texts", type=int, default=100, help="generated texts for each reasoning-gym scorer")


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        mark = item.get_closest_marker("row")
        if mark is not None:
            assert mark.kwargs["name"] in ROWS, f"{item.nodeid}: no row '{mark.kwargs['name']}'"
            item.user_properties.append(("row", mark.kwargs["name"]))


def pytest_collection_finish() -> None:
    # The end of every training collects garbage: without the libraries' million objects a tiny run takes a quarter
    # less.
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report) -> None:
    account.add(report)


def pytest_terminal_summary(terminalreporter, config) -> None:
    if "row" in config.getoption("markexpr"):
        terminalreporter.write_line("")
        for line in account.lines():
            terminalreporter.write_line(line)
