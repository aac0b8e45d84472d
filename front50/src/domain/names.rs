//! Names and ids: what may become part of a key.

use kork::model::FieldError;

use super::{layout::MARKER, limits::NAME_BYTES_MAX, problems::field};

/// Key part of the notifications that are for all applications.
pub const GLOBAL: &str = "__global";

/// Says why a text cannot be part of a key. Spinnaker takes any text, and then has objects that no
/// path reaches (`/`), that overwrite its own marker, or that a directory cannot hold.
pub fn key_part(pointer: &str, what: &str, text: &str) -> Option<FieldError> {
    let reason = if text.trim().is_empty() {
        "must not be empty".to_owned()
    } else if text.len() > NAME_BYTES_MAX {
        format!(
            "has {} bytes, at most {NAME_BYTES_MAX} are allowed",
            text.len()
        )
    } else if text.contains(['/', '\\']) || text.chars().any(char::is_control) {
        "must not contain slashes, backslashes or control characters".to_owned()
    } else if text == "." || text == ".." || text.eq_ignore_ascii_case(MARKER) {
        "is reserved".to_owned()
    } else {
        return None;
    };
    Some(field(pointer, format!("{what} {reason}")))
}

/// Says why a text cannot be the name of a pipeline or a project: shown and compared, but no key.
pub fn shown_name(pointer: &str, what: &str, text: &str) -> Option<FieldError> {
    let reason = if text.len() > NAME_BYTES_MAX {
        format!(
            "has {} bytes, at most {NAME_BYTES_MAX} are allowed",
            text.len()
        )
    } else if text.chars().any(char::is_control) {
        "must not contain control characters".to_owned()
    } else {
        return None;
    };
    Some(field(pointer, format!("{what} {reason}")))
}

/// Says why a text cannot be the name of an application.
pub fn application(pointer: &str, name: &str) -> Option<FieldError> {
    if name.eq_ignore_ascii_case(GLOBAL) {
        return Some(field(
            pointer,
            "the application name is reserved for global notifications",
        ));
    }
    key_part(pointer, "the application name", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_path_is_refused_and_the_rest_is_taken() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for bad in [
            "",
            "  ",
            "a/b",
            "a\\b",
            "a\nb",
            ".",
            "..",
            "Last-Modified.json",
            long.as_str(),
        ] {
            assert!(key_part("/name", "the name", bad).is_some(), "{bad:?}");
        }
        let fits = "x".repeat(NAME_BYTES_MAX);
        for good in [
            "shop",
            "bad name!",
            "tmpl1@sha256:0f",
            "größe",
            "a.b",
            fits.as_str(),
        ] {
            assert_eq!(key_part("/name", "the name", good), None, "{good:?}");
        }
        assert!(application("/name", "__GLOBAL").is_some());
    }
}
