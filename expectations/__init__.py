"""What must hold at each boundary of the data's way, as Great Expectations suites.

    canonical.py      one delivery as read: schema, vocabularies, scales, quarantine
    classified.py     resolved people, and sensitive courses tagged as such
    pseudonymized.py  one audience's rows: its columns, its pseudonyms, its courses
    published.py      one staged table, before it may be released

Each of them lists its rules and has one function, `validate`. A rule of a single column of the
pseudonymized and published tables is not listed there: it is the `rule` of the column's entry in
data_map.yaml, and domains.py says what each of those rules allows.

The data itself never enters Great Expectations. DuckDB counts per rule the rows that break it
(evidence.py), and the suite expects every declared count to be there and to be zero (suite.py). A
result can therefore hold no value, whatever its format.
"""
