//! Flags over environment over file over defaults, one setting at a time.
//!
//! Asking for a setting is what makes its key known: there is no second list of keys to keep in
//! step. When all settings have been asked for, [`Layers::finish`] refuses the keys of the file
//! that nobody wanted.

use std::collections::BTreeMap;
use std::mem::take;
use std::path::Path;
use std::sync::Arc;

use super::error::Problem;
use super::keys::unknown_keys;
use super::origin::Origin;
use super::value::{Setting, nearest};
use super::yaml::{Key, Mark, Node, Value};

/// The agent's environment variables.
pub type Environment = BTreeMap<String, String>;

/// One command line flag that was given, and the setting that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The flag, with its dashes.
    pub name: &'static str,
    /// The setting, such as `otlp.endpoint`.
    pub setting: &'static str,
    /// Its values, in order; one for a flag that cannot be repeated.
    pub values: Vec<String>,
}

/// A standard variable (`OTEL_…`) that sets the same thing, with its own way of being written.
///
/// What OpenTelemetry's specification says holds for it: a value that is not understood is warned
/// about and ignored, because the variable may be meant for other programs too. In the agent's own
/// variables, flags and file it is an error.
pub struct Standard<T> {
    /// The variable.
    pub name: &'static str,
    /// How its value is read.
    pub read: fn(&str) -> Result<T, String>,
}

/// A setting's value as it will be used, for `clew config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its path in the file, such as `otlp.endpoint`.
    pub path: &'static str,
    /// One line on what it is.
    pub doc: &'static str,
    /// Its value.
    pub value: Shown,
    /// Where the value came from.
    pub origin: Origin,
}

/// A value in the form in which a file would hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Not set.
    Nothing,
    /// A single value.
    One(String),
    /// A list.
    List(Vec<String>),
    /// Keys and values.
    Map(Vec<(String, String)>),
    /// Keys and values that nobody should read over a shoulder or in a pasted report.
    Secrets(Vec<(String, String)>),
}

/// The sources of settings, and what has become of them so far.
pub struct Layers<'a> {
    flags: &'a [Flag],
    environment: &'a Environment,
    file: Option<(Arc<Path>, Node)>,
    effective: Vec<Effective>,
    /// Variables that were asked for.
    variables: Vec<String>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// What [`Layers::finish`] leaves.
pub type Finished = (Vec<Effective>, Vec<String>);

