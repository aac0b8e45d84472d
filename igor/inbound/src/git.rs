//! A change in a repository, as git triggers want to hear of it.

use kork_model::{
    Context,
    inbound::{EventKind, InboundEvent},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    field,
    limits::{ARTIFACTS_BYTES_MAX, FILES_BYTES_MAX, FILES_MAX},
    senders::Message,
};

/// What stays as it is in a URL; `/` too where a path is meant.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// A branch or a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ref {
    Branch(String),
    Tag(String),
}

impl Ref {
    /// From `refs/heads/<branch>` or `refs/tags/<tag>`; other namespaces are neither.
    pub(crate) fn full(text: &str) -> Option<Self> {
        let branch = text
            .strip_prefix("refs/heads/")
            .map(|name| Self::Branch(name.to_owned()));
        let tag = || {
            text.strip_prefix("refs/tags/")
                .map(|name| Self::Tag(name.to_owned()))
        };
        branch
            .or_else(tag)
            .filter(|(Self::Branch(name) | Self::Tag(name))| !name.is_empty())
    }

    /// From a bare name and what the sender calls its type: `branch`, `tag`, `BRANCH`, `annotated_tag`.
    pub(crate) fn typed(kind: &str, name: &str) -> Option<Self> {
        if name.is_empty() {
            return None;
        }
        match kind.to_ascii_lowercase().as_str() {
            "branch" | "named_branch" | "bookmark" => Some(Self::Branch(name.to_owned())),
            "tag" | "annotated_tag" => Some(Self::Tag(name.to_owned())),
            _ => None,
        }
    }
}

/// One change, whoever tells it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// Owner, organisation, group path or project key, as the `project` of a git trigger.
    pub project: String,
    /// Name of the repository within the project, as the `slug` of a git trigger.
    pub slug: String,
    /// Whole name of the repository.
    pub repository: String,
    pub reference: Option<Ref>,
    pub commit: Option<String>,
    pub action: String,
    pub actor: Option<String>,
    pub url: Option<String>,
    pub files: Vec<String>,
    pub artifacts: Vec<Value>,
    /// Of a pull request: `number`, `draft`, `state`, `title`, as texts.
    pub properties: Context,
}

impl Change {
    pub(crate) fn event(self, message: &Message<'_>) -> InboundEvent {
        let (branch, tag) = match self.reference {
            Some(Ref::Branch(name)) => (Some(name), None),
            Some(Ref::Tag(name)) => (None, Some(name)),
            None => (None, None),
        };
        let mut trigger = Context::new();
        field::put(&mut trigger, "source", Some(message.git_source()));
        field::put(&mut trigger, "project", Some(self.project));
        field::put(&mut trigger, "slug", Some(self.slug));
        field::put(&mut trigger, "hash", self.commit.clone());
        field::put(&mut trigger, "branch", branch.clone());
        field::put(&mut trigger, "tag", tag.clone());
        field::put(&mut trigger, "action", Some(self.action.clone()));
        if !self.properties.is_empty() {
            trigger.insert("properties".to_owned(), Value::Object(self.properties));
        }
        InboundEvent {
            kind: EventKind::Git,
            actor: self.actor,
            action: Some(self.action),
            repository: Some(self.repository),
            branch,
            tag,
            commit: self.commit,
            files: self.files,
            url: self.url,
            artifacts: self.artifacts,
            trigger,
            ..InboundEvent::default()
        }
    }
}

/// Says whether a pull request comes from another repository (one that was merged comes from nowhere else any
/// more), and whether it was merged: triggers that name no events are for neither.
pub(crate) fn put_request(properties: &mut Context, elsewhere: bool, merged: bool) {
    let fork = elsewhere && !merged;
    for (name, value) in [("fork", fork), ("merged", merged)] {
        properties.insert(name.to_owned(), value.to_string().into());
    }
}

/// The commit under a tag. What was pushed is the tag's own object when the tag is annotated.
pub(crate) fn tagged(reference: &Ref, body: &Value) -> Option<String> {
    match reference {
        Ref::Tag(_) => field::owned(body, "/head_commit/id"),
        Ref::Branch(_) => None,
    }
}

/// Whether its sender says that a branch or a tag was not there before.
pub fn is_created(event: &InboundEvent) -> bool {
    let name = event.branch.as_deref().or(event.tag.as_deref());
    let before = event.payload.get("before").and_then(Value::as_str);
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let cloud = list(
        event
            .payload
            .get("push")
            .and_then(|push| push.get("changes")),
    );
    let is_new_there = |change: &Value| {
        field::text(change, "/new/name") == name && field::flag(change, "/created") == Some(true)
    };
    let server = list(event.payload.get("changes"));
    let is_added = |change: &Value| {
        field::text(change, "/ref/displayId") == name && field::text(change, "/type") == Some("ADD")
    };
    before.is_some_and(is_nothing) || cloud.iter().any(is_new_there) || server.iter().any(is_added)
}

