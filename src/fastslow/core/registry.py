"""Map names to factories, with one helpful message for unknown names everywhere."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from fastslow.core import foreign
from fastslow.core.errors import BadInput

T = TypeVar("T")
M = TypeVar("M")
F = TypeVar("F", bound=Callable[..., Any])
LISTED = 12  # most names in an error message


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ' Did you mean X?', ready to append to an error message, or ''."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ' Did you mean X?' or a list of the known names, ready to append to an error message."""
    known = sorted(known)
    close = did_you_mean(name, known)
    if close:
        return close
    if not known:
        return " There are none."
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return f" Known: {', '.join(known[:LISTED])}{more}."


def load_dotted(path: str, what: str) -> Any:
    """Import `package.module:attribute` (or `package.module.attribute`). Raises BadInput naming what fails."""
    module_name, _, attribute = path.replace(":", ".").rpartition(".")
    if not module_name:
        raise BadInput(f"{what} '{path}' is not a dotted path; write package.module:name.")
    try:
        module = foreign.call(importlib.import_module, module_name, who=f"{what} '{path}'")
    except foreign.Failed as fault:
        hint, error = "", fault.__cause__
        if isinstance(error, ModuleNotFoundError) and error.name and module_name.startswith(error.name):
            hint = " Is its folder on PYTHONPATH?"
            if ".py:" in path:
                hint = f" Leave out '.py': {path.replace('.py:', ':')}."
        raise BadInput(f"{what} '{path}': importing '{module_name}' failed ({fault}).{hint}") from error
    try:
        return foreign.call(getattr, module, attribute, who=f"{what} '{path}'", through=(AttributeError,))
    except foreign.Failed as fault:  # a module may define __getattr__
        raise BadInput(f"{what} '{path}': asking '{module_name}' for '{attribute}' raised {fault}.") from fault
    except AttributeError:
        own = [n for n, value in vars(module).items() if getattr(value, "__module__", None) == module_name]
        raise BadInput(f"{what} '{path}': '{module_name}' has no '{attribute}'.{nearest(attribute, own)}") from None


def importable(module: str) -> bool:
    """Return whether a module of this name exists. The module is not run; the packages that contain it are."""
    try:
        return foreign.call(importlib.util.find_spec, module, who=f"the module '{module}'") is not None
    except foreign.Failed:  # raised by a package that fails on import
        return False


def split_dotted(spec: str) -> tuple[str, str]:
    """Split a spec into the dotted path of a user's factory and its arguments.

    Behind `package.module.factory` the text after a colon is the arguments. Behind a module, or a name without a dot,
    it is the factory: `module:factory`, `package.module:factory:ARGUMENTS`.
    """
    head, _, rest = spec.partition(":")
    factory, _, arguments = rest.partition(":")
    if factory.isidentifier() and ("." not in head or head.endswith(".py") or importable(head)):
        return f"{head}:{factory}", arguments
    return head, rest


class Registry(Generic[T]):
    """Map names to factories of one protocol. A name with a dot or colon is a dotted path to a factory of the
    user's."""

    def __init__(self, what: str):
        self.what = what
        self._factories: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[F], F]:
        def add(factory: F) -> F:
            self._factories[name] = factory
            return factory

        return add

    def names(self) -> list[str]:
        return sorted(self._factories)

    def resolve(self, spec: str) -> tuple[Callable[..., T], str]:
        """Return the factory and the arguments of `name` or `name:ARGUMENTS`; '' for none.

        `split_dotted` says how a path of the user's is read. Raises BadInput as `factory` does.
        """
        name, _, arguments = spec.partition(":")
        if name not in self._factories and ("." in name or arguments.partition(":")[0].isidentifier()):
            name, arguments = split_dotted(spec)
        return self.factory(name), arguments

    def make(self, spec: str, made: Callable[[], M]) -> M:
        """Return what a call of a factory made. Raises the factory's BadInput, and BadInput for all else it raises."""
        try:
            return foreign.call(made, who=f"{self.what} '{spec}'", through=(BadInput,))
        except foreign.Failed as fault:
            raise BadInput(f"{self.what} '{spec}' cannot be made: {fault}.") from fault

    def factory(self, name: str) -> Callable[..., T]:
        """Return the factory called `name`. Raises BadInput with the nearest known name."""
        if name in self._factories:
            return self._factories[name]
        if "." in name or ":" in name:
            return load_dotted(name, self.what)
        raise BadInput(f"unknown {self.what} '{name}'.{nearest(name, self._factories)}")
