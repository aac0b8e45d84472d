//! User name and password of a source. The password may lie in a file, which is read at each use, so that it
//! can be exchanged while the service runs.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kork::service::config::Secret;
use reqwest::header::HeaderValue;
use tokio::io::AsyncReadExt as _;

use crate::Error;

/// Bytes of a file with a password; a token of a cloud has some thousand.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// What is configured of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) file: Option<PathBuf>,
}

impl Credentials {
    /// The password as it is now; empty when none is configured. `what` is named in errors.
    pub(crate) async fn password(&self, what: &str) -> Result<Secret, Error> {
        let Some(path) = &self.file else {
            return Ok(self.password.clone());
        };
        let failed = |source| Error::Password {
            what: what.to_owned(),
            path: path.clone(),
            source,
        };
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        let mut text = String::new();
        let mut bounded = file.take(PASSWORD_BYTES_MAX + 1);
        bounded.read_to_string(&mut text).await.map_err(failed)?;
        if text.len() as u64 > PASSWORD_BYTES_MAX {
            let reason = format!("it has more than {PASSWORD_BYTES_MAX} bytes");
            return Err(failed(std::io::Error::other(reason)));
        }
        // Editors and `echo` end a file with a line feed that is no part of the password.
        Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
    }

    /// The value of `Authorization`; none when there is neither a user name nor a password.
    pub(crate) async fn basic(&self, what: &str) -> Result<Option<HeaderValue>, Error> {
        let password = self.password(what).await?;
        if self.username.is_empty() && password.is_empty() {
            return Ok(None);
        }
        let pair = format!("{}:{}", self.username, password.reveal());
        header(what, &format!("Basic {}", STANDARD.encode(pair))).map(Some)
    }
}

/// A header that is kept out of logs and off other hosts.
pub(crate) fn header(what: &str, text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::config(what, "the credentials hold characters that cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_at_each_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let credentials = Credentials {
            username: "ana".to_owned(),
            password: Secret::new("not this one"),
            file: Some(path.clone()),
        };
        assert!(matches!(
            credentials.basic("registry").await,
            Err(Error::Password { .. })
        ));
        for (content, expected) in [("s3cret\n", "ana:s3cret"), ("a b \r\n", "ana:a b ")] {
            std::fs::write(&path, content).unwrap();
            let value = credentials.basic("registry").await.unwrap().unwrap();
            assert!(value.is_sensitive());
            let expected = format!("Basic {}", STANDARD.encode(expected));
            assert_eq!(value.to_str().unwrap(), expected);
        }
        std::fs::write(&path, vec![b'a'; 70_000]).unwrap();
        let error = credentials.basic("registry").await.unwrap_err();
        assert!(error.to_string().contains("65536"), "{error}");
    }

    #[tokio::test]
    async fn nothing_is_sent_when_nothing_is_configured() {
        let none = Credentials::default();
        assert_eq!(none.basic("registry").await.unwrap(), None);
    }
}
