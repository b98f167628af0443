//! MongoDB: each command with its database and collection, and the code of its error.

use std::collections::HashMap;

use crate::compare::{Comparison, Exchange, Lines, compare};
use crate::dissector::{Message, Tree};

#[test]
fn recordings() {
    compare(&Comparison::of("mongo", "mongo", clew, tshark));
}

/// Clew has no spans of these.
const HIDDEN: [&str; 5] = ["hello", "ismaster", "isMaster", "ping", "endSessions"];
/// Nor of these, unless they fail.
const LOGIN: [&str; 2] = ["saslStart", "saslContinue"];

fn clew(exchanges: &[Exchange]) -> Vec<String> {
    let line = |one: &Exchange| {
        let command = one.get("db.operation.name");
        let database = one.get("db.namespace");
        let collection = one.get("db.collection.name");
        let code = one.get("db.response.status_code");
        format!("{command} {database} {collection} {code}")
    };
    exchanges.iter().map(line).collect()
}

fn tshark(messages: &[Message]) -> Vec<String> {
    let mut lines = Lines::default();
    let mut open = HashMap::new();
    for Message {
        from_client, tree, ..
    } in messages
    {
        let get = |name| tree.first(name).unwrap_or_default();
        let Some(elements) = tree
            .all("mongo.elements")
            .first()
            .map(|tree| elements(tree))
        else {
            continue;
        };
        if !from_client {
            let Some(line) = open.remove(get("mongo.response_to")) else {
                continue;
            };
            let code = find(&elements, "code").or_else(|| {
                let of_write = tree.all("mongo.elements");
                let mut parts = of_write.iter().map(|tree| self::elements(tree));
                parts.find_map(|elements| find(&elements, "code"))
            });
            if let Some(code) = code {
                lines.fail(line, code);
            }
            continue;
        }
        let (command, value) = elements[0];
        let collection = match find(&elements, "collection") {
            Some(collection) => collection,
            None => value
                .first("mongo.element.value.string")
                .unwrap_or_default(),
        };
        let database = find(&elements, "$db").unwrap_or_default();
        let text = format!("{command} {database} {collection}");
        if HIDDEN.contains(&command) {
            continue;
        }
        let line = match LOGIN.contains(&command) {
            true => lines.only_if_it_fails(&text),
            false => lines.add(&text),
        };
        open.insert(get("mongo.request_id"), line);
    }
    lines.into_lines()
}

/// The elements of a document: tshark puts the name first, then what it is.
fn elements(document: &Tree) -> Vec<(&str, &Tree)> {
    let Tree::Node(parts) = document else {
        return Vec::new();
    };
    let pairs = parts.windows(2).filter_map(|pair| match pair {
        [(_, Tree::Leaf(name)), (key, value)] if key == "mongo.element.name_tree" => {
            Some((name.as_str(), value))
        }
        _ => None,
    });
    pairs.collect()
}

/// A number or a text among elements.
fn find<'a>(elements: &[(&str, &'a Tree)], name: &str) -> Option<&'a str> {
    let (_, value) = elements.iter().find(|(key, _)| *key == name)?;
    ["mongo.element.value.string", "mongo.element.value.int"]
        .into_iter()
        .find_map(|field| value.first(field))
}
