//! What a text does, and to which tables: told from its keywords as the tokens come.

use std::mem::take;

use smallvec::{SmallVec, smallvec};

use super::lexer::{Kind, Token};
use super::operation::{self, Then, Thing};
use super::{Dialect, SUMMARY_MAX, Statement};

/// Most parentheses in each other; what is deeper is not looked at.
const DEPTH_MAX: usize = 64;

/// Most names of common table expressions that are told from tables.
const COMMON_MAX: usize = 32;

/// Longest name of a target, in bytes.
const NAME_MAX: usize = 200;

/// The inside of a pair of parentheses, or what is in none.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// A query: `FROM` names its tables. (In `EXTRACT(DAY FROM x)` it does not.)
    query: bool,
    /// `USING` names a table.
    using: bool,
    /// After a comma comes another table.
    list: bool,
    /// In front of the statement that `WITH` belongs to.
    with: bool,
    /// Tables may stand in it: `FROM (a JOIN b …)`.
    group: bool,
}

/// What a name that comes next is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Nothing,
    /// A table, unless it is a function.
    Source,
    /// A table to which the statement does something.
    Table,
    /// Something else that has a name.
    Named,
    Procedure,
    /// A [`Thing`].
    Thing,
    /// The second word of the operation.
    Word,
    /// The word that begins the statement which this one is about.
    Statement,
}

/// A target whose name has begun.
#[derive(Debug)]
struct Name {
    text: String,
    what: Expect,
    /// A part of it was the last token, not the dot behind one.
    whole: bool,
}

/// What is known of a text so far.
#[derive(Debug)]
pub struct Summary {
    dialect: Dialect,
    levels: SmallVec<[Level; 8]>,
    expect: Expect,
    /// The next word may begin a statement.
    start: bool,
    /// What follows is not looked at, until the statement ends.
    ignore: bool,
    /// Nor after that.
    body: bool,
    /// In a batch of CQL, which is one statement.
    batch: bool,
    name: Option<Name>,
    after_distinct: bool,
    common: Vec<String>,
    text: String,
    full: bool,
    /// Where this statement begins in `text`.
    begins: usize,
    /// Something has come of it.
    any: bool,
    operation: Option<String>,
    collections: Collections,
    procedure: Option<String>,
    all: All,
}

#[derive(Debug, Default)]
enum Collections {
    #[default]
    None,
    One(String),
    Several,
}

/// The statements that are over.
#[derive(Debug, Default)]
struct All {
    count: usize,
    operation: Option<String>,
    same_operation: bool,
    /// How much of the text is the first one's summary.
    first: usize,
    same_summary: bool,
}

