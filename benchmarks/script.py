"""What most teams have: one pandas script with Great Expectations at the end.

It pseudonymizes with HMAC, derives the same tables and validates each with Great Expectations
in the safe result format. Straightforward, neither tuned nor slowed down.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["GX_ANALYTICS_ENABLED"] = "False"

import duckdb
import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd

KEY = b"a benchmark needs no secret key."
COMPLETE = ["completed", "passed", "waived"]
DATES = {"Assigned Date": "assigned_at", "Started Date": "started_at", "Due Date": "due_at"}
SENSITIVE = r"(?i)burnout|mental|health|shop steward|union|concern|whistle"
K = 5
Pseudonymize = Callable[[pd.DataFrame], pd.DataFrame]


def pseudonym(identifier: str) -> str:
    return hmac.new(KEY, str(identifier).encode(), hashlib.sha256).hexdigest()[:32]


def pseudonymize(rows: pd.DataFrame) -> pd.DataFrame:
    """References of learners and managers."""
    return rows.assign(
        learner_ref=rows["Employee ID"].map(pseudonym),
        manager_ref=rows["Manager ID"].map(pseudonym),
    )


def typed(folder: Path) -> pd.DataFrame:
    """Read, type, resolve, deduplicate."""
    rows = pd.read_csv(folder / "learning_history.csv", dtype=str)
    people = pd.read_csv(folder / "hr_roster.csv", dtype=str)
    rows = rows.dropna(subset=["Employee ID"])
    rows = rows[rows["Status"] != "???"]
    columns = ["Employee ID", "Manager ID", "Department", "Country"]
    rows = rows.drop(columns=columns[1:]).merge(people[columns], on="Employee ID", how="left")
    for delivered, name in DATES.items():
        rows[name] = pd.to_datetime(rows[delivered], errors="coerce", utc=True)
    event = rows["Completed Date"].fillna(rows["Started Date"]).fillna(rows["Assigned Date"])
    rows["event_at"] = pd.to_datetime(event, errors="coerce", utc=True, format="ISO8601")
    rows["status"] = rows["Status"].str.lower().str.replace(" ", "_")
    rows["score"] = (
        pd.to_numeric(rows["Score"], errors="coerce")
        * 100
        / pd.to_numeric(rows["Max Score"], errors="coerce")
    )
    rows["complete"] = rows["status"].isin(COMPLETE)
    rows["on_time"] = rows["complete"] & (rows["event_at"] <= rows["due_at"])
    days = (rows["event_at"] - rows["assigned_at"]).dt.total_seconds() / 86400
    rows["days"] = days.where(rows["complete"])
    rows["score_band"] = pd.cut(rows["score"], [-1, 50, 80, 101], labels=["low", "mid", "high"])
    rows["period"] = rows["event_at"].dt.strftime("%Y-%m")
    rows["has_comment"] = rows["Comments"].notna()
    key = ["Employee ID", "Course Code", "Item Type", "Assigned Date"]
    return rows.sort_values("event_at").drop_duplicates(subset=key, keep="last")


def coaching(rows: pd.DataFrame, cell: str) -> pd.DataFrame:
    """One aggregated table; cells under K people left out."""
    bands = pd.get_dummies(rows["score_band"]).add_prefix("share_").astype(float)
    grouped = rows.assign(**{name: bands[name] for name in bands}).groupby(cell)
    table = grouped.agg(
        learners=("learner_ref", "nunique"),
        records=("learner_ref", "size"),
        completion_rate=("complete", "mean"),
        on_time_rate=("on_time", "mean"),
        median_days=("days", "median"),
        **{name: (name, "mean") for name in bands},
    ).reset_index()
    return table[table["learners"] >= K]


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The published tables."""
    ordinary = rows[~rows["Course Title"].str.contains(SENSITIVE)]
    return {
        "coaching_team": coaching(ordinary, "manager_ref"),
        "coaching_course": coaching(ordinary, "Course Code"),
        "coaching_department": coaching(ordinary, "Department"),
        "coaching_period": coaching(ordinary, "period"),
        "manager_extract": ordinary[
            ["manager_ref", "learner_ref", "Course Code", "complete", "status"]
        ],
        "analytics_milestones": ordinary[
            [
                "learner_ref",
                "Item Type",
                "Country",
                "Department",
                "Course Code",
                "period",
                "status",
                "score_band",
            ]
        ],
        "hr_legal_detail": rows.drop(
            columns=["Employee ID", "Full Name", "Email", "Manager ID", "Comments"]
        ),
    }


def validate(name: str, table: pd.DataFrame) -> None:
    """Great Expectations over one table; raises on a leak."""
    context = gx.get_context(mode="ephemeral")
    batch = (
        context.data_sources.add_pandas(name)
        .add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe(name)
        .get_batch({"dataframe": table})
    )
    rules: list[object] = [gxe.ExpectTableColumnsToMatchSet(column_set=list(table.columns))]
    for column in table.columns:
        if column.endswith("_ref"):
            rules.append(gxe.ExpectColumnValuesToMatchRegex(column=column, regex="^[0-9a-f]{32}$"))
        elif table[column].dtype.kind in "OT" or str(table[column].dtype) in ("str", "string"):
            rules.append(gxe.ExpectColumnValuesToNotMatchRegex(column=column, regex="@"))
        elif column.startswith(("share_", "completion_rate", "on_time_rate")):
            rules.append(gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, max_value=1))
    suite = gx.ExpectationSuite(name=name, expectations=rules)
    if not batch.validate(suite, result_format="BOOLEAN_ONLY").success:
        raise SystemExit(f"{name}: leak")


def main(folder: Path, work: Path, how: Pseudonymize = pseudonymize) -> None:
    work.mkdir(parents=True, exist_ok=True)
    limit = {"memory_limit": os.environ["MILESTONES_MEMORY"]}
    with duckdb.connect(str(work / "script.duckdb"), config=limit) as connection:
        for name, table in tables(how(typed(folder))).items():
            validate(name, table)
            connection.register("frame", table)
            connection.execute(f"CREATE TABLE {name} AS FROM frame")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
