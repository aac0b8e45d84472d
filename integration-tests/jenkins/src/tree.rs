//! The `tree` parameter of Jenkins' API: which members an answer has.

use serde_json::{Map, Value};

/// How deep a tree may be.
const DEPTH_MAX: usize = 64;

/// The members that are wanted of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree(Vec<Member>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    name: String,
    inner: Tree,
    range: Option<(usize, usize)>,
}

/// The text is not a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree cannot be read at byte {0}")]
pub struct BadTree(pub usize);

impl Tree {
    /// Reads `a,b[c]{0,20}`.
    pub fn parse(text: &str) -> Result<Self, BadTree> {
        let mut reader = Reader {
            text: text.as_bytes(),
            at: 0,
        };
        let tree = reader.tree(0)?;
        if reader.at == text.len() {
            Ok(tree)
        } else {
            Err(BadTree(reader.at))
        }
    }

    /// What of `value` is asked for; `_class` always is.
    pub fn filter(&self, value: Value) -> Value {
        match value {
            Value::Array(list) => list.into_iter().map(|v| self.filter(v)).collect(),
            Value::Object(object) => Value::Object(self.members(object)),
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
        }
    }

    fn members(&self, object: Map<String, Value>) -> Map<String, Value> {
        let kept = object.into_iter().filter_map(|(name, value)| {
            if name == "_class" {
                return Some((name, value));
            }
            let member = self.0.iter().find(|m| m.name == name || m.name == "*")?;
            let value = match (value, member.range) {
                (Value::Array(list), Some((from, to))) => {
                    let count = to.saturating_sub(from);
                    list.into_iter().skip(from).take(count).collect()
                }
                (value, _) => value,
            };
            Some((name, member.inner.filter(value)))
        });
        kept.collect()
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn tree(&mut self, depth: usize) -> Result<Tree, BadTree> {
        if depth > DEPTH_MAX {
            return Err(BadTree(self.at));
        }
        let mut members = vec![self.member(depth)?];
        while self.take(b',') {
            members.push(self.member(depth)?);
        }
        Ok(Tree(members))
    }

    fn member(&mut self, depth: usize) -> Result<Member, BadTree> {
        let name = self.while_is(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'*');
        if name.is_empty() {
            return Err(BadTree(self.at));
        }
        let mut inner = Tree::default();
        if self.take(b'[') {
            inner = self.tree(depth + 1)?;
            if !self.take(b']') {
                return Err(BadTree(self.at));
            }
        }
        let range = if self.take(b'{') {
            Some(self.range()?)
        } else {
            None
        };
        Ok(Member { name, inner, range })
    }

    /// `{from,to}` without `to` itself, `{n}` for one element, either end may be left out.
    fn range(&mut self) -> Result<(usize, usize), BadTree> {
        let start = self.at;
        let from = self.while_is(|b| b.is_ascii_digit());
        let number = |text: &str, none| {
            if text.is_empty() {
                Ok(none)
            } else {
                text.parse().map_err(|_| BadTree(start))
            }
        };
        let range = if self.take(b',') {
            let to = self.while_is(|b| b.is_ascii_digit());
            (number(&from, 0)?, number(&to, usize::MAX)?)
        } else {
            let one: usize = from.parse().map_err(|_| BadTree(start))?;
            (one, one.saturating_add(1))
        };
        if self.take(b'}') {
            Ok(range)
        } else {
            Err(BadTree(self.at))
        }
    }

    fn while_is(&mut self, is: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&is) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn filtered(tree: &str, value: Value) -> Value {
        Tree::parse(tree).unwrap().filter(value)
    }

    #[test]
    fn members_are_filtered_and_lists_are_cut() {
        let value =
            json!({"_class": "J", "a": 1, "b": 2, "list": [{"n": 1, "m": 1}, {"n": 2}, {"n": 3}]});
        assert_eq!(
            filtered("a,list[n]{0,2}", value.clone()),
            json!({"_class": "J", "a": 1, "list": [{"n": 1}, {"n": 2}]})
        );
        assert_eq!(
            filtered("list[n]{1}", value.clone()),
            json!({"_class": "J", "list": [{"n": 2}]})
        );
        assert_eq!(
            filtered("list[*]{2,}", value.clone()),
            json!({"_class": "J", "list": [{"n": 3}]})
        );
        assert_eq!(
            filtered("list", value),
            json!({"_class": "J", "list": [{}, {}, {}]})
        );
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        for text in [
            "", "a,", "a[", "a[b", "a]", "a{", "a{}", "a{x}", "a b", "a[]",
        ] {
            assert!(Tree::parse(text).is_err(), "{text}");
        }
        assert!(Tree::parse(&"a[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[a-c\\[\\]{},0-9*]{0,40}") {
            if let Ok(tree) = Tree::parse(&text) {
                tree.filter(json!({"a": [{"b": 1}], "b": {"c": []}}));
            }
        }
    }
}