impl<'a> Layers<'a> {
    /// Layers from their sources.
    pub fn new(
        flags: &'a [Flag],
        environment: &'a Environment,
        file: Option<(Arc<Path>, Node)>,
    ) -> Self {
        Self {
            flags,
            environment,
            file,
            effective: Vec::new(),
            variables: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// A setting that always has a value.
    pub fn value<T: Setting>(
        &mut self,
        path: &'static str,
        standard: &[Standard<T>],
        doc: &'static str,
        default: T,
    ) -> T {
        let found = self.find(path, standard, last, read, one_of_node);
        let (value, origin) = found.unwrap_or((default, Origin::Default(None)));
        self.keep(path, doc, Shown::One(value.write()), origin);
        value
    }

    /// A setting that may be absent.
    pub fn optional<T: Setting>(
        &mut self,
        path: &'static str,
        standard: &[Standard<T>],
        doc: &'static str,
    ) -> Option<T> {
        let found = self.find(path, standard, last, read, one_of_node);
        let (value, origin) = match found {
            Some((value, origin)) => (Some(value), origin),
            None => (None, Origin::Default(None)),
        };
        let shown = value
            .as_ref()
            .map_or(Shown::Nothing, |value| Shown::One(value.write()));
        self.keep(path, doc, shown, origin);
        value
    }

    /// A list; in the environment its items are separated by commas.
    pub fn list<T: Setting>(
        &mut self,
        path: &'static str,
        doc: &'static str,
        default: Vec<T>,
    ) -> Vec<T> {
        self.list_or_standard(path, &[], doc, default)
    }

    /// A list that standard variables set too.
    pub fn list_or_standard<T: Setting>(
        &mut self,
        path: &'static str,
        standard: &[Standard<Vec<T>>],
        doc: &'static str,
        default: Vec<T>,
    ) -> Vec<T> {
        let of_flag = |values: &[String]| values.iter().map(|text| read(text)).collect();
        let of_variable = |text: &str| {
            let items = text.split(',').map(str::trim);
            items.filter(|item| !item.is_empty()).map(read).collect()
        };
        let found = self.find(path, standard, of_flag, of_variable, list_of_node);
        let (items, origin) = found.unwrap_or((default, Origin::Default(None)));
        let shown = items.iter().map(T::write).collect();
        self.keep(path, doc, Shown::List(shown), origin);
        items
    }

    /// Keys and values. `read` takes the form that the environment has; a flag gives one
    /// `key=value` each time, the file a mapping.
    pub fn map(
        &mut self,
        path: &'static str,
        standard: &[Standard<Pairs>],
        doc: &'static str,
        read: fn(&str) -> Result<Pairs, String>,
        show: fn(Pairs) -> Shown,
    ) -> Pairs {
        let found = self.find(path, standard, pairs_of_flag, read, pairs_of_node);
        let (pairs, origin) = found.unwrap_or((Pairs::new(), Origin::Default(None)));
        self.keep(path, doc, show(pairs.clone()), origin);
        pairs
    }

    /// Where the value of a setting that was asked for came from.
    pub fn origin(&self, path: &str) -> Origin {
        self.effective
            .iter()
            .find(|effective| effective.path == path)
            .map_or(Origin::Default(None), |effective| effective.origin.clone())
    }

    /// Corrects what is shown for a setting whose value depends on others.
    pub fn restate(&mut self, path: &str, value: Shown, origin: Origin) {
        if let Some(effective) = self.effective.iter_mut().find(|e| e.path == path) {
            effective.value = value;
            effective.origin = origin;
        }
    }

    /// Refuses the value of a setting that is wrong only in the light of others.
    pub fn refuse(&mut self, path: &'static str, message: impl Into<String>) {
        let place = self.origin(path);
        let message = format!("`{path}`: {}", message.into());
        self.problems.push(Problem { place, message });
    }

    /// Says something that does not prevent the agent from running.
    pub fn warn(&mut self, message: String) {
        self.warnings.push(message);
    }

    /// Ends the reading: all effective values, and warnings.
    ///
    /// # Errors
    ///
    /// All that was wrong, unknown keys included.
    pub fn finish(&mut self) -> Result<Finished, Vec<Problem>> {
        if let Some((path, root)) = self.file.take() {
            let known: Vec<_> = self.effective.iter().map(|e| e.path).collect();
            unknown_keys(&known, &path, "", &root, &mut self.problems);
        }
        self.unknown_variables();
        if self.problems.is_empty() {
            Ok((take(&mut self.effective), take(&mut self.warnings)))
        } else {
            Err(take(&mut self.problems))
        }
    }

    fn keep(&mut self, path: &'static str, doc: &'static str, value: Shown, origin: Origin) {
        self.effective.push(Effective {
            path,
            doc,
            value,
            origin,
        });
    }

    /// The strongest source that has something to say about `path`, read in its own way.
    fn find<T>(
        &mut self,
        path: &'static str,
        standard: &[Standard<T>],
        of_flag: impl Fn(&[String]) -> Result<T, String>,
        of_variable: impl Fn(&str) -> Result<T, String>,
        of_node: impl Fn(&Node) -> NodeResult<T>,
    ) -> Option<(T, Origin)> {
        let variable = variable(path);
        self.variables.push(variable.clone());
        let names = standard.iter().map(|standard| standard.name.to_owned());
        self.variables.extend(names);

        if let Some(flag) = self.flags.iter().find(|flag| flag.setting == path) {
            let origin = Origin::Flag(flag.name);
            return self.accept(path, origin, of_flag(&flag.values));
        }
        if let Some(text) = set(self.environment, &variable) {
            let result = of_variable(text);
            return self.accept(path, Origin::Environment(variable), result);
        }
        for Standard { name, read } in standard {
            let Some(text) = set(self.environment, name) else {
                continue;
            };
            match read(text) {
                Ok(value) => return Some((value, Origin::Environment((*name).to_owned()))),
                Err(message) => self.warn(format!("environment {name} is ignored: {message}")),
            }
        }
        let (file, root) = self.file.as_ref()?;
        let (key, node) = at(root, path)?;
        let (mark, result) = match of_node(node) {
            // A list or a mapping begins in the line below its key.
            Ok(value) => match node.value {
                Value::Scalar(_) => (node.mark, Ok(value)),
                _ => (key.mark, Ok(value)),
            },
            Err((mark, message)) => (mark, Err(message)),
        };
        let path_of_file = Arc::clone(file);
        self.accept(
            path,
            Origin::File {
                path: path_of_file,
                mark,
            },
            result,
        )
    }

    fn accept<T>(
        &mut self,
        path: &str,
        place: Origin,
        result: Result<T, String>,
    ) -> Option<(T, Origin)> {
        match result {
            Ok(value) => Some((value, place)),
            Err(message) => {
                let message = format!("`{path}`: {message}");
                self.problems.push(Problem { place, message });
                None
            }
        }
    }

    /// Kubernetes puts variables for every service into its pods, `CLEW_SERVICE_HOST` and
    /// `CLEW_PORT` among them for a service called `clew`: an unknown one is no error.
    fn unknown_variables(&mut self) {
        let known: Vec<_> = self.variables.iter().map(String::as_str).collect();
        let warnings: Vec<_> = self
            .environment
            .keys()
            .filter(|name| name.starts_with("CLEW_") && !known.contains(&name.as_str()))
            .filter(|name| *name != CONFIG_VARIABLE && !of_kubernetes(name))
            .map(|name| {
                let hint = nearest(name, &known)
                    .map(|near| format!(": did you mean {near}?"))
                    .unwrap_or_default();
                format!("environment {name} is not known{hint}")
            })
            .collect();
        self.warnings.extend(warnings);
    }
}

/// The variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "CLEW_CONFIG";

/// `CLEW_SERVICE_HOST`, `CLEW_PORT_4317_TCP_ADDR` and their like.
fn of_kubernetes(name: &str) -> bool {
    name == "CLEW_PORT"
        || name.starts_with("CLEW_PORT_")
        || name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
}

/// Keys with their values.
pub type Pairs = Vec<(String, String)>;

/// What a node of the file means, or where and why it means nothing.
type NodeResult<T> = Result<T, (Mark, String)>;

/// The variable of a setting: `otlp.endpoint` is `CLEW_OTLP_ENDPOINT`.
fn variable(path: &str) -> String {
    format!("CLEW_{}", path.replace('.', "_").to_uppercase())
}

/// A variable's value. An empty one is as good as none (OpenTelemetry specification, "Environment
/// Variable Specification", "Parsing empty value").
fn set<'e>(environment: &'e Environment, name: &str) -> Option<&'e str> {
    let value = environment.get(name)?.trim();
    (!value.is_empty()).then_some(value)
}

