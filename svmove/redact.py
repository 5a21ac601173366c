"""URIs as they may be told: without what could be a secret."""

import re

# user:password@, up to the last @ of the authority (a password may have a / or an @ in it), and query values.
_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:/@?#]*):.*@")
_QUERY = re.compile(r"(?P<key>[?&;][^=&;#]*(?:pass|secret|key|token)[^=&;#]*=)[^&;#]*", re.IGNORECASE)


def redact(uri: str) -> str:
    """``postgresql://me:***@host/db?password=***``; anything else as it is."""
    return _QUERY.sub(r"\g<key>***", _PASSWORD.sub(r"\g<user>:***@", uri))
