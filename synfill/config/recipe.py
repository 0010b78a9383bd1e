"""Read a recipe: YAML with overrides in, a checked Recipe or every problem at once out.

Knows where a key stands, not what it does: names, defaults and ranges are in `settings.py`. Opens
no dataset and imports no torch, so that a mistake is told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synfill.config.problems import Problem, find_problems, shown
from synfill.config.shipped import find_recipe
from synfill.config.training import EPOCHS_OR_STEPS, Recipe
from synfill.errors import UsageError
from synfill.files import YamlDocument, YamlPath, format_yaml, parse_yaml, read_yaml_document
from synfill.records import JsonObject
from synfill.training.methods.builtin import compare_problems, fill_in, merge_stage, name_problem
from synfill.training.network.names import model_problem

CheckBalance = Callable[[JsonObject], Sequence[tuple[str, str]]]
"""Says what is wrong with settings of `synfill balance`: (key, message) for each problem."""

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
# Of a message: characters of a line, and lines.
_LONGEST, _MOST = 400, 50
SHORT_FORMS: Mapping[YamlPath, str] = {
    ("model",): "name",
    ("data", "long_tail"): "imbalance_factor",
    ("data", "synthetic"): "source",
    ("data", "test"): "split",
}
"""Keys that may be written shorter: what the short form stands for."""


def read_recipe(
    name_or_path: str,
    overrides: Sequence[str] = (),
    check_balance: CheckBalance | None = None,
) -> Recipe:
    """Read and check a recipe.

    Args:
        name_or_path: A recipe file, or the name of a shipped recipe.
        overrides: `key.path=value`, the value in YAML: "stages.0.epochs=10". The last one counts.
        check_balance: Checks `data.synthetic.balance`, of which this room knows nothing.

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
    return check_recipe(document, str(path), overrides, check_balance)


