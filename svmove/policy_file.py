"""The policy of some files (TOML), one over the other. `svmove.layers` has what it takes."""

from pathlib import Path

from svmove.policy import Policy


def load_policy(*files: Path) -> Policy:
    """Lowest first; what all of them leave out has its default. Without a file nothing is imported (0.1 s).

    Raises PolicyError (a UsageError): all that is wrong, with file, line and key.
    """
    if not files:
        return Policy()
    from svmove.layers.fault import PolicyError
    from svmove.layers.judge import judge
    from svmove.layers.stack import read

    layers, unread = read(files)
    made, wrong = judge(layers, Policy)
    if unread or wrong:
        raise PolicyError((*unread, *wrong))
    assert isinstance(made, Policy)
    return made
