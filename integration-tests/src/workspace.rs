//! The sources of the suite, read as text.

use camino::{Utf8Path, Utf8PathBuf};

use crate::harness::workspace_root;

/// Directories that hold no sources.
const NO_SOURCES: [&str; 3] = ["target", ".git", "node_modules"];
/// Larger files are no sources.
const SOURCE_BYTES_MAX: u64 = 1024 * 1024;

/// A text file of the repository.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to the root of the workspace.
    pub path: Utf8PathBuf,
    pub text: String,
}

impl Source {
    /// Rust code.
    pub fn is_rust(&self) -> bool {
        self.path.extension() == Some("rs")
    }

    /// Tests of their own: a file under `tests/`, or the tests of a module.
    pub fn is_test(&self) -> bool {
        self.path.components().any(|c| c.as_str() == "tests") || self.path.ends_with("tests.rs")
    }

    /// What stands above the tests of the file.
    pub fn above_tests(&self) -> &str {
        let end = self.text.find("\n#[cfg(test)]").map(|at| at + 1);
        end.map_or(&self.text, |at| &self.text[..at])
    }

    /// The same without comments: whole lines that begin with `//`.
    pub fn code(&self) -> String {
        let lines = self.above_tests().lines();
        let code: Vec<&str> = lines
            .filter(|l| !l.trim_start().starts_with("//"))
            .collect();
        code.join("\n")
    }
}

/// Every text file of the repository.
pub fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(workspace_root(), &mut found);
    assert!(
        found.iter().any(|s| s.path == "Cargo.toml"),
        "the root of the workspace is not where it is expected"
    );
    found
}

fn collect(dir: &Utf8Path, found: &mut Vec<Source>) {
    let entries = dir.read_dir_utf8();
    let entries = entries.unwrap_or_else(|e| panic!("{dir} cannot be listed: {e}"));
    for entry in entries.flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else {
            continue;
        };
        if kind.is_dir() && !NO_SOURCES.contains(&entry.file_name()) {
            collect(path, found);
        } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() <= SOURCE_BYTES_MAX) {
            // What is no text, or has gone meanwhile, is no source.
            let Ok(text) = std::fs::read_to_string(path) else {
                continue;
            };
            let relative = path.strip_prefix(workspace_root()).unwrap_or(path);
            found.push(Source {
                path: relative.to_owned(),
                text,
            });
        }
    }
}
