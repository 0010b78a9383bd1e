"""`synfill demo`: the whole of it on built-in data, offline, on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from synfill.cli import analyze, balance, train
from synfill.cli.app import Quiet, Verbose, app, set_verbosity
from synfill.cli.output import ConsoleReporter, stdout

BALANCE: dict[str, Any] = {"model": "demo", "by": "class+ink", "target": "uniform:25"}
RECIPE = "demo"
METHODS = ("ce", "synaug-mixup-retrain")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The output folder.")] = Path("synfill-demo"),
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Run everything once on built-in data: real scans of digits in four inks, very uneven.

    Needs no network, no GPU and no token; a minute or two. Prints the commands it stands for.

    Example: [bold]synfill demo[/bold]
    """
    from synfill.balancing.analyze import analyze as run_analyze
    from synfill.balancing.run import run_balance
    from synfill.balancing.settings import make_settings
    from synfill.training.request import TrainSettings
    from synfill.training.run import run_train

    set_verbosity(verbose, quiet)
    console = stdout()
    console.print(
        "Real handwritten digits in four inks. Few images of most digits, and most images of a\n"
        "digit in that digit's own ink: class imbalance, group imbalance and a spurious\n"
        "correlation in one."
    )
    _command("synfill analyze demo --group ink")
    analyze.show(run_analyze("demo", group="ink"))
    options = " ".join(f"--{name} {value}" for name, value in BALANCE.items())
    _command(f"synfill balance demo {options} --out {out}")
    console.print(
        "The model was trained on the digits' whole pool: it stands in here for a public model,\n"
        "which has seen the whole web. It knows nothing else; on your data use another --model."
    )
    settings = make_settings({"source": "demo", "out": out, **BALANCE}, "The demo")
    reporter = ConsoleReporter()
    try:
        result = run_balance(settings, reporter)
    finally:
        reporter.close()
    balance.show(result)
    _command(f"synfill analyze {out} --group ink")
    analyze.show(run_analyze(out, group="ink"))
    trained = Path(f"{out}-trained")
    _command(
        f"synfill train {RECIPE} data.synthetic={out} --compare {','.join(METHODS)} --seeds 0 "
        f"--out {trained}"
    )
    console.print(
        "A classifier trained on the real images alone (ce), and one on real and synthetic images\n"
        "with Mixup, whose last layer is then trained again without (synaug-mixup-retrain). Both\n"
        "are tested on 2,000 other real images, as many of each digit in each ink."
    )
    training = TrainSettings(
        RECIPE, (f"data.synthetic={out}",), seeds=(0,), out=trained, compare=METHODS
    )
    reporter = ConsoleReporter()
    try:
        compared = run_train(training, reporter)
    finally:
        reporter.close()
    train.show(compared)
    console.print()
    console.print(f"Look at {out / 'synfill' / 'samples.png'}: real scans beside made ones,")
    console.print(
        f"and at {out / 'README.md'}: the dataset card, with the counts before and after."
    )
    console.print("On your own data: synfill analyze FOLDER, then synfill balance FOLDER --dry-run")


def _command(line: str) -> None:
    stdout().print(Text(f"\n$ {line}\n", "bold"))
