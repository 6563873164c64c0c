"""`python -m crowd`: the command line where the `crowd` script is not installed or not on PATH."""

from crowd.cli import main

if __name__ == "__main__":
    main(prog_name="crowd")
