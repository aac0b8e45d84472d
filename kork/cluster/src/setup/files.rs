//! Files that only their owner may read, each there as a whole or not at all.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
};

use camino::{Utf8Path, Utf8PathBuf};
use rand::{TryRng, rngs::SysRng};

use super::SetupError;

const FILE: u32 = 0o600;
const DIRECTORY: u32 = 0o700;
/// Random bytes of the longest secret.
const SECRET_BYTES_MAX: usize = 64;

/// A directory with everything that is made.
pub(super) struct Folder<'a> {
    dir: &'a Utf8Path,
    written: Vec<Utf8PathBuf>,
}

impl<'a> Folder<'a> {
    pub(super) fn new(dir: &'a Utf8Path) -> Self {
        Self {
            dir,
            written: Vec::new(),
        }
    }

    pub(super) fn written(self) -> Vec<Utf8PathBuf> {
        self.written
    }

    pub(super) fn path(&self, name: &str) -> Utf8PathBuf {
        self.dir.join(name)
    }

    /// What is in the file, made first when it is not there.
    pub(super) fn keep(
        &mut self,
        name: &str,
        make: impl FnOnce() -> Result<String, SetupError>,
    ) -> Result<String, SetupError> {
        if let Some(text) = self.read(name)? {
            return Ok(text);
        }
        let text = make()?;
        self.put(name, &text)?;
        Ok(text)
    }

    /// A random secret of so many bytes, in hexadecimal digits.
    pub(super) fn secret(&mut self, name: &str, bytes: usize) -> Result<String, SetupError> {
        let text = self.keep(name, || {
            let mut random = [0_u8; SECRET_BYTES_MAX];
            let some = &mut random[..bytes.min(SECRET_BYTES_MAX)];
            fill(some)?;
            Ok(hex(some))
        })?;
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        if text.is_empty() {
            let path = self.path(name);
            let expected = "a secret";
            return Err(SetupError::Broken { path, expected });
        }
        Ok(text)
    }

    /// Writes a file unless it is the same already.
    pub(super) fn write(&mut self, name: &str, text: &str) -> Result<(), SetupError> {
        if self.read(name)?.as_deref() == Some(text) {
            return Ok(());
        }
        self.put(name, text)
    }

    fn read(&self, name: &str) -> Result<Option<String>, SetupError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => {
                close(&path, FILE).map_err(failed(&path, "closed to others"))?;
                Ok(Some(text))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, "read")(error)),
        }
    }

    /// Beside it first, then in its place: whoever reads finds all of it.
    fn put(&mut self, name: &str, text: &str) -> Result<(), SetupError> {
        let path = self.path(name);
        if let Some(dir) = path.parent() {
            directory(dir).map_err(failed(dir, "made"))?;
        }
        let beside = self.path(&format!("{name}.new"));
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(FILE)
                .open(&beside)?;
            close(&beside, FILE)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(failed(&path, "written"))?;
        self.written.push(path);
        Ok(())
    }
}

/// Random bytes of the operating system.
pub(super) fn fill(bytes: &mut [u8]) -> Result<(), SetupError> {
    SysRng.try_fill_bytes(bytes).map_err(SetupError::Random)
}

/// In hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves
        .filter_map(|half| char::from_digit(half.into(), 16))
        .collect()
}

/// Makes a directory; one that is there, such as a volume, is closed to others.
fn directory(path: &Utf8Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(DIRECTORY).create(path)?;
    close(path, DIRECTORY)
}

fn close(path: &Utf8Path, mode: u32) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn failed(path: &Utf8Path, what: &'static str) -> impl FnOnce(io::Error) -> SetupError {
    let path = path.to_owned();
    move |source| SetupError::File { path, what, source }
}
