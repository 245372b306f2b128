-- Text functions that every connection has (pipeline/storage/engine.py loads them).
-- A macro reads nothing but its parameters, so that the lineage of a column that calls one is that
-- of its arguments.
-- (The linter takes the parameters of a macro for types and its body for a clause.)
-- noqa: disable=CP05,LT02

-- A text without case and accents, so that BJORN YILMAZ is Björn Yılmaz.
CREATE OR REPLACE TEMP MACRO folded(value) AS
    replace(lower(strip_accents(value)), 'ı', 'i');

-- A country's code or name as they are compared: without case, accents, blanks and punctuation, and
-- without an article. A plus sign stays, since +43 is a telephone code and no number of ISO 3166-1.
CREATE OR REPLACE TEMP MACRO country_key(value) AS
    regexp_replace(
        replace(replace(replace(replace(
            regexp_replace(folded(trim(value)), '^the\s+', ''),
            'ß', 'ss'), 'ł', 'l'), 'ø', 'o'), '&', 'and'),
        '[\s.,''’`´()_\-]+', '', 'g'
    );

-- The words of a text, without what stands between them.
CREATE OR REPLACE TEMP MACRO text_words(value) AS
    regexp_split_to_array(value, '[\s,;:()"/]+');

-- Every run of one to four words of a text, folded. The text is split once, for all lengths n.
CREATE OR REPLACE TEMP MACRO word_grams(value) AS
    flatten(list_transform(
        [text_words(folded(value))],
        LAMBDA words: flatten(list_transform(range(1, 5), LAMBDA n: list_transform(
            range(1, len(words) - n + 2),
            LAMBDA i: array_to_string(words[i:i + n - 1], ' ')
        )))
    ));

-- Does a raw identifier say what kind of identifier it is? NULL stays NULL.
CREATE OR REPLACE TEMP MACRO is_namespaced(value) AS
    regexp_matches(value, '^(emp|mbox|sha1|openid|acct|ou):.');

-- Does a text look like it names or numbers a person: an e-mail address, a long number, or an
-- employee id? The patterns follow Presidio's recognizers and err towards finding too much.
CREATE OR REPLACE TEMP MACRO looks_personal(value) AS
    coalesce(regexp_matches(
        value,
        '(?:[^\s@]+@[^\s@]+)|(?:(\d[\s().\-]?){7,})|(?:(?i)\b(emp|mbox|sha1|openid|acct|ou):)'
    ), FALSE);

-- A score (0 to 100) as a band.
CREATE OR REPLACE TEMP MACRO score_band(score) AS
    CASE
        WHEN score IS NULL THEN 'unscored'
        WHEN score < 50 THEN 'low'
        WHEN score < 80 THEN 'mid'
        ELSE 'high'
    END;

-- Is the milestone reached?
CREATE OR REPLACE TEMP MACRO is_complete(status) AS
    status IN ('completed', 'passed', 'waived');

-- What an exam found; 'none' for what is no exam, or not over.
CREATE OR REPLACE TEMP MACRO outcome_of(status) AS
    CASE WHEN status IN ('passed', 'failed') THEN status ELSE 'none' END;

-- The first day of an instant's month.
CREATE OR REPLACE TEMP MACRO month_of(instant) AS
    date_trunc('month', instant)::DATE;

-- 128 bits that name a record through all its revisions.
CREATE OR REPLACE TEMP MACRO record_key_of(
    source, learner_id, course_code, record_type, occurrence
) AS
    md5_number(concat_ws(chr(31), source, learner_id, course_code, record_type, occurrence))::UUID;

-- The first instant that a record is known by; NULL if it has none.
CREATE OR REPLACE TEMP MACRO known_start(event_at, started_at, assigned_at) AS
    coalesce(event_at, started_at, assigned_at);

-- Is a window over? It started at `start`, or where that is NULL on the day of the delivery that
-- first brought the record; what started before `instant`, or on `day` or before, is over.
CREATE OR REPLACE TEMP MACRO is_over(start, first_seen, instant, day) AS
    CASE WHEN start IS NOT NULL THEN start < instant ELSE first_seen <= day END;
