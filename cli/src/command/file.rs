//! Files that users give: JSON or YAML, `-` for stdin.

use std::io::Read;

use camino::Utf8Path;
use serde_json::Value;

use crate::client::Failure;

/// Largest file that is read: 16 MiB.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads a document. JSON is YAML too, but its errors are better told by its own reader.
pub(super) fn read(path: &Utf8Path) -> Result<Value, Failure> {
    let text = text(path)?;
    let name = if path == "-" { "stdin" } else { path.as_str() };
    if text.trim().is_empty() {
        return Err(Failure::input(
            format!("{name} is empty"),
            "put one JSON or YAML document in it",
        ));
    }
    let looks_like_json = text.trim_start().starts_with(['{', '[']);
    let parsed = if looks_like_json {
        serde_json::from_str(&text).or_else(|json| {
            serde_yaml_ng::from_str(&text).map_err(|_| format!("it is not JSON: {json}"))
        })
    } else {
        serde_yaml_ng::from_str(&text).map_err(|yaml| format!("it is not YAML: {yaml}"))
    };
    parsed.map_err(|reason| {
        Failure::input(
            format!("{name} cannot be read: {reason}"),
            "correct the document; several pipelines are one list, not several documents",
        )
    })
}

fn text(path: &Utf8Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin()
            .lock()
            .take(FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|f| f.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    read.map_err(|e| {
        Failure::input(
            format!("{path} cannot be read: {e}"),
            "check its name and rights",
        )
    })?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let detail = format!("{path} has more than {FILE_BYTES_MAX} bytes");
        return Err(Failure::input(detail, "send smaller documents"));
    }
    Ok(text)
}
