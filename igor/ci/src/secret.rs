//! Passwords and tokens: given in the configuration, in a file, or in a variable of the environment.

use std::{io, sync::Mutex, time::SystemTime};

use camino::Utf8PathBuf;
use kork::service::config::Secret;

use crate::CiError;

/// Largest file of a secret.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Where a secret is. A file is read again when it changed, so that rotation needs no restart.
#[derive(Debug)]
pub(crate) enum SecretSource {
    Given(Secret),
    Variable(String),
    File {
        path: Utf8PathBuf,
        read: Mutex<Option<(Stamp, Secret)>>,
    },
}

/// When a file was written, and how long it is.
type Stamp = (Option<SystemTime>, u64);

impl SecretSource {
    pub(crate) const fn file(path: Utf8PathBuf) -> Self {
        Self::File {
            path,
            read: Mutex::new(None),
        }
    }

    /// The secret as it is now.
    pub(crate) fn get(&self) -> Result<Secret, CiError> {
        match self {
            Self::Given(secret) => Ok(secret.clone()),
            Self::Variable(name) => {
                let text = std::env::var(name).map_err(|error| CiError::Secret {
                    what: format!("in the variable {name}"),
                    source: io::Error::other(error),
                })?;
                Ok(Secret::new(text))
            }
            Self::File { path, read } => {
                let mut read = read
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                from_file(path, &mut read).map_err(|source| CiError::Secret {
                    what: format!("in the file {path}"),
                    source,
                })
            }
        }
    }
}

fn from_file(path: &Utf8PathBuf, read: &mut Option<(Stamp, Secret)>) -> io::Result<Secret> {
    let data = std::fs::metadata(path)?;
    let stamp = (data.modified().ok(), data.len());
    if let Some((known, secret)) = read.as_ref().filter(|(known, _)| *known == stamp) {
        debug_assert_eq!(*known, stamp);
        return Ok(secret.clone());
    }
    if data.len() > SECRET_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it has more than {SECRET_BYTES_MAX} bytes"
        )));
    }
    let text = std::fs::read_to_string(path)?;
    let secret = Secret::new(text.trim_end_matches(['\r', '\n']));
    *read = Some((stamp, secret.clone()));
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("token")).unwrap();
        let source = SecretSource::file(path.clone());
        assert!(source.get().is_err());
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(source.get().unwrap().reveal(), "one");
        std::fs::write(&path, "three\n").unwrap();
        assert_eq!(source.get().unwrap().reveal(), "three");
        std::fs::remove_file(&path).unwrap();
        let error = source.get().unwrap_err().to_string();
        assert!(
            error.contains("token") && !error.contains("three"),
            "{error}"
        );
    }

    #[test]
    fn a_variable_that_is_missing_is_named() {
        let source = SecretSource::Variable("GENNAKER_NO_SUCH_VARIABLE".to_owned());
        assert!(
            source
                .get()
                .unwrap_err()
                .to_string()
                .contains("GENNAKER_NO_SUCH_VARIABLE")
        );
    }
}
