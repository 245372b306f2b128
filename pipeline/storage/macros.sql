-- Text functions that every connection has (pipeline/storage/engine.py loads them).
-- A macro reads nothing but its parameters, so that the lineage of a column that calls one is that
-- of its arguments.
-- (The linter takes the parameters of a macro for types and its body for a clause.)
-- noqa: disable=CP05,LT02

-- A text without case and accents, so that BJORN YILMAZ is Björn Yılmaz.
CREATE OR REPLACE TEMP MACRO folded(value) AS
    replace(lower(strip_accents(value)), 'ı', 'i');

-- A delivered value without the blanks around it, whatever they are called in Unicode: separators,
-- controls such as tabs, and characters of no width. NULL if nothing is left. Most values begin and
-- end with a visible ASCII character, which is quickly seen.
CREATE OR REPLACE TEMP MACRO stripped(value) AS
    CASE
        WHEN value BETWEEN '!' AND '~' AND value[-1] BETWEEN '!' AND '~' THEN value
        ELSE nullif(regexp_replace(
            value, '^[\pZ\p{Cc}\p{Cf}]+|[\pZ\p{Cc}\p{Cf}]+$', '', 'g'
        ), '')
    END;

-- A TIMESTAMPTZ as a naive timestamp in UTC. AT TIME ZONE would call ICU for every row, though UTC
-- has no rules.
CREATE OR REPLACE TEMP MACRO in_utc(moment) AS
    make_timestamp(epoch_us(moment));

-- What clocks show in a zone at an instant (naive, UTC), and the instant at which they show it.
CREATE OR REPLACE TEMP MACRO wall_time(instant, zone) AS
    timezone(zone, make_timestamptz(epoch_us(instant)));
CREATE OR REPLACE TEMP MACRO instant_of(wall, zone) AS
    in_utc(timezone(zone, wall));

-- An ISO 8601 date or time (RFC 3339 with its small letters, and XML's dates with an offset, which
-- are that date), in UTC if an offset is written and otherwise as written; NULL if it is none. The
-- session's time zone has to be UTC, and is (pipeline/storage/engine.py). DuckDB's words for
-- instants, such as infinity, begin with a letter.
CREATE OR REPLACE TEMP MACRO iso_time(value) AS
    CASE
        WHEN NOT value BETWEEN '0' AND ':' THEN NULL
        WHEN length(value) <= 10 THEN try_cast(value AS TIMESTAMP)
        ELSE in_utc(coalesce(
            try_cast(value AS TIMESTAMPTZ),
            try_cast(replace(upper(value), ',', '.') AS TIMESTAMPTZ),
            CASE
                WHEN regexp_full_match(value, '\d{4}-\d{2}-\d{2}(Z|[+-]\d{2}:\d{2})')
                    THEN try_cast(left(value, 10) AS TIMESTAMPTZ)
            END
        ))
    END;

-- The time that a workbook means by a number: days since the end of 1899, and parts of a day, to
-- the second. Numbers outside of 1954 to 2119 are no dates of a learning record.
CREATE OR REPLACE TEMP MACRO excel_time(value) AS
    CASE
        WHEN try_cast(value AS DOUBLE) BETWEEN 20000 AND 80000
            THEN TIMESTAMP '1899-12-30' + to_seconds(round(try_cast(value AS DOUBLE) * 86400))
    END;

-- Is a time of day written with an offset or a zone?
CREATE OR REPLACE TEMP MACRO has_offset(value) AS
    length(value) > 10
    AND regexp_matches(value, '\d:\d{2}[\d:.,]*\s*([A-Za-z]|[+-])');

-- The offset that an ISO 8601 time was written with; NULL if it has none. A plain date, the common
-- case, is too short to have one. Most others end in Z; only the rest need a regular expression.
CREATE OR REPLACE TEMP MACRO written_offset(value) AS
    CASE
        WHEN length(value) > 10 AND contains(value, 'T') THEN
            CASE
                WHEN suffix(value, 'Z') THEN 'Z'
                ELSE nullif(regexp_extract(right(value, 6), '[+-][0-9]{2}:?[0-9]{2}$'), '')
            END
    END;

