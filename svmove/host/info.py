"""What `qemu-img info` says, as a record."""

from typing import Any

from svmove.model import Image


def image_record(info: dict[str, Any], allocated_bytes: int) -> Image:
    """`info`: its JSON document. `allocated_bytes`: it does not know of every storage."""
    specific = info.get("format-specific", {}).get("data", {})
    return Image(
        format=info["format"],
        virtual_bytes=info["virtual-size"],
        allocated_bytes=allocated_bytes,
        cluster_bytes=info.get("cluster-size") if info["format"] == "qcow2" else None,
        compat=specific.get("compat"),
        extended_l2=bool(specific.get("extended-l2", False)),
        lazy_refcounts=bool(specific.get("lazy-refcounts", False)),
        data_file=specific.get("data-file"),
        encrypted=bool(info.get("encrypted", False)),
        payload_offset=specific.get("payload-offset", 0),
        internal_snapshots=tuple(snapshot["name"] for snapshot in info.get("snapshots", ())),
        bitmaps=tuple(bitmap["name"] for bitmap in specific.get("bitmaps", ())),
    )
