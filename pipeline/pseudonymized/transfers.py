"""May these very rows go where the policy sends them?"""

from __future__ import annotations

import duckdb

from pipeline.context import Context
from pipeline.policy.fields import Audience
from pipeline.policy.governance_checks import require_flows
from pipeline.storage.relations import classified


def require_flows_of(
    connection: duckdb.DuckDBPyConnection, context: Context, audience: Audience
) -> None:
    """Stop before an audience's rows are made, if a region's data may not go to a recipient.

    Raises:
        PolicyError: naming region, audience and recipient.
    """
    found = connection.execute(
        f"SELECT DISTINCT region FROM {classified(context.layout)}"
    ).fetchall()
    require_flows(context.governance, context.data_map, audience, [region for (region,) in found])
