"""Durable records of moves: what was intended, and what became of it."""

from svmove.journal.board import Figures, Notice
from svmove.journal.database import Worker
from svmove.journal.lock import await_release, owner, working_on
from svmove.journal.records import Entry, Kind, Record, Summary
from svmove.journal.requests import Ask
from svmove.journal.slots import Slots
from svmove.journal.store import Journal, default_url

__all__ = [
    "Ask",
    "Entry",
    "Figures",
    "Journal",
    "Kind",
    "Notice",
    "Record",
    "Slots",
    "Summary",
    "Worker",
    "await_release",
    "default_url",
    "owner",
    "working_on",
]
