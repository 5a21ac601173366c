"""Samples of all disks' counters, by which pools are balanced: one row a sample, which may be lost."""

import json
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import sqlalchemy as sa

from svmove.fleet import Counters
from svmove.journal.schema import samples
from svmove.latency import Sample

Transaction = Callable[[], AbstractContextManager[sa.Connection]]


class Samples:
    """Raises JournalError."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def add(self, uri: str, sample: Sample, keep_since: float) -> None:
        """Older ones than `keep_since` (Unix time) are forgotten."""
        with self._transaction() as connection:
            connection.execute(samples.insert().values(uri=uri, at=sample.at, data=_packed(sample)))
            connection.execute(samples.delete().where(samples.c.uri == uri, samples.c.at < keep_since))

    def read(self, uri: str, since: float) -> tuple[Sample, ...]:
        """Oldest first."""
        with self._transaction() as connection:
            wanted = sa.select(samples).where(samples.c.uri == uri, samples.c.at >= since).order_by(samples.c.at)
            return tuple(_unpacked(row.at, row.data) for row in connection.execute(wanted))


def _packed(sample: Sample) -> bytes:
    rows = [
        [*key, sample.pools.get(key), c.reads, c.writes, round(c.read_seconds, 6), round(c.write_seconds, 6)]
        for key, c in sample.counters.items()
    ]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)


def _unpacked(at: float, data: bytes) -> Sample:
    rows = json.loads(zlib.decompress(data))
    return Sample(
        at=at,
        counters={
            (uuid, target): Counters(reads=reads, writes=writes, read_seconds=reading, write_seconds=writing)
            for uuid, target, _, reads, writes, reading, writing in rows
        },
        pools={(row[0], row[1]): row[2] for row in rows if row[2] is not None},
    )