/// Whether a hash says "nothing there": forty (or sixty-four) zeros.
pub(crate) fn is_nothing(hash: &str) -> bool {
    !hash.is_empty() && hash.bytes().all(|byte| byte == b'0')
}

/// The part of a whole name before its last `/`, and the part after.
pub(crate) fn split_name(name: &str) -> (String, String) {
    match name.rsplit_once('/') {
        Some((project, slug)) => (project.to_owned(), slug.to_owned()),
        None => (String::new(), name.to_owned()),
    }
}

/// Every path that a push changed, each once, in order. None when some are left out, because there are more than
/// [`FILES_MAX`] or [`FILES_BYTES_MAX`] or the sender lists fewer commits than the `total` of them: who asks for a
/// path must not take what is not listed for unchanged, and a push without files may have changed any.
pub(crate) fn changed(commits: &[Value], total: Option<u64>) -> Vec<String> {
    let files = files(commits, &["/added", "/modified", "/removed"], FILES_MAX + 1);
    let is_cut = total.is_some_and(|total| total > commits.len() as u64);
    let bytes: usize = files.iter().map(String::len).sum();
    if is_cut || files.len() > FILES_MAX || bytes > FILES_BYTES_MAX {
        return Vec::new();
    }
    files
}

/// The files of a push that can be read at the pushed commit.
pub(crate) fn there(commits: &[Value]) -> Vec<String> {
    files(commits, &["/added", "/modified"], FILES_MAX)
}

fn files(commits: &[Value], lists: &[&str], most: usize) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    commits
        .iter()
        .flat_map(|commit| lists.iter().flat_map(|list| field::list(commit, list)))
        .filter_map(Value::as_str)
        .filter(|path| seen.insert(*path))
        .take(most)
        .map(str::to_owned)
        .collect()
}

/// Artifacts for files of a push, `reference(path)` being where each can be fetched: the first ones, up to
/// [`ARTIFACTS_BYTES_MAX`]. Paths that would lead elsewhere are left out: the body may be anybody's.
pub(crate) fn file_artifacts(
    kind: &str,
    files: &[String],
    commit: Option<&str>,
    reference: impl Fn(&str) -> String,
) -> Vec<Value> {
    let plain = files.iter().filter(|path| is_plain_path(path));
    let artifacts = plain.map(
        |path| json!({"type": kind, "name": path, "version": commit, "reference": reference(path)}),
    );
    let mut bytes = 0;
    artifacts
        .take_while(|artifact| {
            bytes += field::bytes_of(artifact);
            bytes <= ARTIFACTS_BYTES_MAX
        })
        .collect()
}

/// A relative path without empty, `.` and `..` parts, backslashes and control characters.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains('\\')
        && !path.contains(char::is_control)
}

/// `https://host[:port][/path]` without user, query, fragment and dots that lead elsewhere.
pub(crate) fn is_plain_base(base: &str) -> bool {
    url::Url::parse(base).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            // The parser resolves dots: what it changes was not plain.
            && url.as_str().trim_end_matches('/') == base.trim_end_matches('/')
    })
}

/// Encodes a path for a URL, slashes kept.
pub(crate) fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// Encodes a text as one segment of a URL's path.
pub fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_exact() {
        assert_eq!(
            Ref::full("refs/heads/feature/größe/x"),
            Some(Ref::Branch("feature/größe/x".to_owned()))
        );
        assert_eq!(
            Ref::full("refs/tags/v1/rc"),
            Some(Ref::Tag("v1/rc".to_owned()))
        );
        assert_eq!(
            Ref::full("refs/heads/refs/heads/x"),
            Some(Ref::Branch("refs/heads/x".to_owned()))
        );
        for neither in ["refs/pull/1/head", "main", "refs/heads/", "refs/tags/", ""] {
            assert_eq!(Ref::full(neither), None, "{neither}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_not_plain() {
        for path in ["a/../b", "./a", "/a", "a//b", "a\\b", "a\nb", "", ".."] {
            assert!(!is_plain_path(path), "{path}");
        }
        assert!(is_plain_path("deploy/größe #1?.yaml"));
        assert_eq!(encode_path("a b/ü#?.yml"), "a%20b/%C3%BC%23%3F.yml");
        for base in [
            "ftp://h",
            "https://u@h",
            "https://h?a",
            "https://h/a/../b",
            "h",
            "https://h#x",
        ] {
            assert!(!is_plain_base(base), "{base}");
        }
        assert!(is_plain_base("https://git.acme.example:8443/api/v3"));
    }

    #[test]
    fn only_zeros_are_nothing() {
        assert!(is_nothing(&"0".repeat(40)));
        assert!(is_nothing("000000000"));
        assert!(!is_nothing("0000000001"));
        assert!(!is_nothing(""));
    }
}
