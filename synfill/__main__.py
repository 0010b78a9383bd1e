"""`python -m synfill`."""

from synfill.cli.app import main

if __name__ == "__main__":
    main()
