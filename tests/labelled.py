"""Texts of which is known what personal thing stands in them, and a roster; seeded."""

from __future__ import annotations

import polars as pl
from numpy.random import default_rng

from pipeline.demo.generate import FIRST, LAST

FRAMES = [
    "Onboarding with {}",
    "{}: security basics",
    "Coaching ({})",
    "Excel for {}, level 2",
    "Feedback from {} on the fire drill",
    "ask {} about module 3",
]
# Nothing personal, however much some of it looks like it.
CLEAN = [
    "Security basics",
    "ISO 27001:2022 essentials",
    "Excel 2019, level 2",
    "GDPR Art. 28",
    "Fire drill of 2026-10-11",
    "24/7 support",
    "C++20 in a day",
    "Budget of 1,250,000 EUR",
    "Room 4711",
    "Shift 12:30-13:45",
    "Version 10.4.2",
    "Selling @ scale",
    "SOX 404 for all",
    "RFC 9110",
    "Forklift licence",
    "Rose gardens: pruning",
    "Mark your calendar",
]
# Kinds that the net is made for, and those that it cannot know.
MEANT = ("email", "phone", "iban", "number", "name", "name in capitals", "last name first")
BEYOND = ("first name", "misspelt name", "stranger")


def roster(people: int = 300) -> pl.DataFrame:
    """Columns number, name, email."""
    rng = default_rng(2)
    first, last = rng.choice(FIRST, people), rng.choice(LAST, people)
    return pl.DataFrame(
        {
            "number": [str(8_100_000 + n) for n in range(people)],
            "name": [f"{a} {b}" for a, b in zip(first, last, strict=True)],
            "email": [f"p{n}.x@corp.example" for n in range(people)],
        }
    )


def _iban(account: str) -> str:
    """A German account's IBAN (ISO 13616), in groups of four; D and E are 13 and 14."""
    whole = f"DE{98 - int(account + '131400') % 97:02d}{account}"
    return " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def texts(of_each: int = 200) -> pl.DataFrame:
    """Columns text, kind ('' where nothing personal stands in it)."""
    rng, people = default_rng(3), roster()
    output: list[tuple[str, str]] = [(text, "") for text in CLEAN for _ in range(of_each // 4)]
    for kind in (*MEANT, *BEYOND):
        for at in rng.integers(0, people.height, of_each):
            number, name, email = people.row(int(at))
            first, last = name.rsplit(" ", 1)
            digits = "".join(map(str, rng.integers(0, 10, 16)))
            what = {
                "email": email,
                "phone": f"+49 17{digits[0]} {digits[1:8]}",
                "iban": _iban(digits + "00"),
                "number": number,
                "name": name,
                "name in capitals": name.upper(),
                "last name first": f"{last}, {first}",
                "first name": first,
                "misspelt name": f"{first} {last[:-1]}zz",
                "stranger": f"Ottilie Quandt-{digits[:2]}",
            }[kind]
            output.append((str(rng.choice(FRAMES)).format(what), kind))
    return pl.DataFrame(output, schema=["text", "kind"], orient="row")


def score(found: pl.Series) -> pl.DataFrame:
    """Recall per kind ('' : the share of clean texts that were taken for personal), and in the row
    `precision` the share of the found that are personal, over what the net is made for."""
    judged = texts().with_columns(found=found)
    meant = judged.filter(pl.col("kind").is_in(["", *MEANT]) & pl.col("found"))
    recall = judged.group_by("kind", maintain_order=True).agg(pl.col("found").mean())
    precision = pl.DataFrame({"kind": ["precision"], "found": [(meant["kind"] != "").mean()]})
    return pl.concat([recall, precision])
