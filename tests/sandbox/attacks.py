"""All attacks: importing the modules that hold them fills the table."""

from . import attacks_files, attacks_network, attacks_processes, attacks_resources, attacks_results
from .attack import TABLE, Attack

__all__ = [
    "TABLE",
    "Attack",
    "attacks_files",
    "attacks_network",
    "attacks_processes",
    "attacks_resources",
    "attacks_results",
]
