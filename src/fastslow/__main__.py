"""`python -m fastslow` is the `fastslow` command; launchers such as torchrun need it."""

from fastslow.cli.main import script

if __name__ == "__main__":
    script()
