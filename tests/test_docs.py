"""README and docs name what there is, all of it, and nothing else.

docs/commands.md and docs/components.md are made by this file:
UPDATE_DOCS=1 pytest tests/test_docs.py
"""

import os
import re
from pathlib import Path

import pytest
import typer

from synfill.cli.app import app
from synfill.config import components
from synfill.config.recipes.keys import all_keys
from synfill.config.registry import Registry, describe

ROOT = Path(__file__).parents[1]
COMMANDS_PAGE = ROOT / "docs/commands.md"
COMPONENTS_PAGE = ROOT / "docs/components.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}


def find_commands():
    """Name -> click command; those of `synfill recipes` as "recipes list"."""
    found = {}
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop(0)
        inner = getattr(command, "commands", {})
        waiting += [(f"{name} {part}".strip(), each) for part, each in sorted(inner.items())]
        if not inner:
            found[name] = command
    return found


COMMANDS = find_commands()
OPTIONS = {
    name: {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
    | {"--help"}
    for name, command in COMMANDS.items()
}
BENCHMARK_OPTIONS = {
    option
    for path in (ROOT / "benchmarks").rglob("*.py")
    for option in re.findall(r'add_argument\(\s*"(--[a-z-]+)"', path.read_text())
}
REGISTRIES = {
    name: value for name, value in vars(components).items() if isinstance(value, Registry)
}


def code_of(text):
    """The code in a page: blocks, and what stands between backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```|((?:^ {4}\S[^\n]*\n)+)", text, re.M | re.S)
    lines = [line for pair in blocks for block in pair for line in block.splitlines()]
    without = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [*lines, *re.findall(r"`([^`\n]+)`", without)]


def render_commands():
    """docs/commands.md: every command with its options, as --help says them."""
    lines = [
        "# Commands",
        "",
        "Every command and option, as `synfill COMMAND --help` says them. Flags that only switch",
        "something on have no value.",
    ]
    for name, command in COMMANDS.items():
        first = re.sub(r"\[/?bold\]", "`", (command.help or "").partition("\n\n")[0])
        lines += ["", f"## synfill {name}", "", " ".join(first.split()), ""]
        lines += ["| option | meaning |", "|---|---|"]
        # Arguments first, as they stand in the command.
        for param in sorted(command.params, key=lambda one: one.param_type_name != "argument"):
            if param.param_type_name == "argument":
                shown = (param.metavar or param.name or "").upper()
            else:
                shown = ", ".join(param.opts)
            meaning = " ".join((getattr(param, "help", None) or "").split()).replace("|", "\\|")
            lines.append(f"| `{shown}` | {meaning} |")
    return "\n".join(lines) + "\n"


WHERE = {
    "LOSSES": "`loss` of a stage in a recipe",
    "SAMPLERS": "`sampling` of a stage",
    "AUGMENTATIONS": "`augment` of a stage",
    "MIXES": "`mix` of a stage",
    "METHODS": "`--compare`, and `compare` in a recipe",
    "STAGES": "`kind` of a stage",
    "METRICS": "all of them are measured; a run's tables and files name them so",
    "NETWORKS": "`model` in a recipe: which kind a network's name belongs to",
    "CHECKS": "`check` in settings files and recipes; these are always made",
    "ENGINES": "`engine` in settings files and recipes",
    "FAMILIES": "found out from the model that `--model` names",
    "SOURCES": "found out from SOURCE",
}


def render_components():
    """docs/components.md: every registry with its components and their options."""
    lines = [
        "# Components",
        "",
        "What can be chosen by name. Where a recipe or settings file takes a component, it takes",
        "its name, or a mapping of `name` and options: `mix: {name: mixup, alpha: 0.2}`.",
        "[architecture.md](architecture.md) says how to add one.",
    ]
    for registry, where in WHERE.items():
        found = REGISTRIES[registry]
        title = found.plural[:1].upper() + found.plural[1:]
        lines += ["", f"## {title}", "", f"{where[:1].upper()}{where[1:]}.", ""]
        lines += ["| name | what it is | options |", "|---|---|---|"]
        for name in found.names:
            component = found[name]
            options = [
                f"`{key}`: {field.description}"
                for key, field in component.model_fields.items()
                if key != found.key and field.description
            ]
            # Those of the one kind of stage there is are the keys in recipes.md.
            listed = "; ".join(options) if registry != "STAGES" else "see [recipes.md](recipes.md)"
            cells = [f"`{name}`", describe(component), listed]
            lines.append("| " + " | ".join(" ".join(one.split()) for one in cells) + " |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("page", "render"), [(COMMANDS_PAGE, render_commands),
                                              (COMPONENTS_PAGE, render_components)])  # fmt: skip
def test_pages_that_are_made_are_what_the_code_says(page, render):
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(render())
    assert page.read_text() == render()


def test_every_registry_has_its_place_in_the_docs():
    assert set(WHERE) == set(REGISTRIES)


def test_every_command_is_shown_outside_of_its_page():
    shown = "\n".join(
        text for page, text in TEXTS.items() if page != COMMANDS_PAGE.relative_to(ROOT).as_posix()
    )
    for name in COMMANDS:
        assert re.search(rf"synfill {name.split()[0]}\b", shown), name


@pytest.mark.parametrize("page", TEXTS)
def test_commands_that_are_named_exist_with_their_options(page):
    first_words = {name.split()[0] for name in COMMANDS}
    for code in code_of(TEXTS[page]):
        for command, rest in re.findall(r"\bsynfill ([a-z]+)\b([^&;|\n]*)", code):
            assert command in first_words, code
            known = set().union(
                *(options for name, options in OPTIONS.items() if name.split()[0] == command)
            )
            for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rest):
                assert option in known, (option, code)


@pytest.mark.parametrize("page", TEXTS)
def test_options_that_are_named_alone_exist(page):
    known = set().union(*OPTIONS.values(), BENCHMARK_OPTIONS, {"--version"})
    for code in code_of(TEXTS[page]):
        if code.startswith("--"):
            option = re.match(r"--[a-z][a-z-]*", code)[0]
            assert option in known, code


def test_every_key_of_a_recipe_is_named():
    pages = "\n".join(TEXTS.values())
    for key in all_keys():
        assert f"`{key.path.rpartition('.')[2]}`" in pages, key.path


@pytest.mark.parametrize("name", REGISTRIES)
def test_every_component_is_named(name):
    pages = "\n".join(TEXTS.values())
    assert REGISTRIES[name].names
    for component in REGISTRIES[name].names:
        assert re.search(rf"`(?:[^`]*[\s:=,])?{re.escape(component)}(?:[\s,:][^`]*)?`", pages), (
            component
        )
