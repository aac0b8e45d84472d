//! Property files: the variables that a build hands on.

pub mod java;
pub mod logged;

use kork_model::Context;
use serde_json::Value;
use serde_yaml_ng::Value as Yaml;

use crate::build::BuildArtifact;

/// Archived artifacts that an error names.
const NAMED_MAX: usize = 50;
/// Characters of one name, or of what a reader of files says, in an error.
const SAID_CHARS_MAX: usize = 200;

/// Why a build has no properties. Each names the archived artifacts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyFileError {
    /// No artifact has that path or name.
    #[error("the build did not archive a property file {file:?}; it archived {archived}")]
    Missing { file: String, archived: String },
    /// Several artifacts have that name.
    #[error(
        "several artifacts are called {file:?}, give the whole path: {matching}; the build archived {archived}"
    )]
    Ambiguous {
        file: String,
        matching: String,
        archived: String,
    },
    /// There is nothing in it.
    #[error("the property file {file:?} is empty; the build archived {archived}")]
    Empty { file: String, archived: String },
    /// No job archived it, and no log has a property.
    #[error(
        "no job of the build archived a property file {file:?}, and none wrote a line \
         SPINNAKER_PROPERTY_<NAME>=<value> to its log; it archived {archived}"
    )]
    Nowhere { file: String, archived: String },
    /// It is not what its name promises.
    #[error("the property file {file:?} cannot be read: {reason}; the build archived {archived}")]
    Broken {
        file: String,
        reason: String,
        archived: String,
    },
}

/// The artifact that `file` means: by its whole path first, then by its name alone.
pub fn find<'a>(
    artifacts: &'a [BuildArtifact],
    file: &str,
) -> Result<&'a BuildArtifact, PropertyFileError> {
    if let Some(found) = artifacts.iter().find(|a| a.relative_path == file) {
        return Ok(found);
    }
    let named: Vec<_> = artifacts.iter().filter(|a| a.file_name == file).collect();
    match named[..] {
        [one] => Ok(one),
        [] => Err(PropertyFileError::Missing {
            file: file.to_owned(),
            archived: listed(artifacts.iter()),
        }),
        _ => Err(PropertyFileError::Ambiguous {
            file: file.to_owned(),
            matching: listed(named.iter().copied()),
            archived: listed(artifacts.iter()),
        }),
    }
}

/// The values of the one file of those that were found, by path; none when nothing was.
pub fn one(
    found: &[(String, Vec<u8>)],
    file: &str,
    artifacts: &[BuildArtifact],
) -> Result<Option<Context>, PropertyFileError> {
    match found {
        [] => Ok(None),
        [(path, bytes)] => parse(path, bytes, artifacts).map(Some),
        several => {
            let paths: Vec<_> = several
                .iter()
                .map(|(path, _)| BuildArtifact::new(path))
                .collect();
            Err(PropertyFileError::Ambiguous {
                file: file.to_owned(),
                matching: listed(paths.iter()),
                archived: listed(artifacts.iter()),
            })
        }
    }
}

/// What a build archived, as errors name it.
pub(crate) fn named(artifacts: &[BuildArtifact]) -> String {
    listed(artifacts.iter())
}

/// Reads a file by the end of its name: YAML, JSON, or else Java properties.
pub fn parse(
    file: &str,
    bytes: &[u8],
    artifacts: &[BuildArtifact],
) -> Result<Context, PropertyFileError> {
    let archived = || listed(artifacts.iter());
    let ending = file
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let read = if bytes.iter().all(u8::is_ascii_whitespace) {
        Ok(Context::new())
    } else {
        match ending.as_str() {
            "yml" | "yaml" => yaml(bytes),
            "json" => json(bytes),
            _ => java(bytes),
        }
    };
    match read {
        Ok(values) if values.is_empty() => Err(PropertyFileError::Empty {
            file: file.to_owned(),
            archived: archived(),
        }),
        Ok(values) => Ok(values),
        Err(reason) => Err(PropertyFileError::Broken {
            file: file.to_owned(),
            reason: cut(&reason),
            archived: archived(),
        }),
    }
}

fn java(bytes: &[u8]) -> Result<Context, String> {
    let pairs = java::parse(bytes).map_err(|e| e.to_string())?;
    Ok(pairs
        .into_iter()
        .map(|(k, v)| (k, Value::String(v)))
        .collect())
}

