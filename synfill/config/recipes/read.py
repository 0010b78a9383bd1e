"""Read a recipe: YAML with overrides in, a checked Recipe or every problem at once out.

Knows where a key stands, not what it does: names, defaults and ranges are in `training.py`. Opens
no dataset and imports no torch, so that a mistake is found at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from synfill.config.components import SAMPLERS, STAGES
from synfill.config.problems import Problem, find_problems
from synfill.config.recipes.draft import Draft, unshared
from synfill.config.recipes.methods import compare_problems, fill_in, name_problem
from synfill.config.recipes.settings import ModelSettings, Recipe
from synfill.config.recipes.shipped import find_recipe
from synfill.config.recipes.stages import EPOCHS_OR_STEPS
from synfill.config.yaml import YamlDocument, YamlPath, format_yaml, read_yaml_document
from synfill.errors import UsageError
from synfill.records import JsonObject

CheckBalance = Callable[[JsonObject], Sequence[tuple[str, str]]]
"""Says what is wrong with settings of `synfill balance`: (key, message) for each problem."""
CheckModel = Callable[[ModelSettings], tuple[str, str] | None]
"""Says what is wrong with a network's name and the wish for pretrained weights: (key, message)."""

_BALANCE: YamlPath = ("data", "synthetic", "balance")
_STANDS_ELSEWHERE = {
    "source": "data.train",
    "config": "data.config",
    "split": "data.split",
    "image": "data.image",
    "layout": "data.layout",
    "image_root": "data.image_root",
    "file_column": "data.file_column",
    "label": "data.label",
    "group": "data.group",
    "long_tail": "data.long_tail",
    "long_tail_type": "data.long_tail.type",
    "long_tail_max": "data.long_tail.largest",
    "seed": "data.seed",
    "on_bad_image": "data.on_bad_image",
    "out": "--out on the command line",
    "overwrite": "--overwrite on the command line",
}
_NO_PLACE = (
    "format", "dry_run", "push_to_hub", "repo_id", "private", "hub_revision", "create_pr",
    "commit_message",
)  # fmt: skip


def read_recipe(
    name_or_path: str,
    overrides: Sequence[str] = (),
    check_balance: CheckBalance | None = None,
    check_model: CheckModel | None = None,
) -> Recipe:
    """Read and check a recipe.

    Args:
        name_or_path: A recipe file, or the name of a shipped recipe.
        overrides: `key.path=value`, the value in YAML: "stages.0.epochs=10". The last one counts.
        check_balance: Checks `data.synthetic.balance`, of which this room knows nothing.
        check_model: Likewise `model`.

    Raises:
        UsageError: There is no such recipe, it isn't YAML, or something in it is wrong: all
            problems are in the message, each with its key and line.
    """
    path = find_recipe(name_or_path)
    document = read_yaml_document(path, "a recipe")
    content = document.content
    if not isinstance(content, dict) or not content:
        raise UsageError(
            f"{path} is {'empty' if not content else 'not a recipe'}.",
            "A recipe is a YAML mapping: synfill recipes show demo prints one.",
        )
    if "stages" not in content and "data" not in content:
        raise UsageError(
            f"{path} holds no training recipe: it has neither data nor stages.",
            "Settings of synfill balance go to synfill balance SOURCE --settings; synfill recipes "
            "list names the training recipes.",
        )
    return check_recipe(document, str(path), overrides, check_balance, check_model)


def check_recipe(
    document: YamlDocument,
    where: str,
    overrides: Sequence[str] = (),
    check_balance: CheckBalance | None = None,
    check_model: CheckModel | None = None,
) -> Recipe:
    """Make a recipe of a YAML mapping.

    Args:
        document: The mapping, and the lines of its keys.
        where: Where it stands, for the message.
        overrides: As in read_recipe.
        check_balance: As in read_recipe.
        check_model: As in read_recipe.

    Raises:
        UsageError: Something is wrong with it.
    """
    draft = Draft(unshared(document.content), dict(document.lines))
    problems = [problem for text in overrides if (problem := draft.override(text))]
    draft.use_underscores(_BALANCE)
    values = draft.values
    filled = fill_in(values.get("methods"), values.get("stages"))
    # A copy: what a method takes over from a stage is its own, or a problem is looked for twice.
    complete = values | ({"methods": unshared(filled)} if "methods" in values else {})
    problems += _without_repeats(find_problems(Recipe, complete), values)
    problems += _problems_across(values)
    problems += _balance_problems(values, check_balance)
    problems += _model_problems(values.get("model"), check_model)
    if problems:
        raise UsageError(
            f"{where} can't be used:\n" + "\n".join(draft.list_problems(problems)),
            "synfill recipes help says what each key means; synfill recipes show demo prints an "
            "example.",
        )
    return Recipe.model_validate(complete)


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe with every key, as YAML that reads back to the same recipe."""
    return format_yaml(recipe.model_dump(mode="json"))


def _without_repeats(problems: Sequence[Problem], values: JsonObject) -> list[Problem]:
    """Without what methods took over from the recipe's stages: it is told there."""
    found = {problem.path for problem in problems}
    kept = []
    for problem in problems:
        if len(problem.path) >= 4 and problem.path[0] == "methods":
            _, name, position, key, *rest = problem.path
            own = {str(key): stages for key, stages in values["methods"].items()}
            base = ("stages", position, key, *rest)
            if base in found and key not in own[name][int(position)]:
                continue
        kept.append(problem)
    return kept


