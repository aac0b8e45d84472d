//! Recorded shapes of deliveries, and how to send them.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use igor_inbound::{Delivery, Keys, Received, Refused, Secret, Sender, Source, receive};
use kork_model::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// When all deliveries come in.
pub(crate) const NOW: Timestamp = Timestamp(1_788_240_000_000);
pub(crate) const SECRET: &str = "correct horse battery staple";

/// One delivery of a file under `deliveries`, and what is to become of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub name: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    pub sender: String,
    #[serde(default)]
    pub delivery: Option<String>,
    #[serde(default)]
    pub events: Vec<Value>,
    #[serde(default)]
    pub ignored: Option<String>,
    #[serde(default)]
    pub host: Option<String>,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deliveries");
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
            .iter()
            .flat_map(|file| {
                let text = fs::read_to_string(file).unwrap();
                serde_json::from_str::<Vec<Self>>(&text)
                    .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
            })
            .collect()
    }

    pub(crate) fn named(name: &str, path: &str) -> Self {
        Self::all()
            .into_iter()
            .find(|case| case.name == name && case.path == path)
            .unwrap_or_else(|| panic!("no delivery {name} at {path}"))
    }

    /// A text is sent as it is, anything else as JSON.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match &self.body {
            Value::String(text) => text.clone().into_bytes(),
            other => serde_json::to_vec(other).unwrap(),
        }
    }

    pub(crate) fn source(&self) -> Source {
        // Those two speak for others, and must be configured as who they are.
        let sender = match self.path.split('/').next() {
            Some("build") => Some(Sender::Build),
            Some("docker") => Some(Sender::Docker),
            _ => None,
        };
        Source {
            sender,
            host: self.host.clone(),
            ..Source::default()
        }
    }

    pub(crate) fn sent(&self) -> Sent {
        Sent {
            path: self.path.clone(),
            headers: self.headers.clone(),
            query: BTreeMap::new(),
            body: self.bytes(),
            source: self.source(),
            secrets: Vec::new(),
        }
    }
}

/// A delivery on its way, to be changed and received.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub query: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub source: Source,
    pub secrets: Vec<Secret>,
}

impl Sent {
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn secret(mut self, secret: &str) -> Self {
        self.secrets.push(Secret::new(secret));
        self
    }

    pub(crate) fn receive(&self) -> Result<Received, Refused> {
        self.receive_at(NOW, "fresh")
    }

    pub(crate) fn receive_at(&self, received: Timestamp, id: &str) -> Result<Received, Refused> {
        let (kind, source) = self.path.split_once('/').unwrap();
        let delivery = Delivery {
            kind,
            source,
            headers: &self.headers,
            query: &self.query,
            body: &self.body,
            received,
        };
        let keys = Keys {
            secrets: &self.secrets,
            google: None,
        };
        receive(&delivery, Some(&self.source), &keys, id)
    }
}

/// Every member of `expected` is in `actual`; null stands for absent, lists agree member by member.
pub(crate) fn assert_holds(actual: &Value, expected: &Value, place: &str) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for (name, wanted) in expected {
                let found = actual.get(name).unwrap_or(&Value::Null);
                assert_holds(found, wanted, &format!("{place}.{name}"));
            }
        }
        (Value::Array(actual), Value::Array(expected)) => {
            assert_eq!(actual.len(), expected.len(), "{place}: {actual:#?}");
            for (index, wanted) in expected.iter().enumerate() {
                assert_holds(&actual[index], wanted, &format!("{place}[{index}]"));
            }
        }
        _ => assert_eq!(actual, expected, "{place}"),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

pub(crate) fn hmac<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
    mac.update(bytes);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn sha256(key: &str, bytes: &[u8]) -> String {
    hex(&hmac::<Hmac<sha2::Sha256>>(key.as_bytes(), bytes))
}

pub(crate) fn sha1(key: &str, bytes: &[u8]) -> String {
    hex(&hmac::<Hmac<sha1::Sha1>>(key.as_bytes(), bytes))
}

/// A signature of Standard Webhooks with the decoded key.
pub(crate) fn standard(key: &[u8], id: &str, seconds: u64, body: &[u8]) -> String {
    let mut signed = format!("{id}.{seconds}.").into_bytes();
    signed.extend_from_slice(body);
    let code = hmac::<Hmac<sha2::Sha256>>(key, &signed);
    format!("v1,{}", STANDARD.encode(code))
}
