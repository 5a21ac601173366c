"""Errors before anything was touched, as the JSON document that was asked for."""

from collections.abc import Callable

from svmove.cli.context import print_json
from svmove.cli.exits import of_error, refused
from svmove.errors import SvmoveError, UsageError


def documented(work: Callable[[], int], *, domain: str | None, json: bool) -> int:
    """The exit code of `work`. Without `json`, and for a command line without meaning, its error passes through."""
    try:
        return work()
    except UsageError:
        raise
    except SvmoveError as error:
        if not json:
            raise
        from svmove.view import document

        print_json(document.move(refused(domain, error)))
        return of_error(error)
