"""Names of a package that are imported on first use, so that importing the package costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


class LateModule:
    """A module that is imported when a name of it is first used.

    Results offer what is made from them, pictures and hits, although these stand on results: the one import that goes
    up, which is therefore late and by name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


def lazy_names(package: str, homes: dict[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package: it imports a name from its home when it is asked for.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    homes : dict of str to tuple of str
        Names by the module that defines them. A module without names here is a name itself.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name in home_of:
            return getattr(import_module(home_of[name]), name)
        module = f"{package}.{name}"
        if homes.get(module) == ():
            return import_module(module)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
