"""A pool that is to be empty, or to take disks again: what `svmove evacuate` would do, and what it did."""

from __future__ import annotations

from . import cli

# Of an earlier run of this pool's evacuation, or of somebody: `svmove evacuate` goes on with its own.
_UNDER_WAY = "move-running"


class Evacuating:
    """``svmove``: a `cli.Svmove`."""

    def __init__(self, svmove, params, check):
        self._svmove = svmove
        self._params = params
        self._check = check

    def run(self):
        """The module's result. Raises SvmoveError."""
        code, plan = self._evacuate("--dry-run")
        if self._params["state"] == "open":
            return self._open(plan)
        under_way = any(one["code"] == _UNDER_WAY for one in plan["unmovable"])
        if self._check or not (plan["moves"] or under_way or not plan["emptying"]):
            changed = bool(plan["moves"]) or under_way or not plan["emptying"]
            stays = [one for one in plan["unmovable"] if one["code"] != _UNDER_WAY]
            return self._told(code, {**plan, "unmovable": stays}, changed=changed, planned=plan["moves"])
        code, done = self._evacuate()
        return self._told(code, done, changed=True, planned=plan["moves"])

    def _evacuate(self, *words):
        given = [f"--to={pool}" for pool in self._params["to"]]
        given += [f"--parallel={self._params['parallel']}"]
        code, found = self._svmove("evacuate", *words, *given, "--", self._params["pool"])
        if "unmovable" not in found:  # it is the document of an error before anything was touched
            raise cli.failure(code, found)
        return code, found

    def _open(self, plan):
        changed = plan["emptying"]
        if changed and not self._check:
            self._svmove("evacuate", "--end", "--", self._params["pool"])
        return {
            **_common(plan, changed, "open"),
            "diff": {"before": {"emptying": plan["emptying"]}, "after": {"emptying": False}},
        }

    def _told(self, code, document, changed, planned):
        failed, stays = document.get("failed", []), document["unmovable"]
        result = {
            **_common(document, changed, document["state"]),
            "moved": document.get("moved", []),
            "failed_moves": failed,
            "estimate": document["estimate"],
            "diff": _difference(planned, document, changed),
        }
        if failed:
            first = cli.failure(code, failed[0])
            names = ", ".join(f"{one['domain']}: {one['state']}" for one in failed)
            raise self._error(first.code, f"not all could be moved: {names}; {first.text}", code, result)
        if stays and not self._params["allow_unmovable"]:
            names = ", ".join(_name(one) for one in stays)
            text = f"{len(stays)} can't move: {names}; {stays[0]['code']}: {stays[0]['text']}"
            raise self._error("unmovable", text, code, result, remedy=stays[0].get("remedy"))
        if document["state"] == "interrupted":
            raise self._error("interrupted", "nothing more was begun", code, result)
        return result

    def _error(self, code, text, rc, result, remedy=None):
        return cli.SvmoveError(code, text, **result, rc=rc, remedy=remedy)


def _common(document, changed, state):
    return {
        "changed": changed,
        "pool": document["pool"],
        "state": state,
        "to": document["to"],
        "unmovable": document["unmovable"],
        "moves": document["moves"],
    }


def _name(one):
    return f"{one['guest']}/{one['target']}" if one.get("guest") else one["volume"]


def _difference(planned, document, changed):
    """Guest and disk → its pool, of all that was to be moved and is, or would be, elsewhere."""
    if not changed:
        return {"before": {}, "after": {}}
    left = {(one["guest"], one["target"]) for one in document["moves"]} if "moved" in document else set()
    gone = [one for one in planned if (one["guest"], one["target"]) not in left]
    return {
        "before": {f"{one['guest']}/{one['target']}": one["pool_from"] for one in gone},
        "after": {f"{one['guest']}/{one['target']}": one["pool_to"] for one in gone},
    }
