//! What of a delivery is never shown, kept or compared: credentials, by their names and by their values.

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