-- A country's code or name as they are compared: without case, accents, blanks and punctuation,
-- without an article. A plus sign stays, since +43 is a telephone code and no number of ISO 3166-1.
CREATE OR REPLACE TEMP MACRO country_key(value) AS
    regexp_replace(
        replace(replace(replace(replace(
            regexp_replace(folded(trim(value)), '^the\s+', ''),
            'ß', 'ss'), 'ł', 'l'), 'ø', 'o'), '&', 'and'),
        '[\s.,''’`´()_\-]+', '', 'g'
    );

-- The words of a course's code or title: without the address of a server, case, accents and
-- punctuation, and apart from each other even where a code has joined them (livingWithBurnout,
-- HR_STRESS). Umlauts are one letter, whether written as one or as two.
CREATE OR REPLACE TEMP MACRO course_words(value) AS
    concat(' ', trim(regexp_replace(
        replace(replace(replace(replace(replace(replace(replace(
            folded(
                regexp_replace(regexp_replace(
                    regexp_replace(value, '^[A-Za-z][A-Za-z0-9+.\-]*://[^/]*', ''),
                    '(\p{Ll})(\p{Lu})', '\1 \2', 'g'),
                    '(\p{Lu})(\p{Lu}\p{Ll})', '\1 \2', 'g')
            ), 'ß', 'ss'), 'ł', 'l'), 'ø', 'o'), 'æ', 'a'), 'ae', 'a'), 'oe', 'o'), 'ue', 'u'),
        '[^\p{L}\p{N}]+', ' ', 'g'
    )), ' ');

-- The words of a text, without what stands between them.
CREATE OR REPLACE TEMP MACRO text_words(value) AS
    regexp_split_to_array(value, '[\s,;:()"/]+');

-- The words of a name in an order of their own, whichever stands first.
CREATE OR REPLACE TEMP MACRO name_words(value) AS
    list_sort(list_filter(text_words(folded(value)), LAMBDA word: word <> ''));

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

