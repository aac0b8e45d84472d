//! Query parameters: declared once, read by their declaration, so that the document and the code
//! cannot disagree about names and defaults.

use kork_model::{Status, Timestamp};

use super::{path::decode, refusal::Refusal};
use crate::limit;

/// What the text of a parameter must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParamKind {
    Text,
    /// A whole number of at least 0.
    Number,
    /// Milliseconds since the epoch.
    Time,
    /// `true` or `false`.
    Flag,
    /// `a,b` or repeated; empty = no filter.
    List,
}

/// One declared query parameter.
#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) kind: ParamKind,
    pub(crate) doc: &'static str,
}

impl Param {
    pub(crate) const fn new(name: &'static str, kind: ParamKind, doc: &'static str) -> Self {
        Self { name, kind, doc }
    }

    pub(crate) fn refuse(&self, wrong: &str) -> Refusal {
        let detail = format!("the query parameter {} {wrong}", self.name);
        Refusal::invalid("GATE-0008", detail.clone()).field(format!("?{}", self.name), detail)
    }
}

/// The decoded query of a request.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Splits and decodes a raw query.
    pub(crate) fn parse(raw: &str) -> Result<Self, Refusal> {
        if raw.len() > limit::QUERY_BYTES_MAX {
            return Err(Refusal::uri_too_long(
                "query",
                raw.len(),
                limit::QUERY_BYTES_MAX,
            ));
        }
        raw.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name, true)?, decode(value, true)?))
            })
            .collect::<Result<_, String>>()
            .map(Self)
            .map_err(|wrong| {
                Refusal::invalid("GATE-0008", format!("the query cannot be read: {wrong}"))
            })
    }

    /// All names with their values, decoded.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().cloned()
    }

    /// The first non-empty value.
    pub(crate) fn text(&self, param: &Param) -> Option<&str> {
        self.values(param.name).find(|value| !value.is_empty())
    }

    /// The first non-empty value, or a refusal.
    pub(crate) fn required(&self, param: &Param) -> Result<&str, Refusal> {
        self.text(param).ok_or_else(|| param.refuse("is missing"))
    }

    /// The first value that is not empty, else an empty one, or a refusal when there is none: for
    /// what may be empty, but not left out.
    pub(crate) fn given(&self, param: &Param) -> Result<&str, Refusal> {
        self.text(param)
            .or_else(|| self.values(param.name).next())
            .ok_or_else(|| param.refuse("is missing"))
    }

    /// A whole number between 0 and `most`.
    pub(crate) fn number(&self, param: &Param, most: u32) -> Result<Option<u32>, Refusal> {
        let Some(text) = self.text(param) else {
            return Ok(None);
        };
        match text.trim().parse::<u32>() {
            Ok(number) if number <= most => Ok(Some(number)),
            Ok(_) | Err(_) => Err(param.refuse(&format!(
                "is {text:?}, it must be a whole number from 0 to {most}"
            ))),
        }
    }

    /// Milliseconds since the epoch.
    pub(crate) fn time(&self, param: &Param) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.text(param) else {
            return Ok(None);
        };
        text.trim()
            .parse()
            .map(|ms| Some(Timestamp(ms)))
            .map_err(|_| {
                param.refuse(&format!(
                    "is {text:?}, it must be milliseconds since 1970-01-01"
                ))
            })
    }

    /// `true` or `false`, any case.
    pub(crate) fn flag(&self, param: &Param) -> Result<Option<bool>, Refusal> {
        match self.text(param).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(param.refuse(&format!("is {other:?}, it must be true or false"))),
        }
    }

    /// All values, split at commas, without empty ones.
    pub(crate) fn list(&self, param: &Param) -> Result<Vec<String>, Refusal> {
        let items: Vec<String> = self
            .values(param.name)
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect();
        if items.len() > limit::LIST_ITEMS_MAX {
            let most = limit::LIST_ITEMS_MAX;
            return Err(param.refuse(&format!(
                "has {} values, at most {most} are allowed",
                items.len()
            )));
        }
        Ok(items)
    }

    /// A list of names of statuses.
    pub(crate) fn statuses(&self, param: &Param) -> Result<Vec<String>, Refusal> {
        let names = self.list(param)?;
        match names.iter().find(|name| Status::parse(name).is_none()) {
            None => Ok(names),
            Some(unknown) => {
                let known = Status::ALL.map(Status::name).join(", ");
                Err(param.refuse(&format!(
                    "has the unknown status {unknown:?}; known are {known}"
                )))
            }
        }
    }

    fn values<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0
            .iter()
            .filter(move |(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: Param = Param::new("ids", ParamKind::List, "");
    const LIMIT: Param = Param::new("limit", ParamKind::Number, "");

    #[test]
    fn commas_and_repetition_make_the_same_list() {
        for raw in [
            "ids=a,b",
            "ids=a&ids=b",
            "ids=a%2Cb",
            "ids=&ids=a,&x=1&ids=b",
        ] {
            assert_eq!(
                Query::parse(raw).unwrap().list(&IDS).unwrap(),
                ["a", "b"],
                "{raw}"
            );
        }
        assert!(Query::parse("ids=").unwrap().list(&IDS).unwrap().is_empty());
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(
            Query::parse("limit=").unwrap().number(&LIMIT, 9).unwrap(),
            None
        );
        assert_eq!(
            Query::parse("limit=9").unwrap().number(&LIMIT, 9).unwrap(),
            Some(9)
        );
        for raw in ["limit=-1", "limit=10", "limit=x", "limit=1.5"] {
            assert!(
                Query::parse(raw).unwrap().number(&LIMIT, 9).is_err(),
                "{raw}"
            );
        }
    }

    #[test]
    fn too_long_lists_and_bad_encodings_are_refused() {
        let raw = format!("ids={}", "a,".repeat(limit::LIST_ITEMS_MAX + 1));
        assert!(Query::parse(&raw).unwrap().list(&IDS).is_err());
        assert!(Query::parse("a=%").is_err());
        assert!(Query::parse(&"a".repeat(limit::QUERY_BYTES_MAX + 1)).is_err());
    }
}
