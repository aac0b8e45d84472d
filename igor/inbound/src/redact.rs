//! What of a delivery is never shown, kept or compared: credentials, by their names and by their values.

use serde_json::Value;

use crate::{Authentication, Secret, Source};

/// Parts of the names of headers, and of members of the query, that mark credentials and signatures.
const CREDENTIALS: [&str; 9] = [
    "auth",
    "token",
    "secret",
    "password",
    "cookie",
    "signature",
    "credential",
    "api-key",
    "apikey",
];
/// A secret that is shorter is looked for as a whole value only: it may be part of any word.
const PART_BYTES_MIN: usize = 4;

/// The credentials of the deliveries of one source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    pub source: Option<&'a Source>,
    pub secrets: &'a [Secret],
}

impl Credentials<'_> {
    /// Whether a header, or a member of the query, holds one.
    pub fn hides(&self, name: &str, value: &str) -> bool {
        let name = name.to_ascii_lowercase();
        CREDENTIALS.iter().any(|part| name.contains(part))
            || self.is_configured(&name)
            || self.secrets.iter().any(|secret| holds(value, secret))
    }

    /// Takes the secrets out of a body that has them in members named after credentials, as old versions of Gitea
    /// and Gogs write theirs in `secret`; whether there were any.
    pub(crate) fn taken_out_of(self, body: &mut Value) -> bool {
        // All of them are looked at: the first is not the only one.
        match body {
            Value::Object(members) => {
                let before = members.len();
                members.retain(|name, value| !self.is_secret(name, value));
                let mut any = members.len() < before;
                for value in members.values_mut() {
                    any |= self.taken_out_of(value);
                }
                any
            }
            Value::Array(items) => {
                let mut any = false;
                for value in items {
                    any |= self.taken_out_of(value);
                }
                any
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    fn is_secret(self, name: &str, value: &Value) -> bool {
        let name = name.to_ascii_lowercase();
        let is_named_so = || CREDENTIALS.iter().any(|part| name.contains(part));
        let is_known = |text: &str| self.secrets.iter().any(|secret| holds(text, secret));
        value.as_str().is_some_and(is_known) && is_named_so()
    }

    /// The source has its proof in this header.
    fn is_configured(&self, name: &str) -> bool {
        match self.source.map(|source| &source.authentication) {
            Some(Authentication::Header { name: header } | Authentication::Hmac { header, .. }) => {
                header.eq_ignore_ascii_case(name)
            }
            Some(
                Authentication::Sender {}
                | Authentication::Basic {}
                | Authentication::Bearer {}
                | Authentication::StandardWebhooks {}
                | Authentication::Google { .. },
            )
            | None => false,
        }
    }
}

fn holds(value: &str, secret: &Secret) -> bool {
    let secret = secret.bytes();
    if secret.len() < PART_BYTES_MIN {
        return !secret.is_empty() && value.trim().as_bytes() == secret;
    }
    value
        .as_bytes()
        .windows(secret.len())
        .any(|window| window == secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_of_bodies() {
        let secrets = [Secret::new("hunter2")];
        let known = Credentials {
            source: None,
            secrets: &secrets,
        };
        let mut body = serde_json::json!({"ref": "refs/heads/hunter2", "secret": "hunter2",
            "hooks": [{"config": {"Token": "Bearer hunter2", "secret": "********"}}]});
        assert!(known.taken_out_of(&mut body));
        let rest = serde_json::json!({"ref": "refs/heads/hunter2",
            "hooks": [{"config": {"secret": "********"}}]});
        assert_eq!(body, rest);
        assert!(!known.taken_out_of(&mut body));
        assert!(!Credentials::default().taken_out_of(&mut serde_json::json!({"secret": ""})));
    }

    #[test]
    fn credentials_are_known_by_name_by_configuration_and_by_value() {
        let source = Source {
            authentication: Authentication::Header {
                name: "X-Team".to_owned(),
            },
            ..Source::default()
        };
        let secrets = [Secret::new("hunter2"), Secret::new("a")];
        let known = Credentials {
            source: Some(&source),
            secrets: &secrets,
        };
        for (name, value) in [
            ("Authorization", ""),
            ("X-Gitlab-Token", "x"),
            ("x-team", "wrong"),
            ("x-other", "Bearer hunter2!"),
            ("x-other", " a "),
        ] {
            assert!(known.hides(name, value), "{name}: {value}");
        }
        for (name, value) in [("x-other", "hunter"), ("x-other", "banana"), ("te", "")] {
            assert!(!known.hides(name, value), "{name}: {value}");
        }
        assert!(!Credentials::default().hides("x-team", "hunter2"));
    }
}
