"""`python -m tinycl`: the command line without its script, for instance from a checkout."""

from tinycl.cli import main

main(prog_name="tinycl")