impl Summary {
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            levels: smallvec![Level::default()],
            expect: Expect::Nothing,
            start: true,
            ignore: false,
            body: false,
            batch: false,
            name: None,
            after_distinct: false,
            common: Vec::new(),
            text: String::new(),
            full: false,
            begins: 0,
            any: false,
            operation: None,
            collections: Collections::None,
            procedure: None,
            all: All::default(),
        }
    }

    pub fn take(&mut self, token: &Token<'_>) {
        if self.name.is_some() && self.goes_on(token) {
            return;
        }
        if token.kind == Kind::Symbol(b';') {
            if !self.body && self.batch && self.any {
                self.expect = Expect::Nothing;
                self.start = true;
            } else if !self.body {
                self.end();
            }
            return;
        }
        self.any = true;
        if self.ignore {
            return;
        }
        let after_distinct = std::mem::replace(&mut self.after_distinct, token.is("DISTINCT"));
        match token.kind {
            Kind::Word => self.word(token, after_distinct),
            Kind::Quoted => self.quoted(token),
            Kind::Symbol(b'(') => self.open(),
            Kind::Symbol(b')') => self.close(),
            Kind::Symbol(b',') if self.level().list => self.expect = Expect::Source,
            _ => {
                self.start = false;
                if self.expect != Expect::Statement {
                    self.expect = Expect::Nothing;
                }
            }
        }
    }

    pub fn finish(mut self) -> Statement {
        if let Some(name) = self.name.take() {
            self.target(name, false);
        }
        self.end();
        let All {
            count,
            operation,
            same_operation,
            same_summary,
            ..
        } = self.all;
        let several = count > 1;
        let batch = |text: String| match text.is_empty() {
            true => text,
            false => format!("BATCH {text}"),
        };
        let mut summary = self.text;
        if several && same_summary && summary.len() + "BATCH ".len() <= SUMMARY_MAX {
            summary = batch(summary);
        }
        let operation = match (several, operation) {
            (false, operation) => operation,
            (true, Some(operation)) if same_operation => Some(batch(operation)),
            (true, _) => Some("BATCH".to_owned()),
        };
        Statement {
            sanitized: String::new(),
            summary,
            operation,
            collection: match self.collections {
                Collections::One(name) => Some(name),
                _ => None,
            },
            procedure: match several {
                true => None,
                false => self.procedure,
            },
            statements: count,
        }
    }

    fn level(&self) -> Level {
        self.levels.last().copied().unwrap_or_default()
    }

    fn level_mut(&mut self) -> &mut Level {
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    /// Whether a token is part of the name that has begun, which is complete if it is not.
    fn goes_on(&mut self, token: &Token<'_>) -> bool {
        let Some(name) = &mut self.name else {
            return false;
        };
        match token.kind {
            Kind::Symbol(b'.') if name.whole => {
                name.text.push('.');
                name.whole = false;
                return true;
            }
            Kind::Word | Kind::Quoted if !name.whole => {
                name.text.push_str(token.text);
                name.whole = true;
                return true;
            }
            _ => {}
        }
        if let Some(name) = self.name.take() {
            self.target(name, token.kind == Kind::Symbol(b'('));
        }
        false
    }

    fn begin_name(&mut self, token: &Token<'_>) {
        let what = std::mem::replace(&mut self.expect, Expect::Nothing);
        self.name = Some(Name {
            text: token.text.to_owned(),
            what,
            whole: true,
        });
    }

    fn target(&mut self, name: Name, before_parenthesis: bool) {
        let mut text = name.text;
        if text.ends_with('.') {
            text.pop();
        }
        let is_function = name.what == Expect::Source && before_parenthesis;
        if is_function || text.len() > NAME_MAX || self.common.contains(&text) {
            return;
        }
        self.write(&text);
        match name.what {
            Expect::Source | Expect::Table => {
                let text = unquoted(text);
                self.collections = match take(&mut self.collections) {
                    Collections::None => Collections::One(text),
                    Collections::One(other) if other == text => Collections::One(other),
                    _ => Collections::Several,
                };
            }
            Expect::Procedure => self.procedure = Some(unquoted(text)),
            _ => {}
        }
    }

    fn open(&mut self) {
        let names_tables = self.expect == Expect::Source;
        if self.expect != Expect::Statement {
            self.expect = Expect::Nothing;
        }
        self.start = true;
        if self.levels.len() == DEPTH_MAX {
            self.ignore = true;
            return;
        }
        let group = names_tables && self.level().query;
        self.levels.push(Level {
            group,
            ..Level::default()
        });
        if group {
            self.expect = Expect::Source;
        }
    }

    fn close(&mut self) {
        if self.levels.len() > 1 {
            self.levels.pop();
        }
        if self.expect != Expect::Statement {
            self.expect = Expect::Nothing;
        }
        self.start = self.level().with;
    }

    fn quoted(&mut self, token: &Token<'_>) {
        let start = take(&mut self.start);
        match self.expect {
            Expect::Source | Expect::Table | Expect::Named | Expect::Procedure => {
                self.enter_group();
                self.begin_name(token);
            }
            Expect::Statement => {}
            _ if self.level().with => self.add_common(token.text),
            _ if start && self.levels.len() == 1 => self.ignore = true,
            _ => self.expect = Expect::Nothing,
        }
    }

    fn word(&mut self, token: &Token<'_>, after_distinct: bool) {
        let start = take(&mut self.start);
        if self.begins_statement(token, start) {
            return;
        }
        let text = token.text;
        match self.expect {
            Expect::Source | Expect::Table | Expect::Named | Expect::Procedure => {
                if token.is("OUTFILE") || token.is("DUMPFILE") || token.is("ON") {
                    self.expect = Expect::Nothing;
                } else if !operation::is_modifier(text) {
                    self.enter_group();
                    self.begin_name(token);
                }
                return;
            }
            Expect::Thing => return self.thing(text),
            Expect::Word => {
                self.expect = Expect::Nothing;
                if token.is("TRANSACTION") {
                    self.extend_operation("TRANSACTION");
                }
                return;
            }
            Expect::Statement | Expect::Nothing => {}
        }
        let level = self.level();
        if level.with {
            const NOT_NAMES: [&str; 4] = ["AS", "RECURSIVE", "NOT", "MATERIALIZED"];
            if !NOT_NAMES.iter().any(|word| token.is(word)) {
                self.add_common(text);
            }
        } else if token.is("FROM") && level.query && !after_distinct {
            self.level_mut().list = true;
            self.expect = Expect::Source;
        } else if (token.is("JOIN") || token.is("STRAIGHT_JOIN")) && (level.query || level.group) {
            self.level_mut().query = true;
            self.expect = Expect::Source;
        } else if token.is("INTO") && level.query {
            self.expect = Expect::Table;
        } else if token.is("USING") && level.using {
            *self.level_mut() = Level {
                using: false,
                list: true,
                ..level
            };
            self.expect = Expect::Source;
        } else if level.list && operation::is_clause(text) {
            self.level_mut().list = false;
        }
    }

    /// Tables stand in these parentheses, not a query.
    fn enter_group(&mut self) {
        if self.level().group {
            let level = self.level_mut();
            level.query = true;
            level.list = true;
        }
    }

    /// Whether a word begins a statement, be it in another one.
    fn begins_statement(&mut self, token: &Token<'_>, start: bool) -> bool {
        let outermost = self.levels.len() == 1;
        let is_select = token.is("SELECT");
        let is_data = is_select || DATA.iter().any(|word| token.is(word));
        let is_with = token.is("WITH");
        let sought = match self.expect {
            Expect::Statement => is_data || is_with || token.is("CREATE"),
            _ => start || (self.batch && outermost && is_data),
        };
        if !sought && !is_select {
            return false;
        }
        if is_with {
            self.expect = Expect::Nothing;
            self.level_mut().with = true;
            return true;
        }
        if self.batch && token.is("APPLY") {
            self.ignore = true;
            return true;
        }
        let Some((word, then)) = operation::of(token.text) else {
            // A statement that is not known.
            self.ignore |= outermost && !self.level().with;
            return self.ignore;
        };
        if !outermost && !is_data {
            return false;
        }
        self.begin_operation(word, then);
        true
    }

    fn begin_operation(&mut self, word: &'static str, then: Then) {
        self.expect = Expect::Nothing;
        if word == "BEGIN" && self.dialect == Dialect::Cql {
            self.batch = true;
            self.write_operation("BATCH");
            return;
        }
        self.write_operation(word);
        *self.level_mut() = Level {
            query: matches!(word, "SELECT" | "UPDATE" | "DELETE"),
            using: matches!(word, "DELETE" | "MERGE") && self.dialect != Dialect::Cql,
            list: matches!(word, "UPDATE" | "TRUNCATE" | "LOCK"),
            with: false,
            group: false,
        };
        match then {
            Then::Nothing => self.ignore = true,
            Then::Clauses => {}
            Then::Table => self.expect = Expect::Table,
            Then::Procedure => self.expect = Expect::Procedure,
            Then::Thing => self.expect = Expect::Thing,
            Then::Statement => self.expect = Expect::Statement,
            Then::Word => self.expect = Expect::Word,
        }
    }

    fn thing(&mut self, text: &str) {
        let Some((word, thing)) = operation::thing(text) else {
            return;
        };
        self.extend_operation(word);
        self.expect = match thing {
            Thing::Collection => Expect::Table,
            Thing::Named => Expect::Named,
            Thing::Body => {
                self.body = matches!(self.dialect, Dialect::Mysql { .. });
                Expect::Nothing
            }
            Thing::Unnamed => Expect::Nothing,
        };
        self.ignore = self.expect == Expect::Nothing;
    }

    fn add_common(&mut self, name: &str) {
        if self.common.len() < COMMON_MAX {
            self.common.push(name.to_owned());
        }
    }

    fn write_operation(&mut self, word: &str) {
        self.write(word);
        // That of a `WITH` is the statement which it belongs to.
        if self.operation.is_none() && self.levels.len() == 1 {
            self.operation = Some(word.to_owned());
        }
    }

    fn extend_operation(&mut self, word: &str) {
        self.write(word);
        if let Some(operation) = &mut self.operation {
            operation.push(' ');
            operation.push_str(word);
        }
    }

    fn write(&mut self, text: &str) {
        let space = usize::from(!self.text.is_empty());
        self.full |= self.text.len() + space + text.len() > SUMMARY_MAX;
        if self.full {
            return;
        }
        if space > 0 {
            self.text.push(' ');
        }
        self.text.push_str(text);
    }

    /// The statement is over.
    fn end(&mut self) {
        if self.any {
            let operation = self.operation.take();
            if self.all.count == 0 {
                self.all = All {
                    count: 0,
                    operation,
                    same_operation: true,
                    first: self.text.len(),
                    same_summary: true,
                };
            } else {
                self.all.same_operation &= self.all.operation == operation;
                let (first, this) = self.text.split_at(self.begins);
                self.all.same_summary &= first == this.trim_start() && !self.full;
                if self.all.same_summary {
                    self.text.truncate(self.all.first);
                }
            }
            self.all.count += 1;
        }
        self.begins = self.text.len();
        self.any = false;
        self.ignore = self.body;
        self.batch = false;
        self.start = true;
        self.expect = Expect::Nothing;
        self.common.clear();
        self.levels.truncate(1);
        *self.level_mut() = Level::default();
    }
}

/// Words that begin a statement which may be part of another.
const DATA: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "MERGE"];

/// A name without its quotes, where it is one in quotes as a whole.
fn unquoted(name: String) -> String {
    let quotes = ['"', '`'];
    let inner = name
        .strip_prefix(quotes)
        .and_then(|name| name.strip_suffix(quotes));
    match inner {
        Some(inner) if !inner.contains(quotes) => inner.to_owned(),
        _ => name,
    }
}
