"""The balanced dataset that a recipe has made for its training run."""

from __future__ import annotations

from pathlib import Path

from synfill.balancing.run import run_balance
from synfill.balancing.settings import make_settings, settings_of_recipe
from synfill.config.balance import BalanceSettings
from synfill.config.recipes.settings import DataSettings
from synfill.errors import UsageError
from synfill.reporter import Reporter


def make_balanced(
    data: DataSettings, out: Path, device: str, overwrite: bool, reporter: Reporter
) -> None:
    """Make it, or go on making it, or see that it is finished.

    Args:
        data: The recipe's data: what is to be balanced, and how.
        out: Where it goes.
        device: Where images are made, if the recipe doesn't say.
        overwrite: Whether a dataset of other settings may be replaced.
        reporter: Where messages and progress go.

    Raises:
        UsageError: A setting is wrong, or there is a dataset of other settings.
        RunError: Images can't be made.
    """
    settings = balance_settings(data, out, device)
    try:
        run_balance(settings, reporter)
    except UsageError:
        if not overwrite:
            raise
        # Only where it must be: --overwrite is for the training, and images take long to make.
        run_balance(settings.model_copy(update={"overwrite": True}), reporter)


def balance_settings(data: DataSettings, out: Path, device: str) -> BalanceSettings:
    """The settings of `synfill balance` that make it; the arguments are `make_balanced`'s.

    Raises:
        UsageError: A setting is wrong.
    """
    values = settings_of_recipe(data) or {}
    return make_settings({"device": device} | values | {"out": out}, "data.synthetic.balance")
