import itertools
import os
import subprocess
import sys

import pytest
import typer

import synfill
from synfill.cli.app import main


def test_version_and_help(cli):
    assert cli("--version").out == f"synfill {synfill.__version__}\n"
    shown = cli("--help")
    assert shown.code == 0
    for command in ("analyze", "balance", "env"):
        assert command in shown.out
        assert "Example" in cli(command, "--help").out


def commands(group, *path):
    for name in group.list_commands(None):
        command = group.commands[name]
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        yield *path, name


def test_every_command_has_an_example_and_help_that_fits(cli, monkeypatch):
    import synfill.cli.help_layout
    from synfill.cli.app import app

    cli("--version")
    found = list(commands(typer.main.get_command(app)))
    placed = [name for names in synfill.cli.help_layout.PANELS.values() for name in names]
    assert sorted(placed) == sorted({path[0] for path in found})
    monkeypatch.setenv("COLUMNS", "80")
    for path in [(), *found]:
        shown = cli(*path, "--help")
        assert shown.code == 0 and "<bool>" not in shown.out
        lines = shown.out.splitlines()
        assert max(map(len, lines)) <= 80
        assert "list[str]" not in shown.out.split("Options")[-1] and "[[" not in shown.out
        # No line ends early, as one does that is broken in the docstring as well.
        for line, after in itertools.pairwise(lines):
            if line.startswith(" ") and after.startswith(" ") and line.strip() and after.strip():
                assert len(line.rstrip()) + 1 + len(after.split()[0]) > 79, (path, line)
        if path != ("recipes",):
            assert "Example: synfill" in shown.out, path


def test_neither_import_nor_help_nor_analyze_import_torch(tmp_path):
    code = (
        "import sys, synfill\n"
        "names = {'torch', 'diffusers', 'datasets', 'pandas'}\n"
        "heavy = lambda: names & set(sys.modules)\n"
        "assert not heavy(), heavy()\n"
        "from synfill.cli.app import main\n"
        "for line in (['--help'], ['analyze', '--help'], ['balance', '--help']):\n"
        "    sys.argv = ['synfill', *line]\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "    assert not heavy(), (line, heavy())\n"
        "synfill.analyze\n"
        "assert not heavy(), heavy()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)


def test_wrong_use_is_exit_code_2(cli):
    assert cli("analyse").code == 2
    assert cli("analyze", "--no-such-option").code == 2
    assert cli("balance", "--cap", "many").code == 2


def test_the_module_runs_as_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "synfill", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"synfill {synfill.__version__}\n"


def test_a_mistake_of_our_own_says_so_and_keeps_the_traceback_for_debugging(
    cli, monkeypatch, capsys
):
    def fail(*_, **__):
        raise KeyError("boom")

    monkeypatch.setattr("synfill.analysis.run.open_source", fail)
    ran = cli("analyze", ".")
    assert ran.code == 1
    assert "mistake in synfill" in ran.err
    assert "SYNFILL_DEBUG=1" in ran.err
    monkeypatch.setenv("SYNFILL_DEBUG", "1")
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().err
    assert "Traceback" in shown and "in fail" in shown and "mistake in synfill" in shown


def test_env_tells_versions_and_never_the_token(cli, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_notARealTokenButSecret")
    ran = cli("env")
    assert ran.code == 0
    for word in ("synfill", "torch", "diffusers", "cpu", "free here", "yes (a token is set)"):
        assert word in ran.out
    assert "notAReal" not in ran.out + ran.err


def test_commands_end_quietly_when_their_reader_leaves(tmp_path):
    (tmp_path / "a").mkdir()
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a" / "1.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "synfill", "analyze", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()
