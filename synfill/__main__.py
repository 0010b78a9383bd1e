"""`synfill` and `python -m synfill`: signals are taken over before anything large is imported."""

import sys

from synfill.cli.stopping import STOPPING, code_of


def main() -> None:
    """Run the command line, and end with its exit code."""
    STOPPING.install()
    code = 0
    try:
        from synfill.cli.app import main as run

        try:
            run()
        except SystemExit as end:
            code = code_of(end)
        STOPPING.end_with(code)
    except KeyboardInterrupt:
        # It came between two lines of this function; there is no second one.
        code = STOPPING.exit_code
        STOPPING.end_with(code)
        STOPPING.say_stopped()
    sys.exit(code)


if __name__ == "__main__":
    main()
