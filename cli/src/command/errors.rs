//! `gennaker errors`: the pages of the error codes.

use crate::{client::Failure, exit::Exit, output::Out};

pub(super) fn run(code: Option<&str>, out: &Out) -> Result<Exit, Failure> {
    out.line(code.unwrap_or_default());
    Ok(Exit::Success)
}

/// What the page of a code says to do next.
pub(crate) fn next_step(_code: &str) -> Option<String> {
    None
}
