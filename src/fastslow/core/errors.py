"""The exceptions a caller may meet. Each message says what is wrong, where, and how to mend it."""


class FastSlowError(Exception):
    """Base of every error raised on purpose by this package."""


class BadInput(FastSlowError):
    """The user's configuration, file or argument cannot be used. The command line exits 2 with this one line."""


class ContractBroken(FastSlowError):
    """A library we build on no longer behaves as our contract tests say it does."""


class EndpointError(FastSlowError):
    """The reflection LM could not be reached or refused the call. Never turned into a reward."""
