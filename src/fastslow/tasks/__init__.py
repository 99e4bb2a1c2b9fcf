"""Tasks: sources of examples with a scorer. See base.py for the protocol."""
