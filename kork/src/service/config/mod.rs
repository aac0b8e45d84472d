//! Configuration in layers: defaults < file (YAML or JSON) < environment < flags.
//!
//! Keys are written in a file as the schema has them. A variable is `GENNAKER_` and the path in upper
//! case with `_` between and inside the keys: `GENNAKER_GATE_STOP_GRACE=30s` sets `gate.stopGrace`
//! (or `gate.stop_grace`). Lists are separated by commas; objects and lists of objects are JSON. All
//! problems of all layers are reported at once.

mod shape;
mod values;

use std::{collections::BTreeMap, fmt};

use camino::{Utf8Path, Utf8PathBuf};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use self::shape::{Shape, nearest, plain};
pub use self::values::{Duration, Secret};
use crate::model::{Kind, Problem};

/// What every variable begins with.
pub const PREFIX: &str = "GENNAKER_";
/// Variables with the prefix that are no settings: the command line reads them itself, or a deployed
/// process is known by them.
pub const NO_SETTINGS: [&str; 8] = [
    "GENNAKER_CONFIG",
    "GENNAKER_LOG",
    "GENNAKER_GATE",
    "GENNAKER_GATE_URL",
    "GENNAKER_TOKEN",
    "GENNAKER_USER",
    "GENNAKER_CLOUDDRIVER",
    "GENNAKER_RUN",
];
/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most wrong values that are looked for.
const PROBLEMS_MAX: usize = 100;

/// Where settings come from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// A YAML or JSON file.
    pub file: Option<Utf8PathBuf>,
    /// Variables; those without the prefix are passed over.
    pub environment: Vec<(String, String)>,
    /// A JSON object of the settings that flags give; `Null` for none.
    pub flags: Value,
}

impl Layers {
    /// A file, this process's environment, and flags.
    pub fn of_process(file: Option<Utf8PathBuf>, flags: Value) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        Self {
            file,
            environment,
            flags,
        }
    }
}

/// Where one setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Default,
    File(Utf8PathBuf),
    /// Name of the variable.
    Environment(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// One setting that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} ({origin}): {detail}")]
pub struct ConfigProblem {
    pub origin: Origin,
    /// Path of the setting, such as `gate.port`; `.` for the whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub detail: String,
}

/// All of them as one problem, for the log and the terminal.
pub fn problem(problems: &[ConfigProblem]) -> Problem {
    let text = match problems.len() {
        1 => "the configuration has a mistake, nothing was started".to_owned(),
        count => format!("the configuration has {count} mistakes, nothing was started"),
    };
    problems.iter().fold(
        Problem::new("KORK-0006", Kind::Invalid, text),
        |problem, one| {
            let pointer = format!("/{}", one.path.replace('.', "/"));
            problem.field(pointer, format!("{} ({})", one.detail, one.origin))
        },
    )
}

/// A configuration and where its values come from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    pub config: T,
    origins: BTreeMap<String, Origin>,
}

/// One line of [`Loaded::dump`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub path: String,
    /// As JSON; secrets are `***`.
    pub value: Value,
    pub origin: Origin,
}

impl<T: Serialize> Loaded<T> {
    /// Every setting with its value and its origin, sorted by path.
    pub fn dump(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        let shown = serde_json::to_value(&self.config).unwrap_or_default();
        leaves(&shown, &mut Vec::new(), &mut |path, value| {
            let path = path.join(".");
            let origin = self.origin(&path);
            settings.push(Setting {
                path,
                value: value.clone(),
                origin,
            });
        });
        settings.sort_by(|a, b| a.path.cmp(&b.path));
        settings
    }

    /// Where a setting comes from.
    pub fn origin(&self, path: &str) -> Origin {
        origin_of(&self.origins, path)
    }
}

