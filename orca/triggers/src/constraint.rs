//! Constraints on payloads, property files and attributes: all of them have to hold.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use kork_model::Context;
use serde_json::Value;

use crate::{
    json_path, member,
    mismatch::Mismatch,
    pattern::{self, How, Patterns},
};

/// Names and what they must be; `None` only asks that the name is there.
pub(crate) type Constraints = Box<[(Box<str>, Option<Box<str>>)]>;

/// The values of a name as patterns see them.
type Texts<'a> = Rc<[Cow<'a, str>]>;

/// Most names whose values are kept per document.
const KEPT_MAX: usize = 1024;

/// What constraints look into. Many triggers ask for the same few names, which are looked up once.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    map: &'a Context,
    kept: RefCell<HashMap<Box<str>, Texts<'a>>>,
}

impl<'a> Document<'a> {
    pub(crate) fn of(map: &'a Context) -> Self {
        Self {
            map,
            kept: RefCell::default(),
        }
    }

    /// What a name leads to; of lists their items.
    fn values(&self, name: &str) -> Texts<'a> {
        if let Some(values) = self.kept.borrow().get(name) {
            return Rc::clone(values);
        }
        let values = values(self.map, name);
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.insert(Box::from(name), Rc::clone(&values));
        }
        values
    }
}

/// The constraints in a member of a trigger, those first that are cheap to look at; none when it is
/// missing or no object.
pub(crate) fn read(trigger: &Context, member: &str) -> Constraints {
    let map = trigger.get(member).and_then(Value::as_object);
    let mut all: Constraints = map
        .into_iter()
        .flatten()
        .map(|(name, wanted)| {
            let wanted = (!wanted.is_null()).then(|| Box::from(member::spelled(wanted)));
            (Box::from(name.as_str()), wanted)
        })
        .collect();
    all.sort_by_key(|(_, wanted)| {
        wanted
            .as_deref()
            .is_some_and(|wanted| !pattern::is_plain(wanted))
    });
    all
}

/// A name is a member of the document, else a `JsonPath`; its pattern must occur in the value, or in
/// one of several.
pub(crate) fn payload<'a, 'b: 'a>(
    constraints: &'a Constraints,
    document: &Document<'b>,
    whole: &str,
    patterns: &Patterns,
) -> Result<(), Mismatch<'a>> {
    for (name, wanted) in constraints {
        let values = document.values(name);
        let field = || format!("{whole} `{name}`");
        let Some(wanted) = wanted else {
            if values.is_empty() {
                return Err(Mismatch::differs(field(), "any value", None::<&str>));
            }
            continue;
        };
        let mut holds = false;
        for value in &*values {
            let found = patterns.holds(How::Find, wanted, value);
            holds |= found.map_err(|bad| Mismatch::Bad {
                field: field().into(),
                wanted: Cow::Borrowed(wanted),
                problem: bad.0,
            })?;
        }
        if !holds {
            return Err(Mismatch::differs(
                field(),
                &**wanted,
                values.first().cloned(),
            ));
        }
    }
    Ok(())
}

/// Attributes are named in small letters; `how` is how much of the value the pattern covers, `None`
/// compares the texts.
pub(crate) fn attributes<'a>(
    constraints: &'a Constraints,
    found: &'a BTreeMap<String, String>,
    how: Option<How>,
    patterns: &Patterns,
) -> Result<(), Mismatch<'a>> {
    for (name, wanted) in constraints {
        let field = || format!("attribute `{name}`");
        let value = found
            .get(&*name.to_lowercase())
            .or_else(|| found.get(&**name));
        let Some(value) = value else {
            let wanted = wanted.as_deref().unwrap_or("any value");
            return Err(Mismatch::differs(field(), wanted, None::<&str>));
        };
        let Some(wanted) = wanted else { continue };
        let holds = match how {
            None => Ok(**wanted == **value),
            Some(how) => patterns.holds(how, wanted, value),
        };
        match holds {
            Ok(true) => {}
            Ok(false) => return Err(Mismatch::differs(field(), &**wanted, Some(value.as_str()))),
            Err(bad) => {
                let (field, wanted) = (field().into(), Cow::Borrowed(&**wanted));
                return Err(Mismatch::Bad {
                    field,
                    wanted,
                    problem: bad.0,
                });
            }
        }
    }
    Ok(())
}

fn values<'a>(document: &'a Context, name: &str) -> Texts<'a> {
    if let Some(value) = document.get(name).filter(|v| !v.is_null()) {
        return Rc::new([member::spelled(value)]);
    }
    let found = json_path::select(document, name).unwrap_or_default();
    let items = found.into_iter().flat_map(|value| match value {
        Value::Array(list) => list.iter().collect(),
        Value::Null => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
    });
    items.map(member::spelled).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(constraints: Value, payload_of: &Value) -> Result<(), String> {
        let trigger = Context::from_iter([("payloadConstraints".to_owned(), constraints)]);
        let document = Document::of(payload_of.as_object().unwrap());
        let constraints = read(&trigger, "payloadConstraints");
        payload(&constraints, &document, "payload", &Patterns::default()).map_err(|m| m.words())
    }

    #[test]
    fn values_hold_by_name_and_by_path() {
        let body = json!({"action": "released", "n": 42, "a.b": "dotted", "a": {"b": "deep"},
            "refs": ["x", "main"], "no": null, "list": [{"r": "one"}, {"r": "two"}]});
        for good in [
            json!(null),
            json!({}),
            json!({"action": "lease"}),
            json!({"n": "^42$"}),
            json!({"n": 42}),
            json!({"a.b": "dotted"}),
            json!({"$.a.b": "deep", "action": "released"}),
            json!({"$.refs": "^main$"}),
            json!({"refs": "main"}),
            json!({"$.list[*].r": "two"}),
            json!({"action": null}),
        ] {
            assert_eq!(check(good.clone(), &body), Ok(()), "{good}");
        }
        for bad in [
            json!({"action": "^lease"}),
            json!({"no": ".*"}),
            json!({"no": null}),
            json!({"nope": null}),
            json!({"$.refs": "^mainx$"}),
            json!({"action": "released", "n": "43"}),
        ] {
            assert!(check(bad.clone(), &body).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_mismatch_in_words() {
        let words = |c| check(c, &json!({"branch": "dev"})).unwrap_err();
        assert_eq!(
            words(json!({"branch": "^main$"})),
            "payload `branch` is `dev`, the trigger wants `^main$`"
        );
        assert_eq!(
            words(json!({"tag": "x"})),
            "the event has no payload `tag`, the trigger wants `x`"
        );
        assert!(
            words(json!({"branch": "("}))
                .starts_with("the trigger's payload `branch` `(` can never match: ")
        );
    }

    #[test]
    fn attributes_are_named_in_small_letters() {
        let found = BTreeMap::from([("ce-type".to_owned(), "dev.cdevents.x".to_owned())]);
        let of = |v| read(&Context::from_iter([("a".to_owned(), v)]), "a");
        let check = |v, how| attributes(&of(v), &found, how, &Patterns::default()).is_ok();
        assert!(check(json!({"Ce-Type": "cdevents"}), Some(How::Find)));
        assert!(!check(json!({"Ce-Type": "cdevents"}), None));
        assert!(check(json!({"Ce-Type": "dev.cdevents.x"}), None));
        assert!(!check(json!({"ce-id": null}), Some(How::Find)));
        assert!(!check(json!({"ce-type": "("}), Some(How::Find)));
        assert!(check(json!({}), None));
    }
}
