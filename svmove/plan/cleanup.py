"""What becomes of the sources, where a request leaves it to the policy."""

from dataclasses import replace

from svmove.policy import After, CleanupPolicy
from svmove.requests import Request


def settled(request: Request, policy: CleanupPolicy) -> Request:
    if request.keep_source or request.keep_for is not None or request.delete_source:
        return request
    if policy.source is After.KEEP:
        return replace(request, keep_source=True)
    return replace(request, keep_for=policy.keep_for)