fn json(bytes: &[u8]) -> Result<Context, String> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err("the file is not a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn yaml(bytes: &[u8]) -> Result<Context, String> {
    if kork_model::yaml::opens_too_many(bytes) {
        return Err("it is nested too deep".to_owned());
    }
    match serde_yaml_ng::from_slice(bytes) {
        Ok(value @ Yaml::Mapping(_)) => match plain(value) {
            Value::Object(values) => Ok(values),
            _ => Err("the file is not a YAML mapping".to_owned()),
        },
        Ok(Yaml::Null) => Ok(Context::new()),
        Ok(_) => Err("the file is not a YAML mapping".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// YAML as JSON: keys become texts, tags are taken away. The reader of YAML limits the depth.
fn plain(value: Yaml) -> Value {
    match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => Value::Bool(flag),
        Yaml::Number(number) => serde_json::to_value(number).unwrap_or(Value::Null),
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(list) => list.into_iter().map(plain).collect(),
        Yaml::Mapping(map) => map.into_iter().map(|(k, v)| (key(k), plain(v))).collect(),
        Yaml::Tagged(tagged) => plain(tagged.value),
    }
}

fn key(value: Yaml) -> String {
    match plain(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(SAID_CHARS_MAX).collect()
}

fn listed<'a>(artifacts: impl ExactSizeIterator<Item = &'a BuildArtifact>) -> String {
    let count = artifacts.len();
    if count == 0 {
        return "nothing".to_owned();
    }
    let names = artifacts.take(NAMED_MAX).map(|a| cut(&a.relative_path));
    let mut text = names.collect::<Vec<_>>().join(", ");
    if count > NAMED_MAX {
        text.push_str(&format_args!(" and {} more", count - NAMED_MAX).to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn archived(paths: &[&str]) -> Vec<BuildArtifact> {
        paths.iter().map(|p| BuildArtifact::new(p)).collect()
    }

    #[test]
    fn a_file_is_found_by_path_then_by_name() {
        let artifacts = archived(&[
            "a/x.properties",
            "x.properties",
            "b/y.json",
            "c/y.json",
            "d/z",
        ]);
        assert_eq!(
            find(&artifacts, "x.properties").unwrap().relative_path,
            "x.properties"
        );
        assert_eq!(find(&artifacts, "z").unwrap().relative_path, "d/z");
        assert_eq!(
            find(&artifacts, "c/y.json").unwrap().relative_path,
            "c/y.json"
        );
        let error = find(&artifacts, "y.json").unwrap_err().to_string();
        assert!(error.contains("b/y.json, c/y.json"), "{error}");
        assert!(
            find(&[], "q")
                .unwrap_err()
                .to_string()
                .contains("archived nothing")
        );
    }

    #[test]
    fn three_failures_have_three_messages_with_the_artifacts() {
        let artifacts = archived(&["out/a.json"]);
        let missing = find(&artifacts, "b.json").unwrap_err();
        let empty = parse("a.json", b" \n", &artifacts).unwrap_err();
        let broken = parse("a.json", b"{", &artifacts).unwrap_err();
        let texts: std::collections::BTreeSet<_> = [missing, empty, broken]
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts.len(), 3);
        assert!(texts.iter().all(|t| t.contains("out/a.json")), "{texts:?}");
    }

    #[test]
    fn the_name_says_how_it_is_read() {
        let read = |name: &str, text: &str| parse(name, text.as_bytes(), &[]);
        assert_eq!(read("a.properties", "k: v").unwrap()["k"], "v");
        assert_eq!(
            read("a.YML", "k: {1: [true, !t x]}").unwrap()["k"],
            serde_json::json!({"1": [true, "x"]})
        );
        assert_eq!(read("a.json", r#"{"k": 1}"#).unwrap()["k"], 1);
        for (name, text) in [
            ("a.json", "[1]"),
            ("a.yaml", "- 1"),
            ("a.yaml", "a: ["),
            ("x", "\\u1"),
        ] {
            assert!(
                matches!(read(name, text), Err(PropertyFileError::Broken { .. })),
                "{name} {text}"
            );
        }
        for (name, text) in [("a.json", "{}"), ("a.yaml", "---\n"), ("x", "# nothing")] {
            assert!(
                matches!(read(name, text), Err(PropertyFileError::Empty { .. })),
                "{name} {text}"
            );
        }
    }

    #[test]
    fn a_file_that_grows_when_read_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            let line = [below.as_str(); 9].join(", ");
            bomb.extend([format!("a{level}: &a{level} [{line}]\n")]);
        }
        assert!(parse("a.yaml", bomb.as_bytes(), &[]).is_err());
    }

    #[test]
    fn deep_nesting_is_refused_before_it_costs_much() {
        let started = std::time::Instant::now();
        for deep in ["[", "{\"a\":", "- ", "? ", "a: [", "[{"] {
            for name in ["a.json", "a.yaml"] {
                let bytes = deep.repeat(100_000);
                assert!(parse(name, bytes.as_bytes(), &[]).is_err(), "{name} {deep}");
                assert!(started.elapsed().as_secs() < 20, "{name} {deep}");
            }
        }
        let flat = format!("a: '{}'", "[]".repeat(10_000));
        assert!(parse("a.yaml", flat.as_bytes(), &[]).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..120), ending in "(json|yaml|properties)") {
            drop(parse(&format!("f.{ending}"), &bytes, &[]));
        }

        #[test]
        fn no_text_breaks_yaml(text in "[a-c:&*!?|>{}\\[\\], \\n\"'#-]{0,80}") {
            drop(parse("f.yaml", text.as_bytes(), &[]));
        }
    }
}
