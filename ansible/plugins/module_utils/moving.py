"""One guest's disks to where they belong: look, take up what was left, move, look again.

A guest never has two moves. What is to be done is told by `svmove plan` and `svmove tasks`, never by texts.
"""

from __future__ import annotations

from . import cli, request

# A move that was left, one that somebody works on meanwhile, and then our own.
_ROUNDS = 4


class Moving:
    """``svmove``: a `cli.Svmove`."""

    def __init__(self, svmove, params, check):
        self._svmove = svmove
        self._params = params
        self._check = check
        self._resumed = []
        self._last = None  # the document of a move that was there, and has ended meanwhile

    def run(self):
        """The module's result. Raises SvmoveError."""
        for _round in range(_ROUNDS):
            code, plan = self._svmove("plan", *request.planned(self._params))
            mine = self._open(plan)
            if mine is None:
                return self._begin(code, plan)
            result = self._take_up(mine)
            if result is not None:
                return result
        raise cli.SvmoveError("move-running", f"other moves of {self._params['domain']} come before this one")

    def _open(self, plan):
        """The move that the guest has already, as `svmove tasks` lists it."""
        domain = plan.get("domain") or self._params["domain"]
        _code, found = self._svmove("tasks")
        mine = [task for task in found["tasks"] if task["domain"] == domain and task.get("here", True)]
        return mine[0] if mine else None

    def _begin(self, code, plan):
        before = self._last is not None
        if plan["state"] == "already-there":
            return self._result(self._last or plan, changed=before)
        if plan["state"] != "planned":
            raise self._told(code, plan, changed=before)
        if self._check:
            return {**self._result(plan, changed=True), "estimate": plan["estimate"]}
        code, ended = self._svmove("move", *request.moved(self._params, detach=not self._params["wait"]))
        return self._ended(code, ended)

    def _take_up(self, task):
        """The module's result; None: that move has ended, and it is to be looked again."""
        move, state = task["move"], task["state"]
        if state in ("held", "unknown"):
            raise self._undecided(task)
        if state == "running" and not self._params["wait"]:
            return {**self._recorded(move, changed=False), "state": "running"}
        if state == "left" and not self._params["resume"]:
            raise cli.SvmoveError(
                "unfinished",
                f"move {move} of {task['domain']} was left in phase {task['phase']}",
                move=move,
                state="left",
                remedy=f"svmove resume {move}",
            )
        if state == "left":
            self._resumed.append(move)
        if self._check:
            return {**self._recorded(move, changed=True), "state": "planned"}
        detach = [] if self._params["wait"] else ["--detach"]
        code, ended = self._svmove("wait", move) if state == "running" else self._svmove("resume", *detach, move)
        if ended["state"] == "started":
            return self._result(ended, changed=True)
        # What had been asked to stop before it was left is stopped now; this task asks for it anew.
        stopped = state == "left" and (ended.get("error") or {}).get("code") == "interrupted" and code in (4, 130)
        if ended["state"] in ("done", "already-there", "handed-over"):
            self._last = ended
        elif not stopped:
            raise self._told(code, ended)
        return None

    def _undecided(self, task):
        move = task["move"]
        error = {}
        if task["state"] == "held":
            error = self._svmove("show", move)[1].get("error") or {}
        return cli.SvmoveError(
            error.get("code") or "unfinished",
            error.get("text") or f"only the domain's marker knows of move {move}",
            move=move,
            state=task["state"],
            guest_on=error.get("guest_on"),
            remedy=error.get("remedy") or f"svmove resume {move}",
        )

    def _recorded(self, move, changed):
        _code, found = self._svmove("show", move)
        return self._result(found, changed=changed)

    def _ended(self, code, ended):
        if code == 0:
            return self._result(ended, changed=ended["state"] != "already-there")
        raise self._told(code, ended)

    def _told(self, code, document, changed=False):
        error = cli.failure(code, document)
        held = document.get("state") == "held"
        error.found.update(changed=changed or held, resumed=self._resumed)
        return error

    def _result(self, document, changed):
        seconds = document.get("seconds") or {}
        disks = document.get("disks") or []
        return {
            "changed": changed,
            "move": document.get("move"),
            "state": document["state"],
            "domain": document["domain"],
            "method": document["method"],
            "disks": disks,
            "media": document.get("media") or [],
            "seconds": seconds,
            "pause": seconds.get("pause"),
            "bytes": sum(disk.get("copied_bytes", disk.get("copy_bytes", 0)) for disk in disks),
            "findings": document.get("findings") or [],
            "resumed": list(self._resumed),
            "diff": difference(disks + (document.get("media") or [])) if changed else {"before": {}, "after": {}},
        }


def difference(disks):
    """Of a plan's disks, or of a move's: where each was, and where it is then."""
    before, after = {}, {}
    for disk in disks:
        target = disk["target"]
        before[target] = {"source": disk.get("source")}
        after[target] = {"source": disk.get("destination")}
        if "pool_from" in disk:
            before[target]["pool"] = disk["pool_from"]
        after[target]["pool"] = disk.get("pool_to")
        if "format_from" in disk:
            before[target]["format"] = disk["format_from"]
            after[target]["format"] = disk["format"]
    return {"before": before, "after": after}
