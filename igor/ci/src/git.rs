//! What a build checked out: remotes, branches, commits.

use serde_json::{Value, json};

/// The remote whose name is cut off a branch that is written without `refs/`. No other name can be told
/// from the first part of a branch.
const USUAL_REMOTE: &str = "origin/";

/// A repository in a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scm {
    pub remotes: Vec<String>,
    /// As the server writes it.
    pub name: Option<String>,
    /// Without its remote; absent when no branch was checked out.
    pub branch: Option<String>,
    pub sha1: Option<String>,
    pub committer: Option<String>,
    pub message: Option<String>,
    /// Of the commit, milliseconds since the epoch.
    pub timestamp_ms: Option<u64>,
}

impl Scm {
    pub(crate) fn generic(&self) -> Value {
        json!({
            "name": self.name,
            "branch": self.branch,
            "sha1": self.sha1,
            "committer": self.committer,
            "compareUrl": null,
            "message": self.message,
            "timestamp": self.timestamp_ms,
            "remoteUrl": self.remotes.first(),
        })
    }

    /// `group/name` of the first remote.
    pub(crate) fn repository(&self) -> Option<String> {
        let (_, path) = host_and_path(self.remotes.first()?);
        Some(path).filter(|path| !path.is_empty())
    }
}

/// A branch without what only says where it was fetched from: `refs/remotes/<remote>/`, `refs/heads/`,
/// `origin/`. Slashes of the branch itself stay. `None` for `detached`.
pub fn branch(name: &str) -> Option<String> {
    let cut = if let Some(rest) = name.strip_prefix("refs/remotes/") {
        rest.split_once('/').map_or(rest, |(_, branch)| branch)
    } else if let Some(rest) = name.strip_prefix("refs/heads/") {
        rest
    } else {
        name.strip_prefix(USUAL_REMOTE).unwrap_or(name)
    };
    (!cut.is_empty() && cut != "detached" && cut != "HEAD").then(|| cut.to_owned())
}

/// The repository that a build is about: the one with this remote, or else the first.
pub fn main<'a>(all: &'a [Scm], remote: Option<&str>) -> Option<&'a Scm> {
    let wanted = remote.map(host_and_path);
    let fits = |scm: &&Scm| {
        wanted
            .as_ref()
            .is_some_and(|w| scm.remotes.iter().any(|r| host_and_path(r) == *w))
    };
    all.iter().find(fits).or_else(|| all.first())
}

/// Host in small letters, and path without `.git`: equal for all ways of writing one remote.
fn host_and_path(remote: &str) -> (String, String) {
    let (host, path) = if let Some((_, rest)) = remote.split_once("://") {
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        rest.split_once('/').unwrap_or((rest, ""))
    } else {
        // `git@host:group/name`
        remote.split_once(':').unwrap_or(("", remote))
    };
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (host.to_ascii_lowercase(), path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_remote_is_cut_off() {
        for (name, wanted) in [
            ("refs/remotes/origin/feature/x", Some("feature/x")),
            ("refs/remotes/upstream/main", Some("main")),
            ("refs/heads/feature/x", Some("feature/x")),
            ("origin/feature/x", Some("feature/x")),
            ("origin/origin/x", Some("origin/x")),
            ("feature/x", Some("feature/x")),
            ("main", Some("main")),
            ("detached", None),
            ("refs/remotes/origin/detached", None),
            ("", None),
            ("origin/", None),
        ] {
            assert_eq!(branch(name).as_deref(), wanted, "{name}");
        }
    }

    fn scm(remote: &str) -> Scm {
        Scm {
            remotes: vec![remote.to_owned()],
            ..Scm::default()
        }
    }

    #[test]
    fn the_main_repository_is_found_however_its_remote_is_written() {
        let all = [
            scm("https://git.acme.example/lib/shared.git"),
            scm("https://git.acme.example/payments/ledger.git"),
        ];
        for remote in [
            "git@git.acme.example:payments/ledger.git",
            "ssh://git@GIT.acme.example:7999/payments/ledger",
            "https://user@git.acme.example/payments/ledger/",
        ] {
            assert_eq!(main(&all, Some(remote)), Some(&all[1]), "{remote}");
        }
        assert_eq!(
            main(&all, Some("https://other.example/payments/ledger")),
            Some(&all[0])
        );
        assert_eq!(main(&all, None), Some(&all[0]));
        assert_eq!(all[1].repository().as_deref(), Some("payments/ledger"));
    }

    proptest! {
        #[test]
        fn a_branch_survives_every_way_of_writing_it(name in "[a-z]{1,5}(/[a-z0-9._-]{1,5}){0,3}", remote in "[a-z]{1,6}") {
            prop_assume!(!name.starts_with("origin/") && !name.starts_with("refs/") && name != "detached");
            for text in [format!("refs/remotes/{remote}/{name}"), format!("refs/heads/{name}"), format!("origin/{name}"), name.clone()] {
                let cut = branch(&text);
                prop_assert_eq!(cut.as_deref(), Some(name.as_str()));
            }
        }

        #[test]
        fn no_text_breaks_it(text in "\\PC{0,40}") {
            branch(&text);
            host_and_path(&text);
        }
    }
}
