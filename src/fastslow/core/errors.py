"""Define the exceptions that a caller may meet. Each message says what is wrong, where, and how to mend it."""


class FastSlowError(Exception):
    """Base of every error that this package raises on purpose."""


class BadInput(FastSlowError):
    """Raised for a configuration, file or argument that cannot be used. The command line exits with 2 and this one
    line."""


class ContractBroken(FastSlowError):
    """Raised where a library no longer behaves as our contract tests say."""


class EndpointError(FastSlowError):
    """Raised where the reflection LM cannot be reached, refuses the call or gives nothing that can be read. Never
    turned into a reward."""


class EngineError(FastSlowError):
    """Raised where an engine outside of this process fails, or cannot prove that it holds the policy's weights."""


class Stopped(FastSlowError):
    """Raised inside a fast phase or a measurement that ends early, because the run was asked to stop."""


LONGEST = 300
"""Most characters that are quoted of a library's own words."""


def quoted(words: object, most: int = 200) -> str:
    """Return what a file or a server says in one printable line of at most `most` characters: it may hold anything."""
    text = " ".join(str(words)[: 8 * most].split())
    shown = printable(text[:most])
    return shown if len(text) <= most else f"{shown}..."


def printable(words: object) -> str:
    """Return the whole of a text in one line that a terminal shows and does not obey."""
    text = " ".join(str(words).splitlines())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def in_one_line(error: BaseException) -> str:
    """Return a library's words in one line, with the kind of the error where the words alone say little."""
    words = " ".join(next((line for line in str(error).splitlines() if line.strip()), "").split())[:LONGEST]
    told = isinstance(error, (ValueError, ImportError, NotImplementedError, OSError)) and words
    return words if told else f"{type(error).__name__}: {words}".removesuffix(": ")
