//! What tshark makes of a capture.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clew::protocol::recording::Piece;
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};

use crate::capture::{self, SERVER, Transport};

/// A part of a message: a value, or parts with names, in the order of their bytes. Names repeat, so
/// this is no map.
#[derive(Clone, Debug)]
pub enum Tree {
    /// What tshark shows of a field.
    Leaf(String),
    /// What a part consists of.
    Node(Vec<(String, Tree)>),
}

impl Tree {
    /// All parts of that name, at any depth, in their order.
    pub fn all<'a>(&'a self, name: &str) -> Vec<&'a Self> {
        let mut found = Vec::new();
        self.collect(&[name], &mut found);
        found
    }

    fn collect<'a>(&'a self, names: &[&str], found: &mut Vec<&'a Self>) {
        let Self::Node(parts) = self else { return };
        for (key, part) in parts {
            if names.contains(&key.as_str()) {
                found.push(part);
            }
            part.collect(names, found);
        }
    }

    /// The values of all fields of that name.
    pub fn values<'a>(&'a self, name: &str) -> Vec<&'a str> {
        self.leaves(&[name]).collect()
    }

    /// The value of the first field of that name.
    pub fn first<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.values(name).first().copied()
    }

    /// The values of all fields of some names, in their order.
    pub fn leaves<'a>(&'a self, names: &[&str]) -> impl Iterator<Item = &'a str> {
        let mut found = Vec::new();
        self.collect(names, &mut found);
        found.into_iter().filter_map(Self::value)
    }

    fn value(&self) -> Option<&str> {
        match self {
            Self::Leaf(text) => Some(text),
            Self::Node(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what tshark writes")
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf(String::new()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Tree, A::Error> {
        let mut found = Vec::new();
        while let Some(part) = parts.next_element()? {
            found.push((String::new(), part));
        }
        Ok(Tree::Node(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Tree, A::Error> {
        let mut found = Vec::new();
        while let Some(part) = parts.next_entry()? {
            found.push(part);
        }
        Ok(Tree::Node(found))
    }
}

/// A message of some protocol.
#[derive(Debug)]
pub struct Message {
    /// Who sent it.
    pub from_client: bool,
    /// The protocol, as tshark calls it.
    pub layer: String,
    /// What is in it.
    pub tree: Tree,
}

/// The executable, if it is installed.
///
/// # Panics
/// Where it is not, and `CLEW_REQUIRE=1` says that it must be.
pub fn find() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .map(|folder| folder.join("tshark"))
        .find(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var_os("CLEW_REQUIRE").is_some_and(|value| value == "1");
        assert!(!required, "CLEW_REQUIRE=1, and tshark is not installed");
        eprintln!("skipped: tshark is not installed; run `cargo xtask setup`");
    }
    found
}

/// Dissects connections; gives the messages of each, in order.
pub fn dissect(
    tshark: &Path,
    transport: Transport,
    dissector: &str,
    connections: &[Vec<Piece>],
) -> Vec<Vec<Message>> {
    let folder = Folder::new(dissector, transport);
    let capture = folder.0.join("capture.pcap");
    capture::write(&capture, transport, connections).unwrap();
    let transport = transport.name();
    let output = Command::new(tshark)
        // Its own settings, not those of whoever runs the test.
        .env("HOME", &folder.0)
        .env("XDG_CONFIG_HOME", &folder.0)
        .args(["-n", "-T", "json", "-r"])
        .arg(&capture)
        .arg("-d")
        .arg(format!("{transport}.port=={SERVER},{dissector}"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark: {errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    let frames: Vec<Tree> = serde_json::from_str(&text).unwrap();

    let mut found: Vec<_> = connections.iter().map(|_| Vec::new()).collect();
    for frame in frames {
        let port = |name: &str| {
            let name = format!("{transport}.{name}");
            frame.first(&name).unwrap().parse::<u16>().unwrap()
        };
        let (from, to) = (port("srcport"), port("dstport"));
        let from_client = to == SERVER;
        let client = if from_client { from } else { to };
        let messages = &mut found[usize::from(client - capture::FIRST_CLIENT)];
        let Some(&Tree::Node(layers)) = frame.all("layers").first() else {
            panic!("a frame without layers");
        };
        for (layer, tree) in layers {
            if !["frame", "raw", "ip", transport].contains(&layer.as_str()) {
                messages.push(Message {
                    from_client,
                    layer: layer.clone(),
                    tree: tree.clone(),
                });
            }
        }
    }
    found
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(dissector: &str, transport: Transport) -> Self {
        let (process, transport) = (std::process::id(), transport.name());
        let name = format!("clew-tshark-{process}-{dissector}-{transport}");
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes, which tshark shows in hexadecimal with colons between, as text.
pub fn text_of(bytes: &str) -> String {
    let bytes = bytes.split(':').filter(|byte| !byte.is_empty());
    bytes
        .map(|byte| char::from(u8::from_str_radix(byte, 16).unwrap()))
        .collect()
}
