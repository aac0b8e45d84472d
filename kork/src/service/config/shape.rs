//! Questions to the JSON schema of a configuration: which keys there are, and of which type.

use serde_json::{Map, Value};

/// One place of the schema, with the references of the whole resolved.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    root: &'a Value,
    node: &'a Value,
}

impl<'a> Shape<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self { root, node: root }.resolved()
    }

    fn at(self, node: &'a Value) -> Self {
        Self {
            root: self.root,
            node,
        }
        .resolved()
    }

    /// Follows references, and looks through "this or null".
    fn resolved(mut self) -> Self {
        loop {
            let next = if let Some(Value::String(reference)) = self.node.get("$ref") {
                self.root.pointer(reference.trim_start_matches('#'))
            } else {
                ["anyOf", "allOf"].iter().find_map(|key| {
                    let choices = self.node.get(key)?.as_array()?;
                    choices
                        .iter()
                        .find(|choice| choice.get("type") != Some(&"null".into()))
                })
            };
            match next {
                Some(node) => self.node = node,
                None => return self,
            }
        }
    }

    fn properties(self) -> Option<&'a Map<String, Value>> {
        self.node.get("properties")?.as_object()
    }

    /// The known keys of an object.
    pub(super) fn keys(self) -> impl Iterator<Item = &'a String> {
        self.properties().into_iter().flat_map(Map::keys)
    }

    /// What is at a key: a known one, or any one where the keys are free.
    pub(super) fn child(self, key: &str) -> Option<Self> {
        if let Some(node) = self.properties().and_then(|known| known.get(key)) {
            return Some(self.at(node));
        }
        match self.node.get("additionalProperties") {
            Some(Value::Object(_)) => self
                .node
                .get("additionalProperties")
                .map(|node| self.at(node)),
            Some(Value::Bool(true)) => Some(self),
            // A place that says nothing about keys takes any.
            None if self.properties().is_none() => Some(self),
            _ => None,
        }
    }

    /// What is in a list.
    pub(super) fn item(self) -> Option<Self> {
        self.node.get("items").map(|node| self.at(node))
    }

    /// True when the schema names this type here.
    pub(super) fn is(self, name: &str) -> bool {
        match self.node.get("type") {
            Some(Value::String(one)) => one == name,
            Some(Value::Array(several)) => several.iter().any(|one| one == name),
            _ => false,
        }
    }

    /// Whether keys below are free text.
    pub(super) fn is_map(self) -> bool {
        self.properties().is_none()
            && matches!(
                self.node.get("additionalProperties"),
                Some(Value::Object(_))
            )
    }
}

/// The known key that is nearest to a wrong one, when one is near.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let plain = plain(wrong);
    known
        .map(|key| (distance(&plain, &self::plain(key)), key.as_str()))
        .filter(|(distance, key)| *distance <= key.len().div_ceil(3).max(1))
        .min()
        .map(|(_, key)| key)
}

/// A key without case and separators: `stopGrace`, `stop_grace` and `STOP_GRACE` are alike.
pub(super) fn plain(key: &str) -> String {
    key.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