def _problems_across(values: JsonObject) -> list[Problem]:
    """Problems of keys that stand far from each other. The values may be of any kind."""
    data = values.get("data")
    data = data if isinstance(data, dict) else {}
    methods = values.get("methods")
    methods = methods if isinstance(methods, dict) else {}
    compared = values.get("compare")
    has_synthetic = "synthetic" not in data or data["synthetic"] not in (None, "none")
    problems = [
        Problem(("methods", str(name)), problem)
        for name in methods
        if (problem := name_problem(str(name)))
    ]
    if isinstance(compared, list):
        names = [str(name) for name in methods]
        problems += [
            Problem(("compare", str(position)), message)
            for position, message in compare_problems(compared, names, has_synthetic)
        ]
    lists: list[tuple[YamlPath, Any]] = [(("stages",), values.get("stages"))]
    lists += [(("methods", str(name)), stages) for name, stages in methods.items()]
    for path, stages in lists:
        for position, stage in enumerate(stages if isinstance(stages, list) else []):
            if not isinstance(stage, dict):
                continue
            here = (*path, str(position))
            if stage.get("epochs") is not None and stage.get("steps") is not None:
                # Also where one of them is wrong itself.
                problems.append(Problem((*here, "epochs"), EPOCHS_OR_STEPS))
            seen = _data_of(stage)
            if seen == "synthetic" and not has_synthetic:
                problems.append(Problem((*here, "data"), "data.synthetic is none"))
            if seen == "validation" and data.get("validation") in (None, "none"):
                problems.append(Problem((*here, "data"), "data.validation is none"))
            sampling = stage.get("sampling")
            name = sampling.get("name") if isinstance(sampling, dict) else sampling
            needs_groups = name in SAMPLERS and SAMPLERS[str(name)].needs_groups
            if needs_groups and not data.get("group"):
                message = f"{name} needs data.group, which is empty"
                problems.append(Problem((*here, "sampling"), message))
    return problems + _split_problems(data)


def _data_of(stage: JsonObject) -> Any:
    """Which images a stage is to see; where it doesn't say so, what its kind has by default."""
    kind = stage.get("kind")
    if isinstance(kind, str) and kind in STAGES:
        return stage.get("data", STAGES[kind].model_fields["data"].default)
    return stage.get("data")


def _model_problems(model: Any, check: CheckModel | None) -> list[Problem]:
    settings = model if isinstance(model, dict) else {"name": model}
    name = settings.get("name")
    if check is None or not isinstance(name, str) or not name:
        return []
    is_pretrained = settings.get("pretrained") is True
    problem = check(ModelSettings(name=name, pretrained=is_pretrained))
    if problem is None:
        return []
    key, message = problem
    return [Problem(("model", key) if isinstance(model, dict) else ("model",), message)]


def _split_problems(data: JsonObject) -> list[Problem]:
    test = data.get("test", "test")
    if isinstance(test, dict) and test.get("source") == data.get("train"):
        test = test.get("split", "test")
    if not isinstance(test, str):
        return []
    problems = []
    if test == data.get("split", "train"):
        problems.append(Problem(("data", "test"), f"'{test}' is the training split"))
    if test == data.get("validation"):
        problems.append(Problem(("data", "validation"), f"'{test}' is the test split"))
    return problems


def _balance_problems(values: JsonObject, check: CheckBalance | None) -> list[Problem]:
    data: Any = values
    for key in _BALANCE[:2]:
        data = data.get(key) if isinstance(data, dict) else None
    settings = data.get("balance") if isinstance(data, dict) else None
    if not isinstance(settings, dict):
        return []
    problems = []
    for key in [str(key) for key in settings]:
        if key in _STANDS_ELSEWHERE:
            message = f"in a recipe this stands elsewhere: {_STANDS_ELSEWHERE[key]}"
            problems.append(Problem((*_BALANCE, key), message))
        elif key in _NO_PLACE:
            problems.append(Problem((*_BALANCE, key), "has no place in a recipe"))
    misplaced = {problem.path[-1] for problem in problems}
    rest = {str(key): value for key, value in settings.items() if str(key) not in misplaced}
    if check is not None:
        problems += [
            Problem((*_BALANCE, *key.split(".")) if key else _BALANCE, message)
            for key, message in check(rest)
        ]
    return problems + _by_problems(rest.get("by"), values["data"].get("group"))


def _by_problems(by: Any, group: Any) -> list[Problem]:
    columns = [group] if isinstance(group, str) else group if isinstance(group, list) else []
    groups = by.split("+")[1:] if isinstance(by, str) else []
    return [
        Problem((*_BALANCE, "by"), f"'{name}' isn't in data.group")
        for name in groups
        if name and name not in columns
    ]
