"""What runs in the sandbox's own processes. Standard library only.

It starts anew for every run, so what it imports is counted: `typing` alone would add a sixth to the start-up. It is
only there for the type checker, which takes `TYPE_CHECKING = False` for true.
"""
