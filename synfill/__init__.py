"""synfill: fill the thin classes and groups of an image dataset with a diffusion pipeline.

The Python API, for notebooks: `synfill.analyze(...)`, `synfill.balance(...)`,
`synfill.train(...)` and `synfill.load_classifier(...)`. Importing the package is cheap; torch comes
only when images are made or a network is trained.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from synfill.analysis.run import Analysis as Analysis
    from synfill.analysis.run import analyze as analyze
    from synfill.balancing.result import BalanceResult as BalanceResult
    from synfill.balancing.run import balance as balance
    from synfill.classifier.load import load_classifier as load_classifier
    from synfill.classifier.predict import Classifier as Classifier
    from synfill.errors import RunError as RunError
    from synfill.errors import SynfillError as SynfillError
    from synfill.errors import UsageError as UsageError
    from synfill.training.request import TrainResult as TrainResult
    from synfill.training.run import train as train

_HOMES = {
    "Analysis": "synfill.analysis.run",
    "analyze": "synfill.analysis.run",
    "BalanceResult": "synfill.balancing.result",
    "balance": "synfill.balancing.run",
    "RunError": "synfill.errors",
    "SynfillError": "synfill.errors",
    "UsageError": "synfill.errors",
    "Classifier": "synfill.classifier.predict",
    "load_classifier": "synfill.classifier.load",
    "TrainResult": "synfill.training.request",
    "train": "synfill.training.run",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'synfill' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
