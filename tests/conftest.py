"""Options of the suite."""


def pytest_addoption(parser) -> None:
    parser.addoption("--texts", type=int, default=100, help="generated texts for each reasoning-gym scorer")
