"""benchmarks/script.py with Presidio in place of its own pseudonyms: presidio-structured told which
column holds what, with an operator that keeps people apart (HMAC), as its documentation shows.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from presidio_anonymizer.entities import OperatorConfig
from presidio_structured import PandasDataProcessor, StructuredAnalysis, StructuredEngine

from benchmarks import script

COLUMNS = {"learner_ref": "PERSON_ID", "manager_ref": "PERSON_ID"}


def pseudonymize(rows: pd.DataFrame) -> pd.DataFrame:
    """References of learners and managers, by Presidio's engine."""
    # Its engine sets value after value, each of which would take an Arrow column's whole length.
    given = rows.assign(
        learner_ref=rows["Employee ID"].astype(object),
        manager_ref=rows["Manager ID"].astype(object),
    )
    hashed = OperatorConfig("custom", {"lambda": script.pseudonym})
    engine = StructuredEngine(data_processor=PandasDataProcessor())
    found: pd.DataFrame = engine.anonymize(
        given, StructuredAnalysis(entity_mapping=COLUMNS), operators={"PERSON_ID": hashed}
    )
    return found


if __name__ == "__main__":
    script.main(Path(sys.argv[1]), Path(sys.argv[2]), pseudonymize)
