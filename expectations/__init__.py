"""Great Expectations suites over value-free evidence, one suite per boundary.

The data never enters Great Expectations: DuckDB counts, per column and rule, the rows that break
it, and the suites expect every declared count to be there and to be nought. A result can
therefore hold no value, whatever its result format.
"""
