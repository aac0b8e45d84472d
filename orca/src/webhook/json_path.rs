//! The part of `JsonPath` that status fields are named with: `$.a.b`, `$['a']`, `$.list[0].x`.

use serde_json::Value;

/// The value at a path; `None` when the path is not understood or leads nowhere.
pub fn find<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let mut rest = path.trim().strip_prefix('$').unwrap_or(path.trim());
    let mut here = document;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inside, behind) = after.split_once(']')?;
            let name = inside.trim_matches(|c| c == '\'' || c == '"');
            here = match inside.parse::<usize>() {
                Ok(index) => here.get(index)?,
                Err(_) => here.get(name)?,
            };
            rest = behind;
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, behind) = after.split_at(end);
            if name.is_empty() {
                return None;
            }
            here = here.get(name)?;
            rest = behind;
        }
    }
    Some(here)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::find;

    #[test]
    fn paths_lead_to_values() {
        let document = json!({"a": {"b-c": [1, {"d": "x"}]}, "s": "y"});
        assert_eq!(find(&document, "$.a.b-c[1].d"), Some(&json!("x")));
        assert_eq!(find(&document, "$['a']['b-c'][0]"), Some(&json!(1)));
        assert_eq!(find(&document, "s"), Some(&json!("y")));
        assert_eq!(find(&document, "$"), Some(&document));
        assert_eq!(find(&document, "$.a.nope"), None);
        assert_eq!(find(&document, "$.a..b"), None);
        assert_eq!(find(&document, "$.a[0"), None);
    }
}
