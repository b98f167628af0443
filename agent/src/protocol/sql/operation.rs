//! The keywords by which a statement tells what it does.

/// What follows the keyword that begins a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing that is told.
    Nothing,
    /// Clauses that name their tables.
    Clauses,
    /// The table.
    Table,
    /// The procedure.
    Procedure,
    /// What kind of thing is made, changed or removed, and its name.
    Thing,
    /// Another statement.
    Statement,
    /// A word that belongs to it, and nothing that is told.
    Word,
}

/// The operations that are known by their first word.
const OPERATIONS: &[(&str, Then)] = &[
    ("SELECT", Then::Clauses),
    ("INSERT", Then::Table),
    ("UPDATE", Then::Table),
    ("DELETE", Then::Clauses),
    ("MERGE", Then::Table),
    ("REPLACE", Then::Table),
    ("VALUES", Then::Nothing),
    ("TABLE", Then::Table),
    ("CREATE", Then::Thing),
    ("ALTER", Then::Thing),
    ("DROP", Then::Thing),
    ("TRUNCATE", Then::Table),
    ("COPY", Then::Table),
    ("LOCK", Then::Table),
    ("ANALYZE", Then::Nothing),
    ("VACUUM", Then::Nothing),
    ("CLUSTER", Then::Nothing),
    ("REINDEX", Then::Nothing),
    ("OPTIMIZE", Then::Nothing),
    ("REFRESH", Then::Thing),
    ("COMMENT", Then::Nothing),
    ("GRANT", Then::Nothing),
    ("REVOKE", Then::Nothing),
    ("CALL", Then::Procedure),
    ("DO", Then::Nothing),
    ("PREPARE", Then::Statement),
    ("EXECUTE", Then::Nothing),
    ("DEALLOCATE", Then::Nothing),
    ("DECLARE", Then::Statement),
    ("FETCH", Then::Nothing),
    ("MOVE", Then::Nothing),
    ("CLOSE", Then::Nothing),
    ("EXPLAIN", Then::Statement),
    ("DESCRIBE", Then::Nothing),
    ("DESC", Then::Nothing),
    ("BEGIN", Then::Nothing),
    ("START", Then::Word),
    ("COMMIT", Then::Nothing),
    ("END", Then::Nothing),
    ("ROLLBACK", Then::Nothing),
    ("ABORT", Then::Nothing),
    ("SAVEPOINT", Then::Nothing),
    ("RELEASE", Then::Nothing),
    ("SET", Then::Nothing),
    ("RESET", Then::Nothing),
    ("SHOW", Then::Nothing),
    ("DISCARD", Then::Nothing),
    ("CHECKPOINT", Then::Nothing),
    ("LOAD", Then::Nothing),
    ("LISTEN", Then::Nothing),
    ("UNLISTEN", Then::Nothing),
    ("NOTIFY", Then::Nothing),
    ("REASSIGN", Then::Nothing),
    ("USE", Then::Nothing),
    ("KILL", Then::Nothing),
    ("FLUSH", Then::Nothing),
    ("HANDLER", Then::Nothing),
    ("UNLOCK", Then::Nothing),
    ("RENAME", Then::Nothing),
    ("XA", Then::Nothing),
    ("LIST", Then::Nothing),
];

/// The operation that a word begins.
pub fn of(word: &str) -> Option<(&'static str, Then)> {
    find(OPERATIONS, word)
}

/// Kinds of things: whether their name is told, and whether they are what queries call a collection.
const THINGS: &[(&str, Thing)] = &[
    ("TABLE", Thing::Collection),
    ("VIEW", Thing::Collection),
    ("INDEX", Thing::Named),
    ("SEQUENCE", Thing::Named),
    ("SCHEMA", Thing::Named),
    ("DATABASE", Thing::Named),
    ("KEYSPACE", Thing::Named),
    ("TYPE", Thing::Named),
    ("DOMAIN", Thing::Named),
    ("EXTENSION", Thing::Named),
    ("FUNCTION", Thing::Body),
    ("PROCEDURE", Thing::Body),
    ("AGGREGATE", Thing::Body),
    ("TRIGGER", Thing::Body),
    ("RULE", Thing::Body),
    ("EVENT", Thing::Body),
    ("POLICY", Thing::Unnamed),
    // Who may use the database is not told.
    ("USER", Thing::Unnamed),
    ("ROLE", Thing::Unnamed),
    ("GROUP", Thing::Unnamed),
    ("SERVER", Thing::Unnamed),
    ("PUBLICATION", Thing::Unnamed),
    ("SUBSCRIPTION", Thing::Unnamed),
    ("DEFAULT", Thing::Unnamed),
    ("SYSTEM", Thing::Unnamed),
];

/// What is told of a thing that is made, changed or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// Its name, which is a table's.
    Collection,
    /// Its name.
    Named,
    /// Its name; statements may follow that are not executed.
    Body,
    /// Nothing.
    Unnamed,
}

/// The kind of thing that a word names.
pub fn thing(word: &str) -> Option<(&'static str, Thing)> {
    find(THINGS, word)
}

/// Words between an operation and the name of what it is done to.
const MODIFIERS: &[&str] = &[
    "INTO",
    "ONLY",
    "IGNORE",
    "LOW_PRIORITY",
    "HIGH_PRIORITY",
    "DELAYED",
    "QUICK",
    "OVERWRITE",
    "TABLE",
    "TABLES",
    "TEMP",
    "TEMPORARY",
    "UNLOGGED",
    "IF",
    "NOT",
    "EXISTS",
    "CONCURRENTLY",
    "BINARY",
    "LATERAL",
    "RECURSIVE",
];

/// Whether a word stands between an operation and its target.
pub fn is_modifier(word: &str) -> bool {
    MODIFIERS.iter().any(|one| one.eq_ignore_ascii_case(word))
}

/// Words that end the list of tables.
const CLAUSES: &[&str] = &[
    "WHERE",
    "GROUP",
    "ORDER",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "FOR",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "WINDOW",
    "SET",
    "RETURNING",
    "VALUES",
    "ALLOW",
    "PER",
    "WITH",
    "DEFAULT",
];

/// Whether a word ends the list of tables.
pub fn is_clause(word: &str) -> bool {
    CLAUSES.iter().any(|one| one.eq_ignore_ascii_case(word))
}

fn find<T: Copy>(known: &'static [(&'static str, T)], word: &str) -> Option<(&'static str, T)> {
    let mut known = known.iter();
    known
        .find(|(one, _)| one.eq_ignore_ascii_case(word))
        .copied()
}
