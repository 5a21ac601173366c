"""`svmove policy`: what is in force and from where, whether a file is right, and the schema for editors."""

import dataclasses
import os
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svmove.cli import plan
from svmove.cli.context import options, print_json, stderr, stdout
from svmove.cli.exits import Exit
from svmove.layers import files

if TYPE_CHECKING:
    from svmove.layers.fault import Fault
    from svmove.layers.stack import Layer

app = typer.Typer(help="The policy: limits, reserves and defaults, in layers.", no_args_is_help=True)

# Options of `svmove move`, by the key that each comes before.
_OPTIONS = {"max_pause": "--max-pause", "deadline": "--deadline", "bandwidth": "--bandwidth"}

Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="alone, or one over the other, the lowest first; without: all in force"),
]


@app.command("show")
def show(
    context: typer.Context,
    max_pause: plan.MaxPause = None,
    deadline: plan.Deadline = None,
    bandwidth: plan.Bandwidth = None,
    json: plan.Json = False,
) -> int:
    """Every key as it is in force, and where that is written: a file and its line, an option, or the default."""
    from svmove.layers.entries import entries
    from svmove.layers.fault import PolicyError
    from svmove.layers.judge import judge
    from svmove.layers.stack import Layer, read
    from svmove.policy import Policy

    paths = files.layers(os.environ, options(context).policy)
    layers, unread = read(paths)
    given = {"max_pause": max_pause, "deadline": deadline, "bandwidth": bandwidth}
    layers += tuple(
        Layer(name=_OPTIONS[key], document={"move": {key: value}}) for key, value in given.items() if value is not None
    )
    made, wrong = judge(layers, Policy)
    if unread or wrong:
        raise PolicyError((*unread, *wrong))
    found = entries(made, layers)
    if json:
        keys = [
            {"key": one.key, "value": one.written, "number": one.number, **_source(one.layer, one.line)}
            for one in found
        ]
        print_json({"schema": 1, "layers": [str(path) for path in paths], "keys": keys})
        return Exit.OK
    from svmove.view import tables

    rows = [(one.key, _shown(one.written), _place(one.layer, one.line)) for one in found]
    tables.show(stdout(), tables.table(("key", "value", "from"), rows))
    looked = [path for path in files.found_by_themselves(os.environ) if path not in paths]
    if looked:
        stderr().print("not there: " + ", ".join(map(str, looked)), markup=False)
    return Exit.OK


@app.command("check")
def check(context: typer.Context, file: Files = None, json: plan.Json = False) -> int:
    """Tell all that is wrong with a policy file, each with its line. Exits with 2 when there is something."""
    from svmove.layers.judge import judge
    from svmove.layers.stack import read
    from svmove.policy import Policy

    paths = tuple(file) if file else files.layers(os.environ, options(context).policy)
    layers, unread = read(paths)
    _, wrong = judge(layers, Policy)
    found = (*unread, *wrong)
    if json:
        print_json(
            {
                "schema": 1,
                "files": [str(path) for path in paths],
                "valid": not found,
                "errors": [_document(fault) for fault in found],
            }
        )
    elif found:
        for fault in found:
            print(fault.said)
            if fault.remedy:
                print(f"    {fault.remedy}")
    else:
        print("\n".join(f"{path}: good" for path in paths) or "no policy file: all is by default")
    return Exit.USAGE if found else Exit.OK


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of a policy file, for editors."""
    from svmove.layers.schema import document

    print_json(document())


def _document(fault: "Fault") -> dict[str, Any]:
    found = dataclasses.asdict(fault)
    return {"file": found.pop("layer"), **found}


def _source(layer: "Layer | None", line: int | None) -> dict[str, Any]:
    kind = "default" if layer is None else "option" if layer.text is None else "file"
    name = layer.name if layer else None
    return {
        "source": kind,
        "file": name if kind == "file" else None,
        "line": line,
        "option": name if kind == "option" else None,
    }


def _place(layer: "Layer | None", line: int | None) -> str:
    if layer is None:
        return "default"
    return layer.name if line is None else f"{layer.name}:{line}"


def _shown(written: Any) -> str:
    """As TOML has it, and JSON too, but for tables, which have rows of their own."""
    return dumps(written, ensure_ascii=False)
