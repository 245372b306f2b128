"""Do retention_rules.yaml and the data map name the same tables and regions?"""

from __future__ import annotations

from pipeline.errors import PolicyError
from pipeline.policy.data_map import DataMap
from pipeline.policy.retention import Action, RetentionRules


def require_coverage(rules: RetentionRules, data_map: DataMap) -> None:
    """Stop the run when rules and data map do not name the same tables and regions.

    Raises:
        PolicyError: a table without a rule, a rule without its table, an unknown region, or two
            tables that are made from the same pseudonymized rows under different windows.
    """
    different = set(rules.tables) ^ set(data_map.published)
    if different:
        raise PolicyError(
            "retention_rules.yaml: tables and the data map's published tables differ in "
            f"{', '.join(sorted(different))}"
        )
    named = {r for o in rules.overrides for r in o.regions} | set(rules.zones) - {"default"}
    if named - set(data_map.regions):
        raise PolicyError(
            "retention_rules.yaml: regions not in the data map: "
            + ", ".join(sorted(named - set(data_map.regions)))
        )
    first: dict[str, str] = {}
    for table, spec in data_map.published.items():
        twin = first.setdefault(spec.audience, table)
        if rules.tables[twin].window != rules.tables[table].window:
            raise PolicyError(
                f"retention_rules.yaml: tables.{twin} and tables.{table} are made from the same "
                "rows and need the same window"
            )
    for table in (name for name, spec in data_map.published.items() if spec.k):
        _require_room_for_aggregates(rules, table)


def _require_room_for_aggregates(rules: RetentionRules, table: str) -> None:
    """A month can be kept as an aggregate only if it is still published when its records end."""
    for name, rule in rules.records.items():
        if rule.action is Action.AGGREGATE_THEN_ERASE and not rule.duration.within(
            rules.tables[table].duration
        ):
            raise PolicyError(
                f"retention_rules.yaml: the window of tables.{table} is shorter than that of "
                f"records.{name}, whose months are kept as aggregates"
            )
