"""Durable records of moves: what was intended, and what became of it."""

from svmove.journal.lock import working_on
from svmove.journal.records import Entry, Kind, Record
from svmove.journal.store import Journal, default_url

__all__ = ["Entry", "Journal", "Kind", "Record", "default_url", "working_on"]
