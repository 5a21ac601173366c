"""`svmove`: the global options, the list of commands, and the one place where errors become exit codes."""

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from svmove.cli import balance, cancel, decide, doctor, evacuate, inspect, lab, move, place, plan, resume, tasks
from svmove.cli import gc as leftovers
from svmove.cli import policy as layers
from svmove.cli import set as change
from svmove.cli.context import Options
from svmove.cli.exits import Exit, of_error
from svmove.errors import SvmoveError

app = typer.Typer(
    name="svmove",
    help="Moves the disks of a QEMU/KVM guest to another libvirt storage pool, while it runs or while it is off.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a fault is reported with a plain traceback, which can be copied
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from svmove import __version__

        print(f"svmove {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    connect: Annotated[
        list[str] | None,
        typer.Option(
            "--connect",
            "-c",
            metavar="URI|HOST",
            envvar="SVMOVE_CONNECT",
            help="libvirt's URI, or a host of the policy; tasks, pools, evacuate and doctor take several "
            "[LIBVIRT_DEFAULT_URI, else qemu:///system]",
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="SVMOVE_POLICY",
            help="limits, reserves and defaults (TOML), over those of /etc/svmove and ~/.config/svmove",
        ),
    ] = None,
    journal: Annotated[
        str | None,
        typer.Option(
            metavar="URL", envvar="SVMOVE_JOURNAL", help="where moves are recorded: sqlite:////path, postgresql://..."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="tell every act on stderr")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and stop")
    ] = False,
) -> None:
    context.obj = Options(connect=tuple(connect or ()), policy=policy, journal=journal, verbose=verbose)
    if verbose:
        import logging

        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")


app.command("move")(move.move)
app.command("plan")(plan.plan)
app.command("resume")(resume.resume)
app.command("tasks")(tasks.tasks)
app.command("show")(tasks.show)
app.command("wait")(tasks.wait)
app.command("set")(change.set_)
app.command("cancel")(cancel.cancel)
app.command("accept")(decide.accept)
app.command("rollback")(decide.rollback)
app.command("gc")(leftovers.gc)
app.command("doctor")(doctor.doctor)
app.command("evacuate")(evacuate.evacuate)
app.command("balance")(balance.balance)
app.command("sample")(balance.sample)
app.command("place")(place.place)
app.command("pools")(inspect.pools)
app.command("disks")(inspect.disks)
app.add_typer(layers.app, name="policy")
app.add_typer(lab.app, name="lab")


def main() -> None:
    # A short life with few cycles: the collector only costs here (15 % of the start).
    gc.set_threshold(100_000)
    code = run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Taking the interpreter down object by object is 0.25 s; whatever must last is in the journal.
    os._exit(code)


def run(arguments: list[str] | None = None) -> int:
    """The exit code of one command line."""
    try:
        done: Any = app(args=arguments, standalone_mode=False)
    except SvmoveError as error:
        print_error(error)
        return of_error(error)
    except typer.Abort:
        return Exit.INTERRUPTED
    except KeyboardInterrupt:  # of a command that changes nothing; `move` has its own way
        return Exit.INTERRUPTED
    except BrokenPipeError:  # `svmove pools | head`
        sys.stderr.close()
        return Exit.OK
    except Exception as error:
        # click's own errors, whose module typer does not export under a stable name
        show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if show is None or code is None:
            raise
        show()
        return int(code)
    return done if isinstance(done, int) else Exit.OK


def print_error(error: SvmoveError) -> None:
    print(f"svmove: {error.text}", file=sys.stderr)
    if error.remedy:
        print(f"        {error.remedy}", file=sys.stderr)
