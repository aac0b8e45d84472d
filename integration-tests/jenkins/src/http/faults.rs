//! What goes wrong on purpose.

use serde::Deserialize;

/// How an exchange goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Fault {
    /// The request takes effect, its answer never arrives.
    DropReply,
    /// The connection ends before the request takes effect.
    DropRequest,
    /// Answered with this status and an HTML page, without effect.
    Status { status: u16 },
    /// Answered so many milliseconds of real time later, after it took effect.
    Slow { ms: u64 },
    /// Takes effect so many milliseconds of real time later, also when nobody waits for the answer any more.
    Late { ms: u64 },
}

/// A fault and when it happens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Part of `METHOD /path?query`; empty for every request.
    #[serde(default)]
    pub matching: String,
    /// So many more times.
    pub times: u32,
    pub fault: Fault,
}

/// The fault of this request, if there is one; it is then used up by one.
pub(crate) fn next(rules: &mut [Rule], line: &str) -> Option<Fault> {
    let rule = rules
        .iter_mut()
        .find(|r| r.times > 0 && line.contains(&r.matching))?;
    rule.times -= 1;
    Some(rule.fault.clone())
}