/// The JSON schema of a configuration.
pub fn schema<T: JsonSchema>() -> Value {
    schemars::SchemaGenerator::default()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Loads a configuration, or says everything that is wrong with it.
pub fn load<T>(layers: Layers) -> Result<Loaded<T>, Vec<ConfigProblem>>
where
    T: DeserializeOwned + Serialize + JsonSchema + Default,
{
    let schema = schema::<T>();
    let shape = Shape::new(&schema);
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    let mut merge = Merge {
        value: defaults.clone(),
        ..Merge::default()
    };
    if let Some(path) = layers.file {
        match read_file(&path) {
            Ok(value) => merge.layer(value, shape, &Origin::File(path)),
            Err(detail) => merge.wrong(Origin::File(path), &[], detail),
        }
    }
    let mut environment = layers.environment;
    environment.sort();
    for (name, text) in environment {
        merge.variable(&name, &text, shape);
    }
    if !layers.flags.is_null() {
        merge.layer(layers.flags, shape, &Origin::Flag);
    }
    let config = merge.read(&defaults);
    match config {
        Some(config) if merge.problems.is_empty() => Ok(Loaded {
            config,
            origins: merge.origins,
        }),
        _ => Err(merge.problems),
    }
}

fn read_file(path: &Utf8Path) -> Result<Value, String> {
    let size = std::fs::metadata(path)
        .map_err(|e| format!("it cannot be read: {e}"))?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(format!(
            "it has {size} bytes, at most {FILE_BYTES_MAX} are allowed"
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("it cannot be read: {e}"))?;
    let value: Value = if path.extension() == Some("json") {
        serde_json::from_str(&text).map_err(|e| format!("it is not JSON: {e}"))?
    } else {
        serde_yaml_ng::from_str(&text).map_err(|e| format!("it is not YAML: {e}"))?
    };
    match value {
        Value::Null => Ok(Value::Object(Map::new())),
        Value::Object(_) => Ok(value),
        _ => Err("it must hold keys and values".to_owned()),
    }
}

#[derive(Default)]
struct Merge {
    value: Value,
    origins: BTreeMap<String, Origin>,
    problems: Vec<ConfigProblem>,
}

impl Merge {
    fn wrong(&mut self, origin: Origin, path: &[String], detail: String) {
        let path = if path.is_empty() {
            ".".to_owned()
        } else {
            path.join(".")
        };
        self.problems.push(ConfigProblem {
            origin,
            path,
            detail,
        });
    }

    /// Puts a layer over the value, without its unknown keys.
    fn layer(&mut self, mut layer: Value, shape: Shape<'_>, origin: &Origin) {
        self.strip(&mut layer, shape, origin, &mut Vec::new());
        let mut base = std::mem::take(&mut self.value);
        self.overlay(&mut base, layer, origin, &mut Vec::new());
        self.value = base;
    }

    fn strip(
        &mut self,
        layer: &mut Value,
        shape: Shape<'_>,
        origin: &Origin,
        path: &mut Vec<String>,
    ) {
        match layer {
            Value::Object(object) => {
                let keys: Vec<String> = object.keys().cloned().collect();
                for key in keys {
                    path.push(key.clone());
                    if let (Some(child), Some(value)) = (shape.child(&key), object.get_mut(&key)) {
                        self.strip(value, child, origin, path);
                    } else {
                        object.remove(&key);
                        self.wrong(origin.clone(), path, unknown(&key, shape));
                    }
                    path.pop();
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter_mut().enumerate() {
                    path.push(index.to_string());
                    self.strip(value, shape.item().unwrap_or(shape), origin, path);
                    path.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn overlay(&mut self, base: &mut Value, layer: Value, origin: &Origin, path: &mut Vec<String>) {
        match (base, layer) {
            (Value::Object(base), Value::Object(layer)) => {
                for (key, value) in layer {
                    path.push(key.clone());
                    self.overlay(base.entry(key).or_insert(Value::Null), value, origin, path);
                    path.pop();
                }
            }
            (base, layer) => {
                *base = layer;
                let path = path.join(".");
                let below = format!("{path}.");
                self.origins.retain(|known, _| !known.starts_with(&below));
                self.origins.insert(path, origin.clone());
            }
        }
    }

    fn variable(&mut self, name: &str, text: &str, shape: Shape<'_>) {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            return;
        };
        if NO_SETTINGS.contains(&name) {
            return;
        }
        let words: Vec<&str> = rest.split('_').filter(|word| !word.is_empty()).collect();
        let origin = Origin::Environment(name.to_owned());
        let Some((path, at)) = find(&words, shape) else {
            let detail = format!("there is no such setting; {}", near_variable(rest, shape));
            self.wrong(origin, &[], detail);
            return;
        };
        let layer = path.iter().rev().fold(value_of(text, at), |value, key| {
            Value::Object(Map::from_iter([(key.clone(), value)]))
        });
        self.layer(layer, shape, &origin);
    }

    /// Reads the merged value; a wrong part is noted and replaced by its default, so that the next
    /// one is found too.
    fn read<T: DeserializeOwned>(&mut self, defaults: &Value) -> Option<T> {
        while self.problems.len() < PROBLEMS_MAX {
            let error = match serde_path_to_error::deserialize::<_, T>(&self.value) {
                Ok(config) => return Some(config),
                Err(error) => error,
            };
            let path: Vec<String> = error
                .path()
                .iter()
                .filter_map(|segment| match segment {
                    serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
                    serde_path_to_error::Segment::Map { key } => Some(key.clone()),
                    serde_path_to_error::Segment::Enum { .. }
                    | serde_path_to_error::Segment::Unknown => None,
                })
                .collect();
            let origin = origin_of(&self.origins, &path.join("."));
            self.wrong(origin, &path, error.into_inner().to_string());
            if !restore(&mut self.value, defaults, &path) {
                return None;
            }
        }
        None
    }
}

/// Puts the default back at a path, or removes what has none. False when nothing changed.
fn restore(value: &mut Value, defaults: &Value, path: &[String]) -> bool {
    let pointer = pointer_to(path);
    let before = value.clone();
    if let (Some(default), Some(place)) = (defaults.pointer(&pointer), value.pointer_mut(&pointer))
    {
        *place = default.clone();
    } else if let Some((last, above)) = path.split_last() {
        match value.pointer_mut(&pointer_to(above)) {
            Some(Value::Object(object)) => drop(object.remove(last)),
            Some(Value::Array(_)) => return restore(value, defaults, above),
            _ => {}
        }
    }
    if *value == before && !path.is_empty() {
        return restore(value, defaults, &path[..path.len() - 1]);
    }
    *value != before
}

/// The JSON pointer of a path.
fn pointer_to(path: &[String]) -> String {
    path.iter().fold(String::new(), |mut pointer, key| {
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        pointer
    })
}

/// The origin of a setting, or of the nearest setting above it.
fn origin_of(origins: &BTreeMap<String, Origin>, path: &str) -> Origin {
    let mut path = path;
    loop {
        if let Some(origin) = origins.get(path) {
            return origin.clone();
        }
        match path.rsplit_once('.') {
            Some((above, _)) => path = above,
            None => return Origin::Default,
        }
    }
}

fn unknown(key: &str, shape: Shape<'_>) -> String {
    if let Some(known) = nearest(key, shape.keys()) {
        return format!("there is no such setting, did you mean {known:?}");
    }
    let known: Vec<&str> = shape.keys().map(String::as_str).collect();
    format!(
        "there is no such setting, known here are {}",
        known.join(", ")
    )
}

/// Finds the setting that a variable names: as many words as make a key, then on below it.
fn find<'a>(words: &[&str], shape: Shape<'a>) -> Option<(Vec<String>, Shape<'a>)> {
    if words.is_empty() {
        return Some((Vec::new(), shape));
    }
    for take in (1..=words.len()).rev() {
        let wanted = plain(&words[..take].concat());
        let known = shape.keys().find(|key| plain(key) == wanted).cloned();
        let free = || (shape.is_map() && take == 1).then(|| words[0].to_ascii_lowercase());
        let Some(key) = known.or_else(free) else {
            continue;
        };
        let below = shape
            .child(&key)
            .and_then(|child| find(&words[take..], child));
        if let Some((mut path, at)) = below {
            path.insert(0, key);
            return Some((path, at));
        }
    }
    None
}

fn near_variable(rest: &str, shape: Shape<'_>) -> String {
    let mut known = Vec::new();
    variables(shape, String::new(), 0, &mut known);
    let wrong = rest.to_owned();
    nearest(&wrong, known.iter()).map_or_else(
        || "the schema of the configuration lists them".to_owned(),
        |name| format!("did you mean {PREFIX}{name}"),
    )
}

/// Deepest nesting of settings that names are suggested for.
const DEPTH_MAX: usize = 8;

fn variables(shape: Shape<'_>, above: String, depth: usize, known: &mut Vec<String>) {
    let mut leaf = true;
    if depth < DEPTH_MAX {
        for key in shape.keys() {
            leaf = false;
            let mut name = above.clone();
            if !name.is_empty() {
                name.push('_');
            }
            for c in key.chars() {
                if c.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(c.to_ascii_uppercase());
            }
            if let Some(child) = shape.child(key) {
                variables(child, name, depth + 1, known);
            }
        }
    }
    if leaf && !above.is_empty() {
        known.push(above);
    }
}

/// A variable's text as the type that the schema asks for; what does not fit stays text and is
/// refused with the other problems.
fn value_of(text: &str, shape: Shape<'_>) -> Value {
    let json = || serde_json::from_str::<Value>(text).ok();
    if shape.is("array") {
        let list = json().filter(Value::is_array);
        return list.unwrap_or_else(|| {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            let item = shape.item();
            items
                .map(|text| item.map_or_else(|| text.into(), |item| value_of(text, item)))
                .collect()
        });
    }
    let other = ["object", "integer", "number", "boolean"]
        .iter()
        .any(|name| shape.is(name));
    if other && !shape.is("string") {
        return json().unwrap_or_else(|| text.into());
    }
    text.into()
}

fn leaves(value: &Value, path: &mut Vec<String>, found: &mut impl FnMut(&[String], &Value)) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                path.push(key.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        other => found(path, other),
    }
}

#[cfg(test)]
mod tests;
