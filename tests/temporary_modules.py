"""A component as somebody else would write it: in a module of its own, outside of the package."""

import importlib
import sys
from contextlib import contextmanager


@contextmanager
def temporary_module(folder, name, text):
    """A module with this text, imported."""
    (folder / f"{name}.py").write_text(text)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(name, None)