fn read<T: Setting>(text: &str) -> Result<T, String> {
    T::read(text).map_err(|message| match T::PRIVATE {
        true => message,
        false => format!("{message}, not `{text}`"),
    })
}

fn last<T: Setting>(values: &[String]) -> Result<T, String> {
    read(values.last().map_or("", String::as_str))
}

fn pairs_of_flag(values: &[String]) -> Result<Pairs, String> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected `key=value`".to_owned()),
    };
    values.iter().map(pair).collect()
}

fn one_of_node<T: Setting>(node: &Node) -> NodeResult<T> {
    match &node.value {
        Value::Scalar(text) => read(text).map_err(|message| (node.mark, message)),
        _ => Err((node.mark, "expected a single value".to_owned())),
    }
}

fn list_of_node<T: Setting>(node: &Node) -> NodeResult<Vec<T>> {
    match &node.value {
        Value::Sequence(items) => items.iter().map(one_of_node).collect(),
        Value::Scalar(_) => Ok(vec![one_of_node(node)?]),
        _ => Err((node.mark, "expected a list".to_owned())),
    }
}

fn pairs_of_node(node: &Node) -> NodeResult<Pairs> {
    let Value::Mapping(entries) = &node.value else {
        return Err((node.mark, "expected keys with values".to_owned()));
    };
    let pair = |(key, value): &(Key, Node)| match &value.value {
        Value::Scalar(text) => Ok((key.name.clone(), text.clone())),
        _ => Err((value.mark, "expected a single value".to_owned())),
    };
    entries.iter().map(pair).collect()
}

/// What stands at a path, unless nothing is written there.
fn at<'n>(root: &'n Node, path: &str) -> Option<(&'n Key, &'n Node)> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let Value::Mapping(entries) = &root.value else {
        return None;
    };
    let (key, node) = entries.iter().find(|(key, _)| key.name == first)?;
    match rest {
        "" => (node.value != Value::Null).then_some((key, node)),
        rest => at(node, rest),
    }
}
