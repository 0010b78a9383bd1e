"""Imports run one way: cli -> the composers -> the rooms -> records, errors, files."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "synfill"
BOTTOM = {
    "records",
    "errors",
    "files",
    "patience",
    "devices",
    "reporter",
    "problems",
    "markdown",
    "reading",
    "lock",
    "written",
    "masking",
    "transport",
    "downloads",
    "calling",
    "tables",
    "revisions",
    "wording",
}
# Which of the others one of these may know.
BELOW = {
    "files": {"errors", "reading"},
    "devices": {"errors"},
    "reading": {"errors"},
    "lock": {"errors"},
    "calling": {"errors"},
    "written": {"records"},
    "patience": {"masking", "wording"},
    "reporter": {"wording"},
    "downloads": {"errors", "patience"},
    "transport": {"errors", "masking", "patience"},
}
# The composers, which know several rooms; everything else of `balancing` and `training` is pure.
COMPOSERS = {
    f"balancing/{name}.py"
    for name in (
        "analyze", "assemble", "estimate", "finish", "identity", "look", "output", "prepare", "run",
        "settings", "start", "starter", "takeover", "texts", "words", "writers",
    )
} | {
    f"training/{name}.py"
    for name in (
        "classifier", "gather", "imagefiles", "parts", "pushing", "reading", "request",
        "run", "scoring", "settings",
    )
}  # fmt: skip
ALLOWED = {
    "cli": {"cli", "balancing", "publish", "training"},
    "publish": {"publish"},
    "balancing": {"balancing"},
    "data": {"data"},
    "generate": {"generate"},
    "training": {"training"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_rooms(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "synfill" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("path", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])
def test_imports_run_one_way(path):
    name = path.relative_to(PACKAGE).as_posix()
    room = name.partition("/")[0].removesuffix(".py")
    rooms = set(imported_rooms(path))
    if room in BOTTOM:
        assert rooms <= BELOW.get(room, set())
    elif name in COMPOSERS:
        assert "cli" not in rooms
    elif room in ALLOWED:
        assert rooms <= ALLOWED[room] | BOTTOM
