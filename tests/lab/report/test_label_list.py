"""Doubtful labels as CSV, and the list of all other images."""

import csv
import io
from dataclasses import replace

import numpy as np
from report_cases import example

from torchdiscern.lab.inspecting.label_list import as_csv, other_files
from torchdiscern.lab.report.contents import Contents, Suspicions

N = 1_500
FILES = ["=2+2.png", "@x.png", "two\nlines.png", *(f"{row}.png" for row in range(3, N))]


def doubtful(rows: range) -> Contents:
    contents = example(N, 4, 6, files=FILES)
    many = len(rows)
    found = Suspicions(
        rule="",
        rows=np.array(rows, np.int32),
        margin=np.linspace(-1, -0.1, many, dtype=np.float32),
        nearer=np.zeros(many, np.int32),
        spoke=np.full((many, 4), -1, np.int32),
    )
    return replace(contents, networks=[replace(contents.networks[0], suspicions=found)])


def test_all_are_listed_however_many() -> None:
    contents = doubtful(range(3, 1_103))
    rows = list(csv.reader(io.StringIO(as_csv(contents))))
    assert [row[0] for row in rows[1:]] == FILES[3:1_103]
    kept, bad = other_files(contents)
    assert kept == [*FILES[:2], *FILES[1_103:]]
    assert bad == ["two\nlines.png"]


def test_no_name_is_a_formula() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(doubtful(range(4))))))
    assert [row[0] for row in rows[1:]] == ["'=2+2.png", "'@x.png", "two\nlines.png", "3.png"]
