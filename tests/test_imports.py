"""Imports run one way, from the commands down to the errors: every module, without exceptions."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "synfill"
# From the bottom up. A module knows its own room and the rooms below it; rooms that stand side by
# side don't know each other.
ROOMS = [
    ["errors", "markdown", "masking", "records", "tables", "wording"],
    ["devices", "names", "reading", "reporter"],
    ["files"],
    ["config"],
    ["runs"],
    ["hub"],
    ["data"],
    ["analysis", "quality"],
    ["generation"],
    ["training/images"],
    ["training/network"],
    ["training/sampling", "training/augment", "training/losses"],
    ["training/methods"],
    ["evaluation"],
    ["training/stage"],
    ["classifier"],
    ["report"],
    ["balancing"],
    ["starter", "training"],
    ["cli"],
    ["__init__", "__main__"],
]
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def find_room(module):
    """The room of a module, "training/stage/sgd"; the longest that is named."""
    parts = module.split("/")
    for length in range(len(parts), 0, -1):
        if (room := "/".join(parts[:length])) in LEVELS:
            return room
    raise AssertionError(f"{module} is in no room")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("synfill."):
                yield name.removeprefix("synfill.").replace(".", "/")


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])
def test_imports_run_one_way(path):
    room = find_room(path.relative_to(PACKAGE).with_suffix("").as_posix())
    for module in imported_modules(path):
        other = find_room(module)
        assert other == room or LEVELS[other] < LEVELS[room], f"{room} imports {module}"


def test_no_folder_holds_more_than_twenty_modules():
    for folder in {path.parent for path in MODULES}:
        assert len(list(folder.glob("*.py"))) <= 20, folder
