//! What must be true of every text.

use proptest::prelude::*;
use sqlparser::ast::{Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::{Dialect, SUMMARY_MAX, describe};

const DIALECTS: [Dialect; 5] = [
    Dialect::Postgres { backslashes: false },
    Dialect::Postgres { backslashes: true },
    Dialect::Mysql { backslashes: true },
    Dialect::Mysql { backslashes: false },
    Dialect::Cql,
];

/// What no word of a statement has in it, whichever four letters are taken.
const SECRET: &str = "zqxjvkzwqj";

/// Ways to write a literal with the secret in it.
fn literals(dialect: Dialect) -> Vec<String> {
    let mut all = vec![
        format!("'{SECRET}'"),
        format!("'it''s {SECRET} -- '"),
        format!("'/* {SECRET} \" ; $$ `'"),
    ];
    let (more, backslashes): (&[&str], bool) = match dialect {
        Dialect::Postgres { backslashes } => (
            &[
                "E'\\'@ \\\\'",
                "$$ ' @$$",
                "$a$ $$ @ $a$",
                "U&'@'",
                "E'a'\n'\\'@'",
                "123@",
            ],
            backslashes,
        ),
        Dialect::Mysql { backslashes } => (&["\"@ ' \"\"\"", "_utf8'@'", "1.5@"], backslashes),
        Dialect::Cql => (&["$$ ' @$$", "0x@"], false),
    };
    all.extend(more.iter().map(|text| text.replace('@', SECRET)));
    if backslashes {
        all.push(format!("'\\'{SECRET}\\\\'"));
    } else {
        all.push(format!("'{SECRET}\\'"));
    }
    all
}

const OTHERS: &[&str] = &[
    "SELECT",
    "FROM",
    "t",
    "\"a b\"",
    ",",
    "(",
    ")",
    "IN",
    "VALUES",
    "INSERT INTO",
    "WHERE",
    "=",
    // Strings on both sides of it would be one.
    "-- x\n,",
    "/* c */",
    ";",
    "::",
    ".",
    "*",
    "JOIN",
    "UPDATE",
    "WITH",
    "AS",
    "-",
    "$1",
    "?",
];

fn shows(text: &str) -> bool {
    let secret: Vec<char> = SECRET.chars().collect();
    secret
        .windows(4)
        .any(|part| text.contains(&part.iter().collect::<String>()))
}

proptest! {
    #[test]
    fn literals_are_never_shown(
        dialect in 0..DIALECTS.len(),
        parts in proptest::collection::vec((0..2usize, any::<prop::sample::Index>(), any::<bool>()), 0..24),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        limit in 0..200usize,
    ) {
        let dialect = DIALECTS[dialect];
        let literals = literals(dialect);
        let mut text = String::new();
        for (literal, index, space) in parts {
            let part = match literal {
                0 => OTHERS[index.index(OTHERS.len())],
                _ => &literals[index.index(literals.len())],
            };
            // Literals that touch are one, in some dialects.
            if space || literal == 1 || part.starts_with(['-', '/']) || text.ends_with(['-', '/', '\'', '$']) {
                text.push(' ');
            }
            text.push_str(part);
            if literal == 1 {
                text.push(' ');
            }
        }
        if let Some(cut) = cut {
            text.truncate(cut.index(text.len() + 1));
        }
        for truncated in [false, true] {
            let found = describe(&text, dialect, limit, truncated);
            prop_assert!(found.sanitized.len() <= limit);
            prop_assert!(found.summary.len() <= SUMMARY_MAX);
            let shown = [Some(found.sanitized), Some(found.summary), found.collection, found.operation, found.procedure];
            for shown in shown.into_iter().flatten() {
                prop_assert!(!shows(&shown), "{text:?} shows {shown:?}");
            }
        }
    }

    #[test]
    fn anything_is_taken(text in "\\PC{0,80}", dialect in 0..DIALECTS.len(), limit in 0..100usize) {
        let found = describe(&text, DIALECTS[dialect], limit, false);
        prop_assert!(found.sanitized.len() <= limit);
    }

    /// A real parser finds the same tables, and understands the text without literals.
    #[test]
    fn as_a_parser_finds(query in query()) {
        let found = describe(&query, DIALECTS[0], 4096, false);
        let Ok(parsed) = Parser::parse_sql(&GenericDialect {}, &query) else {
            return Err(TestCaseError::fail(format!("no SQL: {query}")));
        };
        let mut tables = Tables::default();
        let _ = parsed.visit(&mut tables);
        let words = found.summary.split(' ');
        let mut ours: Vec<_> = words.filter(|word| word.starts_with("t_")).map(str::to_owned).collect();
        ours.sort_unstable();
        tables.0.sort_unstable();
        prop_assert_eq!(&ours, &tables.0, "{} in {}", found.summary, query);
        let again = Parser::parse_sql(&GenericDialect {}, &found.sanitized);
        prop_assert!(again.is_ok(), "{again:?}: {}", found.sanitized);
    }
}

#[derive(Default)]
struct Tables(Vec<String>);

impl Visitor for Tables {
    type Break = ();

    fn pre_visit_relation(
        &mut self,
        name: &sqlparser::ast::ObjectName,
    ) -> std::ops::ControlFlow<()> {
        self.0.push(name.to_string());
        std::ops::ControlFlow::Continue(())
    }
}

fn table() -> impl Strategy<Value = String> {
    "t_[a-c](\\.t_[d-f])?"
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("42".to_owned()),
        Just("'it''s'".to_owned()),
        Just("$1".to_owned()),
        Just("c1".to_owned()),
        Just("f(1, c2)".to_owned()),
        Just("EXTRACT(DAY FROM c3)".to_owned()),
    ]
}

fn select() -> impl Strategy<Value = String> {
    let source = prop_oneof![
        3 => table(),
        1 => table().prop_map(|table| format!("(SELECT c1 FROM {table}) AS s")),
        1 => (table(), table()).prop_map(|(a, b)| format!("{a} AS x JOIN {b} y ON x.c1 = y.c2")),
    ];
    let sources = proptest::collection::vec(source, 1..3);
    let list = proptest::collection::vec(value(), 1..4);
    (list, sources, proptest::collection::vec(value(), 0..4)).prop_map(|(list, sources, values)| {
        let condition = match values.is_empty() {
            true => String::new(),
            false => format!(" WHERE c4 IN ({})", values.join(", ")),
        };
        format!(
            "SELECT {} FROM {}{condition}",
            list.join(", "),
            sources.join(", ")
        )
    })
}

fn query() -> impl Strategy<Value = String> {
    let rows = proptest::collection::vec(value(), 1..4);
    prop_oneof![
        select(),
        (select(), select()).prop_map(|(a, b)| format!("{a} UNION ALL {b}")),
        (table(), select())
            .prop_map(|(table, select)| format!("INSERT INTO {table} (c1) {select}")),
        (table(), rows).prop_map(|(table, rows)| format!(
            "INSERT INTO {table} VALUES ({row}), ({row})",
            row = rows.join(", ")
        )),
        (table(), value())
            .prop_map(|(table, value)| format!("UPDATE {table} SET c1 = {value} WHERE c2 = 7")),
        (table(), value())
            .prop_map(|(table, value)| format!("DELETE FROM {table} WHERE c1 = {value}")),
        (table(), select()).prop_map(|(table, select)| format!("CREATE TABLE {table} AS {select}")),
    ]
}
