use super::*;

const POSTGRES: Dialect = Dialect::Postgres { backslashes: false };
const MYSQL: Dialect = Dialect::Mysql { backslashes: true };

fn sanitized(text: &str, dialect: Dialect) -> String {
    describe(text, dialect, 2048, false).sanitized
}

#[test]
fn literals() {
    let cases = [
        (
            POSTGRES,
            "SELECT  1, 'a''b', 1.5e-3 , .5\n",
            "SELECT ?, ?, ? , ?",
        ),
        (
            POSTGRES,
            "SELECT $1::int, $$a'b$$, $x$ $$ $x$, t.a$1",
            "SELECT $1::int, ?, ?, t.a$1",
        ),
        (
            POSTGRES,
            r"SELECT E'a\'b', '\', U&'x', B'01', x'ff', &a",
            "SELECT ?, ?, ?, ?, ?, &a",
        ),
        (POSTGRES, "SELECT E'a'\n -- c'\n 'b\\'c' x", "SELECT ? x"),
        (
            POSTGRES,
            "SELECT /* 'a /* b */ c */ 1 -- x\n+ 2",
            "SELECT ? + ?",
        ),
        (POSTGRES, "SELECT \"it's\" FROM t", "SELECT \"it's\" FROM t"),
        (POSTGRES, "SELECT 'open", "SELECT"),
        (POSTGRES, "SELECT a \\ 'x' y", "SELECT a"),
        (POSTGRES, "SELECT $a$ open", "SELECT"),
        (
            MYSQL,
            r#"SELECT "a\"b", 'c\'d', `e``f`, 0xff, x'1', _utf8mb4'x' # c"#,
            "SELECT ?, ?, `e``f`, ?, ?, ?",
        ),
        (MYSQL, "SELECT 5--3, a -- 'x\n, b", "SELECT ?--?, a , b"),
        (
            Dialect::Cql,
            "SELECT a FROM t WHERE k = 123e4567-e89b-12d3-a456-426614174000 AND j = e23e4567-e89b-12d3-a456-426614174000 AND d = 1h30m AND n = :name // x",
            "SELECT a FROM t WHERE k = ? AND j = ? AND d = ? AND n = :name",
        ),
        (
            Dialect::Cql,
            "UPDATE t SET m = {'a': 1, 'b': 2}, b = 0xCAFE",
            "UPDATE t SET m = {?: ?, ?: ?}, b = ?",
        ),
    ];
    for (dialect, text, expected) in cases {
        assert_eq!(sanitized(text, dialect), expected, "{text}");
    }
}

#[test]
fn lists() {
    let cases = [
        ("x IN (1, 2, -3)", "x IN (?)"),
        (
            "x IN ($1::int, $2::int) AND y IN (1)",
            "x IN ($1::int) AND y IN (?)",
        ),
        ("x IN (SELECT a, 1 FROM b)", "x IN (SELECT a, ? FROM b)"),
        ("x IN (a, b)", "x IN (a, b)"),
        (
            "VALUES (1, now()), (2, f(1, 2)), ($1, NULL) ON CONFLICT",
            "VALUES (?, now()) ON CONFLICT",
        ),
        ("VALUES (1)", "VALUES (?)"),
        ("VALUES ROW(1), ROW(2)", "VALUES ROW(?)"),
    ];
    for (text, expected) in cases {
        assert_eq!(sanitized(text, POSTGRES), expected, "{text}");
    }
    let list = vec!["'abc'"; 10_000].join(", ");
    for (text, expected) in [
        (format!("x IN ({list}) AND b"), "x IN (?) AND b"),
        (
            format!("VALUES (1), ({list}) RETURNING a"),
            "VALUES (?) RETURNING a",
        ),
    ] {
        assert_eq!(describe(&text, POSTGRES, 30, false).sanitized, expected);
    }
    assert_eq!(
        describe("SELECT abc, def", POSTGRES, 11, false).sanitized,
        "SELECT abc,"
    );
    assert_eq!(
        describe("x IN (1, 2)", POSTGRES, 7, false).sanitized,
        "x IN (?"
    );
    assert_eq!(
        describe("x IN (1, 2)", POSTGRES, 6, false).sanitized,
        "x IN ("
    );
    assert_eq!(
        describe("SELECT a = abcdef12-34", Dialect::Cql, 99, true).sanitized,
        "SELECT a ="
    );
}

