"""Precision and recall of the second net on a labelled set, beside Presidio's recognizers.

    python -m benchmarks.detection

Presidio (presidio-analyzer, which has to be installed for the comparison) runs its recognizers of
patterns and, as a deny-list, the same roster; no language model on either side.
"""

from __future__ import annotations

import time

import duckdb
import polars as pl

from pipeline.policy.detect import looks_personal
from pipeline.storage.engine import load_macros
from pipeline.subjects.denylist import entries_sql, grams_sql
from tests.labelled import roster, score, texts


def ours() -> pl.Series:
    """Which texts the deny-list or the patterns find."""
    people, given = roster(), texts().with_row_index("line")
    with duckdb.connect() as connection:
        load_macros(connection)
        connection.register("person", people.select(person="emp:" + pl.col("number")))
        connection.register("roster", people)
        connection.register("given", given)
        found = connection.sql(
            f"SELECT line, {looks_personal('text')} OR text IN (SELECT text FROM "
            f"({grams_sql('given')}) WHERE gram IN ({entries_sql('roster', 'person')})) AS found "
            "FROM given ORDER BY line"
        ).pl()
    return found["found"]


def presidio() -> pl.Series:
    """Which texts Presidio's pattern recognizers and a deny-list recognizer find."""
    from presidio_analyzer import PatternRecognizer
    from presidio_analyzer.predefined_recognizers import (
        EmailRecognizer,
        IbanRecognizer,
        PhoneRecognizer,
    )

    people = roster()
    denied = [*people["name"].unique(), *people["number"], *people["email"]]
    recognizers = [
        EmailRecognizer(),
        IbanRecognizer(),
        PhoneRecognizer(),
        PatternRecognizer("PERSON", deny_list=denied),
    ]
    return pl.Series(
        [
            any(r.analyze(text, r.supported_entities, None) for r in recognizers)
            for text in texts()["text"]
        ]
    )


def main() -> None:
    """Print a Markdown table."""
    shown = texts().group_by("kind", maintain_order=True).len("texts")
    for name, net in (("this pipeline", ours), ("Presidio", presidio)):
        began = time.perf_counter()
        found = net()
        seconds = time.perf_counter() - began
        told = score(found).rename({"found": name})
        shown = shown.join(told, "kind", how="full", coalesce=True, maintain_order="left_right")
        print(f"{name}: {seconds:.2f} s")
    print("| kind | texts | this pipeline | Presidio |")
    print("| --- | ---: | ---: | ---: |")
    for kind, count, mine, theirs in shown.iter_rows():
        label = "nothing personal (lower is better)" if kind == "" else kind
        print(f"| {label} | {count or ''} | {mine:.1%} | {theirs:.1%} |")


if __name__ == "__main__":
    main()
