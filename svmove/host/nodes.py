"""Images as QEMU's block layer is told of them (qemu-img compare json:{...})."""

from svmove.host import direct


def image_node(path: str, format_: str, *, layer: bool = False) -> dict[str, object]:
    """QEMU's description of an image; `layer`: without what lies below it.

    Past the page cache: what lies on the storage counts, and a third of the time is saved (docs/internals.md).
    """
    cache = {"cache": {"direct": direct.takes(path)}}
    file: dict[str, object] = {"driver": "file", "filename": path, **cache}
    if format_ == "raw":
        return file
    below = {"backing": None} if layer else {}
    return {"driver": format_, "file": file, **cache, **below}


def sliced(whole: dict[str, object], offset: int, length: int) -> dict[str, object]:
    cache = {"cache": whole["cache"]} if "cache" in whole else {}
    return {"driver": "raw", "offset": offset, "size": length, "file": whole, **cache}