#[test]
fn summaries() {
    // Text; summary, operation, collection.
    let cases = [
        (
            POSTGRES,
            "select * from orders where id = 1",
            "SELECT orders",
            "SELECT",
            "orders",
        ),
        (
            POSTGRES,
            "SELECT * FROM songs, \"song list\" s, artists AS a WHERE x IN (1)",
            "SELECT songs \"song list\" artists",
            "SELECT",
            "",
        ),
        (
            POSTGRES,
            "INSERT INTO public.orders (a, b) SELECT a, b FROM items",
            "INSERT public.orders SELECT items",
            "INSERT",
            "",
        ),
        (
            POSTGRES,
            "INSERT INTO \"T\" VALUES (1) ON CONFLICT (a) DO UPDATE SET x = 1",
            "INSERT \"T\"",
            "INSERT",
            "T",
        ),
        (
            POSTGRES,
            "SELECT EXTRACT(day FROM d), f(a), (SELECT max(b) FROM u) FROM t JOIN v ON t.a IS NOT DISTINCT FROM v.a, w",
            "SELECT SELECT u t v w",
            "SELECT",
            "",
        ),
        (
            POSTGRES,
            "SELECT * FROM (SELECT * FROM t) x",
            "SELECT SELECT t",
            "SELECT",
            "t",
        ),
        (
            POSTGRES,
            "SELECT * FROM generate_series(1, 2) g",
            "SELECT",
            "SELECT",
            "",
        ),
        (
            POSTGRES,
            "SELECT * FROM (a JOIN b USING (id))",
            "SELECT a b",
            "SELECT",
            "",
        ),
        (
            POSTGRES,
            "WITH c AS (SELECT 1 FROM a), d (x) AS (DELETE FROM b RETURNING *) UPDATE t SET x = c.x FROM c",
            "SELECT a DELETE b UPDATE t",
            "UPDATE",
            "",
        ),
        (
            POSTGRES,
            "UPDATE ONLY t SET a = 1 FROM u WHERE b",
            "UPDATE t u",
            "UPDATE",
            "",
        ),
        (
            POSTGRES,
            "DELETE FROM t USING u WHERE a",
            "DELETE t u",
            "DELETE",
            "",
        ),
        (
            POSTGRES,
            "MERGE INTO t USING s ON a WHEN MATCHED THEN UPDATE SET x = 1",
            "MERGE t s",
            "MERGE",
            "",
        ),
        (
            POSTGRES,
            "CREATE TABLE IF NOT EXISTS t (a int references u)",
            "CREATE TABLE t",
            "CREATE TABLE",
            "t",
        ),
        (
            POSTGRES,
            "CREATE TEMP TABLE t AS SELECT * FROM u",
            "CREATE TABLE t SELECT u",
            "CREATE TABLE",
            "",
        ),
        (
            POSTGRES,
            "CREATE UNIQUE INDEX i ON t (a)",
            "CREATE INDEX i",
            "CREATE INDEX",
            "",
        ),
        (
            POSTGRES,
            "ALTER USER bob PASSWORD 'x'",
            "ALTER USER",
            "ALTER USER",
            "",
        ),
        (
            POSTGRES,
            "CREATE FUNCTION f() RETURNS int AS $$ SELECT a FROM b $$",
            "CREATE FUNCTION",
            "CREATE FUNCTION",
            "",
        ),
        (POSTGRES, "DROP TABLE t", "DROP TABLE t", "DROP TABLE", "t"),
        (POSTGRES, "GRANT SELECT ON t TO bob", "GRANT", "GRANT", ""),
        (
            POSTGRES,
            "START TRANSACTION READ ONLY",
            "START TRANSACTION",
            "START TRANSACTION",
            "",
        ),
        (POSTGRES, "COPY t (a, b) FROM STDIN", "COPY t", "COPY", "t"),
        (
            POSTGRES,
            "COPY (SELECT a FROM t) TO STDOUT",
            "COPY SELECT t",
            "COPY",
            "t",
        ),
        (
            POSTGRES,
            "DECLARE c CURSOR FOR SELECT a FROM t FOR UPDATE",
            "DECLARE SELECT t",
            "DECLARE",
            "t",
        ),
        (POSTGRES, "FETCH FORWARD 10 FROM c", "FETCH", "FETCH", ""),
        (
            POSTGRES,
            "EXPLAIN (ANALYZE, BUFFERS) SELECT a FROM t",
            "EXPLAIN SELECT t",
            "EXPLAIN",
            "t",
        ),
        (POSTGRES, "CALL p(1)", "CALL p", "CALL", ""),
        (
            POSTGRES,
            "(SELECT a FROM t) UNION SELECT b FROM u",
            "SELECT t SELECT u",
            "SELECT",
            "",
        ),
        (
            POSTGRES,
            "SELECT 1; SELECT 2;",
            "BATCH SELECT",
            "BATCH SELECT",
            "",
        ),
        (
            POSTGRES,
            "BEGIN; INSERT INTO t VALUES (1); COMMIT",
            "BEGIN INSERT t COMMIT",
            "BATCH",
            "t",
        ),
        (POSTGRES, "garbage from there", "", "", ""),
        (POSTGRES, " ; ", "", "", ""),
        (
            MYSQL,
            "INSERT IGNORE INTO `t` SET a = 1 ON DUPLICATE KEY UPDATE a = VALUES(a)",
            "INSERT `t`",
            "INSERT",
            "t",
        ),
        (
            MYSQL,
            "REPLACE INTO t VALUES (REPLACE('a', 'b', 'c'))",
            "REPLACE t",
            "REPLACE",
            "t",
        ),
        (MYSQL, "UPDATE a, b SET a.x = 1", "UPDATE a b", "UPDATE", ""),
        (
            MYSQL,
            "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN SET a = 1; SELECT b FROM c; END",
            "CREATE TRIGGER",
            "CREATE TRIGGER",
            "",
        ),
        (
            Dialect::Cql,
            "UPDATE t USING TTL 5 SET a = 1",
            "UPDATE t",
            "UPDATE",
            "t",
        ),
        (
            Dialect::Cql,
            "BEGIN BATCH INSERT INTO a (k) VALUES (1); UPDATE b SET c = 1; APPLY BATCH",
            "BATCH INSERT a UPDATE b",
            "BATCH",
            "",
        ),
    ];
    for (dialect, text, summary, operation, collection) in cases {
        let found = describe(text, dialect, 2048, false);
        let found = (
            found.summary.as_str(),
            found.operation.as_deref().unwrap_or_default(),
            found.collection.as_deref().unwrap_or_default(),
        );
        assert_eq!(found, (summary, operation, collection), "{text}");
    }
    let call = describe("CALL s.p(1)", POSTGRES, 99, false);
    assert_eq!(call.procedure.as_deref(), Some("s.p"));
    let many = (0..100)
        .map(|table| format!("table_{table}"))
        .collect::<Vec<_>>();
    let long = describe(
        &format!("SELECT 1 FROM {}", many.join(", ")),
        POSTGRES,
        9,
        false,
    )
    .summary;
    assert!(long.len() <= SUMMARY_MAX && long.len() > 240, "{long}");
}

#[test]
fn fields() {
    let text = "SELECT 'traceparent=''x''' /*action='%2Fparam*d',traceparent='00-ab-01' */";
    let fields = Fields::of(text, POSTGRES);
    let fields: Vec<_> = fields.iter().collect();
    assert_eq!(
        fields,
        [("action", &b"/param*d"[..]), ("traceparent", b"00-ab-01")]
    );
    assert_eq!(
        Fields::of("SELECT '/*a=''b''*/'", POSTGRES),
        Fields::default()
    );
}
