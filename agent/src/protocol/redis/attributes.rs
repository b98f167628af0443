//! What is said of a command and its reply: OpenTelemetry's semantic conventions for database client
//! spans and for Redis, <https://opentelemetry.io/docs/specs/semconv/db/redis/>.

use std::borrow::Cow;

use crate::model::{Attribute, Value};
use crate::protocol::QueryText;

use super::core::{Ending, Name, Request};

/// As many attributes as a span usually has in the end: one allocation.
const USUAL: usize = 16;
/// More arguments than this are not written one by one.
const ARGUMENTS_MAX: u32 = 16;

/// The names of databases that most servers have.
static DATABASES: [&str; 16] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
];

/// A span's name and attributes.
pub(super) fn of(
    request: Request,
    ending: &Ending,
    database: Option<u32>,
    batch: Option<u32>,
    query_text: QueryText,
    longest: usize,
) -> (Cow<'static, str>, Vec<Attribute>) {
    let mut attributes = Vec::with_capacity(USUAL);
    let mut add = |key, value: Value| attributes.push(Attribute::new(key, value));
    add("db.system.name", "redis".into());
    if let Some(database) = database {
        let known = usize::try_from(database)
            .ok()
            .and_then(|at| DATABASES.get(at));
        add(
            "db.namespace",
            match known {
                Some(&name) => name.into(),
                None => database.to_string().into(),
            },
        );
    }
    let name: Cow<'static, str> = match &request.name {
        Name::Known(command) => {
            add("db.operation.name", command.name.into());
            command.name.into()
        }
        Name::Unknown(name) => {
            add("db.operation.name", name.clone().into());
            name.clone().into()
        }
        Name::None | Name::Unseen => "redis".into(),
    };
    let text = match (query_text, request.text) {
        (QueryText::Off, _) => None,
        (QueryText::Full, Some(text)) => Some(Value::from(text)),
        _ => sanitized(&request.name, request.words, longest),
    };
    if let Some(text) = text {
        add("db.query.text", text);
    }
    if let Some(procedure) = request.procedure {
        add("db.stored_procedure.name", procedure.into());
    }
    // "Never 1" (`db.operation.batch.size`).
    if let Some(batch) = batch.filter(|&batch| batch != 1) {
        add("db.operation.batch.size", i64::from(batch).into());
    }
    match ending {
        Ending::Reply(reply) => {
            if let Some(error) = &reply.error {
                match error.as_deref() {
                    Some(code) => {
                        add("db.response.status_code", code.to_owned().into());
                        add("error.type", code.to_owned().into());
                    }
                    None => add("error.type", "_OTHER".into()),
                }
            }
        }
        Ending::Aborted(error, _) => add("error.type", (*error).into()),
        Ending::Sent | Ending::Lost(_) => {}
    }
    (name, attributes)
}

/// The command with `?` for each argument.
fn sanitized(name: &Name, words: u32, longest: usize) -> Option<Value> {
    let arguments = words.saturating_sub(1);
    let (name, arguments) = match name {
        Name::Known(command) => {
            let second = u32::from(command.name.contains(' '));
            let arguments = arguments.saturating_sub(second);
            let text = usize::try_from(arguments)
                .ok()
                .and_then(|arguments| command.texts.get(arguments));
            if let Some(&text) = text {
                return Some(text.into());
            }
            (command.name, arguments)
        }
        Name::Unknown(name) => (name.as_str(), arguments),
        Name::None | Name::Unseen => return None,
    };
    let shown = arguments.min(ARGUMENTS_MAX);
    let mut text = String::with_capacity(name.len() + 40);
    text.push_str(name);
    (0..shown).for_each(|_| text.push_str(" ?"));
    if shown < arguments {
        text.push_str(" ...");
    }
    text.truncate(text.floor_char_boundary(longest));
    Some(text.into())
}