def check_recipe(
    document: YamlDocument,
    where: str,
    overrides: Sequence[str] = (),
    check_balance: CheckBalance | None = None,
) -> Recipe:
    """Make a recipe of a YAML mapping.

    Args:
        document: The mapping, and the lines of its keys.
        where: Where it stands, for the message.
        overrides: As in read_recipe.
        check_balance: As in read_recipe.

    Raises:
        UsageError: Something is wrong with it.
    """
    draft = _Draft(_unshared(document.content), dict(document.lines))
    problems = [problem for text in overrides if (problem := draft.override(text))]
    draft.use_underscores(_BALANCE)
    values = draft.values
    filled = fill_in(values.get("methods"), values.get("stages"))
    # A copy: what a method takes over from a stage is its own, or a problem is looked for twice.
    complete = values | ({"methods": _unshared(filled)} if "methods" in values else {})
    problems += _without_repeats(find_problems(Recipe, complete), values)
    problems += _problems_across(values)
    problems += _balance_problems(values, check_balance)
    if problems:
        raise UsageError(
            f"{where} can't be used:\n" + "\n".join(draft.tell(problems)),
            "synfill recipes help says what each key means; synfill recipes show demo prints an "
            "example.",
        )
    return Recipe.model_validate(complete)


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe with every key, as YAML that reads back to the same recipe."""
    return format_yaml(recipe.model_dump(mode="json"))


@dataclass
class _Draft:
    """A recipe before it is checked.

    Attributes:
        values: Its values.
        lines: The line of every key of the file.
        given: Paths that overrides set.
    """

    values: Any
    lines: dict[YamlPath, int]
    given: list[YamlPath] = field(default_factory=list)

    def override(self, text: str) -> Problem | None:
        """Set one key; what is wrong with the override, if something is."""
        name, equals, written = text.partition("=")
        path = tuple(name.strip().split("."))
        if not equals or not all(path):
            self.given.append((text,))
            return Problem((text,), "an override is key=value, for example stages.0.epochs=10")
        self.given.append(path)
        try:
            # "*/class" is a layout: a value of its own has nothing that an alias could stand for.
            is_text = written.lstrip().startswith("*")
            value = written.strip() if is_text else parse_yaml(written, "the value").content
        except UsageError as error:
            return Problem(path, " ".join(error.message.split()))
        target = self.values
        for depth, key in enumerate(path[:-1]):
            if isinstance(target, list):
                if problem := _index_problem(target, path, depth):
                    return problem
                target = target[int(key)]
                continue
            inner = _long_form(path[: depth + 1], target.get(key))
            if not isinstance(inner, dict | list):
                message = f"{'.'.join(path[: depth + 1])} is {shown(inner)} and has no keys"
                return Problem(path, message)
            target[key] = inner
            target = inner
        return self._set(target, path, value)

    def _set(self, target: Any, path: YamlPath, value: Any) -> Problem | None:
        key = path[-1]
        if isinstance(target, list):
            if problem := _index_problem(target, path, len(path) - 1):
                return problem
            target[int(key)] = value
            self._forget_lines(path)
            return None
        if _is_stage(path[:-1]):
            merged = merge_stage(target, {key: value})
        elif path[:-1] == ("data", "synthetic") and key in ("source", "balance"):
            merged = {key: value}
        else:
            merged = target | {key: value}
        target.clear()
        target.update(merged)
        self._forget_lines(path)
        return None

    def _forget_lines(self, path: YamlPath) -> None:
        """Of the keys below a path, which are the command line's now."""
        depth = len(path)
        for below in [one for one in self.lines if len(one) > depth and one[:depth] == path]:
            del self.lines[below]

    def use_underscores(self, path: YamlPath) -> None:
        """Take dashes in the names of a mapping's keys for underscores, as commands do."""
        values: Any = self.values
        for key in path:
            values = values.get(key) if isinstance(values, dict) else None
        if not isinstance(values, dict):
            return
        for key in [key for key in values if isinstance(key, str) and "-" in key]:
            plain = key.replace("-", "_")
            if plain not in values:
                values[plain] = values.pop(key)
                if (*path, key) in self.lines:
                    self.lines[(*path, plain)] = self.lines[(*path, key)]
                if (*path, key) in self.given:
                    self.given.append((*path, plain))

    def tell(self, problems: Sequence[Problem]) -> list[str]:
        """One line for each problem: key, place, message; in the file's order."""
        told: dict[str, tuple[float, int]] = {}
        for position, problem in enumerate(problems):
            line = self._line(problem.path)
            place = {None: "", 0: " (on the command line)"}.get(line, f" (line {line})")
            name = ".".join(problem.path)
            text = f"  {name}{place}: {problem.message}"
            if problem.meant:
                key = f"{name}=" if problem.path in self.given else f"{problem.path[-1]}: "
                text += f"; did you mean '{key}{problem.meant}'?"
            if len(text) > _LONGEST:
                text = f"{text[: _LONGEST - 3]}..."
            told.setdefault(text, (line or float("inf"), position))
        lines = sorted(told, key=lambda text: told[text])
        more = [f"  and {len(lines) - _MOST:,} more"] if len(lines) > _MOST else []
        return [*lines[:_MOST], *more]

    def _line(self, path: YamlPath) -> int | None:
        """The line of the key or of what holds it; 0 for the command line, None for the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.given:
                return 0
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        inside = [given for given in self.given if given[: len(path)] == path]
        return 0 if inside else None


def _unshared(value: Any) -> Any:
    """A copy in which nothing stands twice, as YAML's aliases make it: overrides change one.

    Keys that YAML takes for other things than text (`null`, `true`) are the texts that they are.
    """
    if isinstance(value, dict):
        words = {None: "null", True: "true", False: "false"}
        return {
            words[key] if key is None or isinstance(key, bool) else key: _unshared(entry)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [_unshared(entry) for entry in value]
    return value


def _index_problem(entries: Sequence[Any], path: YamlPath, depth: int) -> Problem | None:
    key, name = path[depth], ".".join(path[:depth])
    if key.isdigit() and int(key) < len(entries):
        return None
    numbers = f"0 to {len(entries) - 1}" if len(entries) > 1 else "0" if entries else "none"
    if key.isdigit():
        return Problem(path, f"{name} has no entry {key}; it has {numbers}")
    return Problem(path, f"{name} is a list: name an entry by its number ({numbers}), not '{key}'")


def _long_form(path: YamlPath, value: Any) -> Any:
    """A key's value as the mapping that an override reaches into."""
    if value is None or (path == ("data", "synthetic") and value in ("auto", "none")):
        return {}
    if path in SHORT_FORMS and not isinstance(value, dict | list):
        return {SHORT_FORMS[path]: value}
    return value


def _is_stage(path: YamlPath) -> bool:
    return (len(path) == 2 and path[0] == "stages") or (len(path) == 3 and path[0] == "methods")


def _without_repeats(problems: Sequence[Problem], values: JsonObject) -> list[Problem]:
    """Without what methods took over from the recipe's stages: it is told there."""
    told = {problem.path for problem in problems}
    kept = []
    for problem in problems:
        if len(problem.path) >= 4 and problem.path[0] == "methods":
            _, name, position, key, *rest = problem.path
            own = {str(key): stages for key, stages in values["methods"].items()}
            base = ("stages", position, key, *rest)
            if base in told and key not in own[name][int(position)]:
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
            if stage.get("data") == "synthetic" and not has_synthetic:
                problems.append(Problem((*here, "data"), "data.synthetic is none"))
            if stage.get("sampling") == "group-balanced" and not data.get("group"):
                message = "group-balanced needs data.group, which is empty"
                problems.append(Problem((*here, "sampling"), message))
    return problems + _split_problems(data) + _model_problems(values.get("model"))


def _model_problems(model: Any) -> list[Problem]:
    settings = model if isinstance(model, dict) else {"name": model}
    name = settings.get("name")
    if not isinstance(name, str) or not name:
        return []
    problem = model_problem(name, settings.get("pretrained") is True)
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
    told = {problem.path[-1] for problem in problems}
    rest = {str(key): value for key, value in settings.items() if str(key) not in told}
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
