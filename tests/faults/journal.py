"""An append-only file per worker: what was asked, what failed, what was answered. It outlives its writer."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


class Journal:
    """One line a write: a killed writer leaves whole lines."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, what: str, name: str = "", said: str = "") -> None:
        os.write(self.file, (json.dumps([what, name, said]) + "\n").encode())


@dataclass
class Told:
    """A journal as read: answers in their order, by step; the steps in the order of their first asking."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    #: step -> how often it was asked.
    asked: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    #: The step under way when the journal ends.
    open: str = ""


def read(path: Path) -> Told:
    told = Told()
    if not path.exists():
        return told
    for line in path.read_text().splitlines():
        what, name, said = json.loads(line)
        if what == "ask":
            told.asked[name] += 1
            told.answers.setdefault(name, [])
            told.open = name
        elif what == "answer":
            told.answers[name].append(said)
            told.open = ""
        elif what == "fail":
            told.failures[said] += 1
        elif what == "broken":
            told.broken.append(f"{name}: {said}")
        else:
            told.marks[what] += 1
    return told
