"""The settings of a `balance` run from where they stand: a call, a file, a shipped recipe.

Knows where they are read from and that all of their problems are found, not what a run does.
"""

from __future__ import annotations

from collections.abc import Mapping

from synfill.balancing.checks import text_problems
from synfill.config import arguments
from synfill.config.balance import BalanceSettings
from synfill.config.recipes.read import read_recipe
from synfill.config.recipes.settings import DataSettings, SyntheticSettings
from synfill.config.recipes.shipped import find_recipe
from synfill.config.yaml import read_yaml, read_yaml_document
from synfill.errors import UsageError
from synfill.records import JsonObject


def make_settings(
    values: JsonObject, where: str, lines: Mapping[str, int] | None = None
) -> BalanceSettings:
    """Check settings as a whole; see `synfill.config.arguments.make_settings`."""
    hint = "synfill balance --help lists all options."
    return arguments.make_settings(BalanceSettings, values, where, hint, lines, text_problems)


def balance_problems(values: JsonObject) -> list[tuple[str, str]]:
    """All that is wrong with settings: a key and a message for each problem."""
    return arguments.find_setting_problems(BalanceSettings, values, text_problems)


def read_settings(name: str) -> JsonObject:
    """Read a settings file, or the shipped recipe of that name.

    The settings stand at the top, dashes or underscores in their names as on the command line. Of
    a training recipe they are its `data.synthetic.balance`, with the real images of its `data`.

    Raises:
        UsageError: There is no such file, it doesn't hold settings, or the recipe is wrong.
    """
    path = find_recipe(name)
    content = read_yaml(path, "a settings file")
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no settings.", "For example:\n  target: uniform\n  seed: 1")
    if "data" not in content and "stages" not in content:
        return {str(key).replace("-", "_"): value for key, value in content.items()}
    settings = settings_of_recipe(read_recipe(name, check_balance=balance_problems).data)
    if settings is None:
        raise UsageError(
            f"{path} is a training recipe that makes no balanced dataset.",
            "Such a recipe has a section data.synthetic.balance: synfill recipes help "
            "data.synthetic.balance says what it is.",
        )
    return settings


def setting_lines(name: str) -> dict[str, int]:
    """The lines of the settings that stand at the top of a file; see `read_settings`."""
    found = read_yaml_document(find_recipe(name), "a settings file").lines
    return {path[0].replace("-", "_"): line for path, line in found.items() if len(path) == 1}


def settings_of_recipe(data: DataSettings) -> JsonObject | None:
    """The settings that make a recipe's balanced dataset; None if the recipe makes none.

    Only what the recipe says is in them: `out` and the rest have their defaults.
    """
    if not isinstance(data.synthetic, SyntheticSettings) or data.synthetic.balance is None:
        return None
    tail = data.long_tail
    images = {
        "source": data.train,
        "config": data.config,
        "split": data.split,
        "image": data.image,
        "layout": data.layout,
        "image_root": data.image_root,
        "file_column": data.file_column,
        "label": data.label,
        "group": data.group or None,
        "long_tail": tail.imbalance_factor if tail else None,
        "long_tail_type": tail.type if tail else None,
        "long_tail_max": tail.largest if tail else None,
        "seed": data.seed,
        "on_bad_image": data.on_bad_image,
    }
    given = {key: value for key, value in images.items() if value is not None}
    return data.synthetic.balance | given
