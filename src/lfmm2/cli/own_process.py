"""A quick start of the program, in whose process no other code than ours uses the libraries.

Half of the time of a short run would go into parts of libraries that no run uses, and a tenth into the search for
garbage:

* pyarrow imports pandas, where that is installed, as soon as it makes an array, to ask whether the values are a
  Series. The program has no Series. Here pandas is *blocked*: it is not found, as if it was not installed.
* The packages `scipy.linalg` and `scipy.special` import much beside what the kernels need of them, such as numpy.f2py
  and numpy.testing. Here they are *deferred*: their submodules are imported as usual, but the ``__init__`` of the
  package runs when one of its own names is asked for, which may be never.
* Imported modules are no garbage: the collector rests while they are imported, and does not search them at the end.
* Threads of OpenMP sleep while they wait, instead of spinning, unless the user has chosen otherwise.

Nothing of this is done by ``import lfmm2`` in another program.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

# Modules that are not found.
_BLOCKED = ("pandas",)
# Deferred packages, each with the submodule in which its names are sought before its ``__init__`` runs. The functions
# of scipy.special are those of `_ufuncs`; the package wraps them for arrays of other libraries.
_DEFERRED = {"scipy.linalg": "", "scipy.special": "_ufuncs"}


def defer_packages() -> None:
    """Block pandas, and defer the packages of SciPy, from now on in this process."""
    sys.meta_path.insert(0, _LightFinder())


def let_threads_sleep() -> None:
    """Ask OpenMP for threads that sleep while they wait, unless the user has asked for something else.

    Threads that spin take processor time from other programs, and from the thread that they wait for. OpenMP reads the
    variable when it is loaded, so it is too late once the kernels are; another program's process is left as it is.
    """
    if "lfmm2._core" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextlib.contextmanager
def resting_collector() -> Iterator[None]:
    """Keep the garbage collector from searching what is imported in the block, then and later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class _LightFinder:
    """Finder of the deferred packages, where the usual finder finds them, and of no blocked module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _BLOCKED:
            raise ModuleNotFoundError(f"No module named {fullname!r}: it is blocked in this process", name=fullname)
        if fullname not in _DEFERRED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _DeferredLoader(spec.loader)  # type: ignore[assignment]
        return spec


class _DeferredLoader:
    """Loader of a deferred package.

    Parameters
    ----------
    usual : loader
        The one that runs the ``__init__`` of the package.
    """

    def __init__(self, usual: Any) -> None:
        self.usual = usual

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _DeferredPackage(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing."""


class _DeferredPackage(ModuleType):
    """A package whose ``__init__`` runs when one of its own names is asked for."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and find_spec(f"{self.__name__}.{name}") is not None:
            return import_module(f"{self.__name__}.{name}")
        # Other private names are asked for by modules that try whether they exist, and by the import system.
        if name.startswith("_") and name != "__all__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if (first := _DEFERRED[self.__name__]) and find_spec(f"{self.__name__}.{first}") is not None:
            functions = import_module(f"{self.__name__}.{first}")
            if hasattr(functions, name):
                return getattr(functions, name)
        _run_init(self)
        return getattr(self, name)


def _run_init(package: ModuleType) -> None:
    """Run the ``__init__`` of a deferred package, which then is like any other."""
    package.__class__ = ModuleType
    spec = package.__spec__
    assert spec is not None
    deferred: Any = spec.loader
    spec.loader = package.__loader__ = deferred.usual
    deferred.usual.exec_module(package)
