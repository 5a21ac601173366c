"""`python -m svmove`."""

from svmove.cli.main import main

main()
