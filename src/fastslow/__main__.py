"""`python -m fastslow` and `accelerate launch -m fastslow`."""

from .cli.main import script

script()