-- An employee number in capitals, without blanks, quotation marks and the signs by which a
-- spreadsheet keeps a number as text (="4711", '4711), and without the decimal of a number that was
-- read as one (4711.0).
CREATE OR REPLACE TEMP MACRO bare_number(value) AS
    upper(regexp_replace(regexp_replace(
        value, '^[\s\p{Z}\p{Cf}="''“”„‘’`´]+|[\s\p{Z}\p{Cf}"''“”‘’`´]+$', '', 'g'
    ), '^(\d+)\.0$', '\1'));

-- The one form of an employee number; NULL for what a program writes where there is none. Most are
-- whole numbers already, which is quickly seen.
CREATE OR REPLACE TEMP MACRO employee_number(value) AS
    CASE
        WHEN try_cast(value AS UBIGINT)::VARCHAR = value THEN value
        WHEN bare_number(value) IN (
            '', 'NAN', 'NONE', 'NULL', 'NIL', 'N/A', '#N/A', 'NA', '#NAME?', '#REF!', '#VALUE!', '-'
        ) THEN NULL
        ELSE bare_number(value)
    END;

-- The one form of an e-mail address: upper and lower case are the same mailbox.
CREATE OR REPLACE TEMP MACRO mail_address(value) AS
    nullif(regexp_replace(
        lower(value),
        '^[\s\p{Z}\p{Cf}<"'']*(?:mailto:)?[\s\p{Z}\p{Cf}<"'']*|[\s\p{Z}\p{Cf}>"'']+$', '', 'g'
    ), '');

-- The one form of a home page (IRL): scheme and host in lower case, without the scheme's own port,
-- the slash at the end and what stands behind a #; NULL if nothing is left. A system that moved
-- from http to https is the same one. The lambda names the page, which would otherwise be written
-- out, and planned, wherever it is used.
CREATE OR REPLACE TEMP MACRO home_page(value) AS
    list_transform([stripped(value)], LAMBDA page:
        CASE
            WHEN regexp_matches(page, '^(?:(?i:https?)://)?[^/:?#@\s]+(?::\d+)?(?:[/?#]|$)')
                THEN 'https://'
                || regexp_replace(lower(regexp_extract(
                    page, '^(?:(?i:https?)://)?([^/?#]+)', 1
                )), ':(?:80|443)$', '')
                || rtrim(regexp_extract(
                    page, '^(?:(?i:https?)://)?[^/?#]+([^#]*)', 1
                ), '/')
            ELSE nullif(rtrim(regexp_extract(page, '^[^#]*'), '/'), '')
        END)[1];

-- What a column of employee numbers holds, as an identifier with its kind: some exports have the
-- address there.
CREATE OR REPLACE TEMP MACRO employee_identifier(value) AS
    CASE
        WHEN contains(value, '@') THEN 'mbox:mailto:' || mail_address(value)
        ELSE 'emp:' || employee_number(value)
    END;

-- The one form of an account: home page and name, both.
CREATE OR REPLACE TEMP MACRO account_identifier(page, account) AS
    ('acct:' || home_page(page) || '#' || stripped(account));

-- Home page and name of an account's identifier; a home page has no # any more.
CREATE OR REPLACE TEMP MACRO account_page(identifier) AS
    regexp_extract(identifier, '^acct:([^#]*)#', 1);
CREATE OR REPLACE TEMP MACRO account_name(identifier) AS
    regexp_extract(identifier, '^acct:[^#]*#(.*)$', 1);

-- The one form of an identifier that comes with its kind.
CREATE OR REPLACE TEMP MACRO same_form(identifier) AS
    CASE split_part(identifier, ':', 1)
        WHEN 'emp' THEN employee_identifier(substr(identifier, 5))
        WHEN 'mbox' THEN 'mbox:mailto:' || mail_address(substr(identifier, 6))
        WHEN 'sha1' THEN lower(stripped(identifier))
        WHEN 'openid' THEN 'openid:' || home_page(substr(identifier, 8))
        WHEN 'acct'
            THEN account_identifier(
                regexp_extract(identifier, '^acct:([^#]*)', 1),
                regexp_extract(identifier, '^acct:[^#]*#(.*)$', 1)
            )
        ELSE stripped(identifier)
    END;

-- A number without its leading zeros and the blanks in it.
CREATE OR REPLACE TEMP MACRO number_core(value) AS
    coalesce(nullif(ltrim(regexp_replace(value, '[\s\p{Z}\p{Cf}]', '', 'g'), '0'), ''), '0');

-- Every number that a spreadsheet or a data frame may have made this text of, without leading
-- zeros: with its thousands set apart, as a decimal, or in scientific notation with all its digits.
CREATE OR REPLACE TEMP MACRO number_readings(value) AS
    list_distinct(list_filter([
        number_core(value),
        CASE WHEN regexp_matches(value, '^\+?\d{1,3}(?:[,.''’][\s\p{Z}]?\d{3})+$')
            THEN number_core(regexp_replace(value, '\D', '', 'g')) END,
        CASE WHEN regexp_matches(value, '^\+?\d{1,3}(?:[,.''’\s\p{Z}]?\d{3})*[.,]0+$')
            THEN number_core(regexp_replace(
                regexp_replace(value, '[.,]0+$', ''), '\D', '', 'g'
            )) END,
        CASE WHEN regexp_matches(value, '^\+?\d+(?:[.,]0+)?$')
            THEN number_core(regexp_extract(value, '\d+')) END,
        CASE
            WHEN
                -- Fewer digits than the exponent says were rounded away: it can be anybody's.
                nullif(length(regexp_extract(value, '^\+?\d[.,](\d+)E\+?\d{1,2}$', 1)), 0)
                = try_cast(regexp_extract(value, 'E\+?(\d{1,2})$', 1) AS INTEGER)
                THEN number_core(regexp_replace(regexp_extract(value, '^[^E]+'), '\D', '', 'g'))
        END
    ], LAMBDA reading: reading IS NOT NULL));

-- Does an employee number look like a spreadsheet or a data frame had hold of it?
CREATE OR REPLACE TEMP MACRO looks_damaged(value) AS
    regexp_matches(value, '^[+\d][\d.,''’\s\p{Z}]*[.,''’+\s\p{Z}][\d.,''’\s\p{Z}]*$')
    OR regexp_matches(value, '^\d(?:[.,]\d+E\+?|E\+)\d+$')
    OR contains(value, '#');

-- Does the code of a course hold an e-mail address? Open edX writes the kind and the name of a
-- block behind an @ (block-v1:A+B+C+type@video+block@9f3a), which makes none; an IRI may escape it.
CREATE OR REPLACE TEMP MACRO holds_address(value) AS
    (contains(value, '@') OR contains(value, '%40'))
    AND contains(regexp_replace(
        replace(replace(replace(value, '%40', '@'), '%2B', '+'), '%2b', '+'),
        '\+(type|block|branch|version|ccx)@', '+', 'g'
    ), '@');

-- The one form of a verb's IRI: a vocabulary that moved from http to https is the same one.
CREATE OR REPLACE TEMP MACRO verb_key(value) AS
    lower(regexp_replace(rtrim(value, '/'), '^(?i:https?)://', ''));

-- Does a text look like it names or numbers a person: an e-mail address, a long number, or an
-- employee id? The patterns follow Presidio's recognizers and err towards finding too much.
CREATE OR REPLACE TEMP MACRO looks_personal(value) AS
    coalesce(regexp_matches(
        value,
        '(?:[^\s@]+@[^\s@]+)|(?:(\d[\s().\-]?){7,})|(?:(?i)\b(emp|mbox|sha1|openid|acct|ou):)'
    ), FALSE);

-- A number as people write it where a point stands before the decimals: also with its thousands set
-- apart, and with a comma before decimals that cannot be thousands. Most are plain numbers.
CREATE OR REPLACE TEMP MACRO point_number(value) AS
    coalesce(
        try_cast(value AS DOUBLE),
        CASE
            WHEN regexp_full_match(value, '[+-]?\d+,(\d{1,2}|\d{4,})')
                THEN try_cast(replace(value, ',', '.') AS DOUBLE)
            WHEN regexp_full_match(value, '[+-]?\d{1,3}([,''’\s\p{Z}]\d{3})+(\.\d+)?')
                THEN try_cast(regexp_replace(value, '[,''’\s\p{Z}]', '', 'g') AS DOUBLE)
        END
    );

-- The same where a comma stands before the decimals, and a point between thousands.
CREATE OR REPLACE TEMP MACRO comma_number(value) AS
    CASE
        WHEN regexp_full_match(value, '[+-]?\d{1,3}([.''’\s\p{Z}]\d{3})+(,\d+)?')
            THEN try_cast(replace(
                regexp_replace(value, '[.''’\s\p{Z}]', '', 'g'), ',', '.'
            ) AS DOUBLE)
        ELSE try_cast(replace(value, ',', '.') AS DOUBLE)
    END;

-- The two numbers of a score out of a sum of points (17/20), and the number before a percent sign;
-- NULL for any other text.
CREATE OR REPLACE TEMP MACRO points_reached(value) AS
    nullif(regexp_extract(value, '^([^/]*\d)\s*/[^/]*\d$', 1), '');
CREATE OR REPLACE TEMP MACRO points_possible(value) AS
    nullif(regexp_extract(value, '^[^/]*\d\s*/\s*([^/]*\d)$', 1), '');
CREATE OR REPLACE TEMP MACRO percents(value) AS
    CASE WHEN suffix(value, '%') THEN rtrim(left(value, -1)) END;

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

-- The first day of a day's month.
CREATE OR REPLACE TEMP MACRO month_of(day) AS
    date_trunc('month', day)::DATE;

-- Is what was done by its due date in time? Where both are known to the second, that decides; a due
-- date is otherwise over when its day is.
CREATE OR REPLACE TEMP MACRO in_time(event_on, event_at, due_on, due_at) AS
    CASE
        WHEN event_at IS NOT NULL AND due_at IS NOT NULL THEN event_at <= due_at
        ELSE event_on <= due_on
    END;

-- Days from one date to another; NULL if it comes before, or more than ten years after, since one
-- of the two must be wrong then.
CREATE OR REPLACE TEMP MACRO days_between(first_day, last_day) AS
    CASE WHEN last_day - first_day BETWEEN 0 AND 3660 THEN last_day - first_day END;

-- 128 bits that name a record through all its revisions.
CREATE OR REPLACE TEMP MACRO record_key_of(
    source, learner_id, course_code, record_type, occurrence
) AS
    md5_number(concat_ws(chr(31), source, learner_id, course_code, record_type, occurrence))::UUID;

-- The first day that a record is known by; NULL if it has none.
CREATE OR REPLACE TEMP MACRO known_start(event_on, started_on, assigned_on) AS
    coalesce(event_on, started_on, assigned_on);

-- The identifiers by which records name whoever has an address: itself, and its hash.
CREATE OR REPLACE TEMP MACRO identifiers_of_address(address) AS
    ['mbox:mailto:' || address, 'sha1:' || sha1('mailto:' || address)];
