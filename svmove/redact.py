"""What may be told: URIs and errors without what could be a secret."""

import re

# user:password@, up to the last @ of the authority (a password may have a / or an @ in it), and query values.
_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:/@?#]*):.*@")
_QUERY = re.compile(r"(?P<key>[?&;][^=&;#]*(?:pass|secret|key(?!file)|token)[^=&;#]*=)[^&;#]*", re.IGNORECASE)

# QEMU's old form, rbd:pool/image:id=user:key=VALUE:..., which it repeats in its errors and in image headers; a colon in
# a value has a backslash before it. In its JSON that is "=keyvalue-pairs": "[\\"key\\", \\"VALUE\\", ...]".
_RBD_KEY = re.compile(r"(?<=:key=)(?:\\.|[^:\\\s'\"])+|(?<=\\\"key\\\", \\\")[^\\\"]+|(?<=\"key\", \")[^\"]+")


def redact(uri: str) -> str:
    """``postgresql://me:***@host/db?password=***``; anything else as it is."""
    return without_keys(_QUERY.sub(r"\g<key>***", _PASSWORD.sub(r"\g<user>:***@", uri)))


def without_keys(text: str) -> str:
    """Any text in which QEMU or libvirt may name an image: without the keys of its old form."""
    return _RBD_KEY.sub("***", text) if "rbd" in text else text
