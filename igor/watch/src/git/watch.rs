//! Which branches and tags are watched. Pure.

use super::{config::GitRepository, refs::Refs};
use crate::pattern::Pattern;

/// Patterns, and the branch that is the only one when it is so configured.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    branches: Pattern,
    tags: Pattern,
    texts: [String; 2],
    default_branch_only: bool,
}

impl Watch {
    pub(super) fn new(config: &GitRepository) -> Result<Self, regex::Error> {
        let text = |pattern: &Option<String>| pattern.clone().unwrap_or_default();
        Ok(Self {
            branches: Pattern::new(config.branches.as_deref())?,
            tags: Pattern::new(config.tags.as_deref())?,
            texts: [text(&config.branches), text(&config.tags)],
            default_branch_only: config.default_branch_only,
        })
    }

    /// What the names that are watched begin with, and HEAD.
    pub(super) fn prefixes(&self) -> Vec<String> {
        vec![
            "HEAD".to_owned(),
            format!("refs/heads/{}", self.branches.prefix()),
            format!("refs/tags/{}", self.tags.prefix()),
        ]
    }

    /// What decides which names are watched, to be kept with the cursor.
    pub(super) fn scope(&self, refs: &Refs) -> Vec<String> {
        let only = refs.head.clone().filter(|_| self.default_branch_only);
        let [branches, tags] = self.texts.clone();
        vec![branches, tags, only.unwrap_or_default()]
    }

    pub(super) const fn needs_head(&self) -> bool {
        self.default_branch_only
    }
}

/// Whether a ref is within a scope; an expression that is none matches nothing.
pub(super) fn within(scope: &[String]) -> impl Fn(&str) -> bool + use<> {
    let pattern = |at: usize| {
        let text = scope.get(at).map(String::as_str);
        Pattern::new(text).ok()
    };
    let branches = pattern(0);
    let tags = pattern(1);
    let only = scope.get(2).filter(|only| !only.is_empty()).cloned();
    move |name: &str| {
        let matches =
            |pattern: &Option<Pattern>, name| pattern.as_ref().is_some_and(|p| p.matches(name));
        if let Some(branch) = name.strip_prefix("refs/heads/") {
            return matches(&branches, branch) && only.as_deref().is_none_or(|only| only == name);
        }
        name.strip_prefix("refs/tags/")
            .is_some_and(|tag| matches(&tags, tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_and_tags_have_patterns_of_their_own() {
        let config = GitRepository {
            branches: Some("main|release/.*".to_owned()),
            tags: Some("v.*".to_owned()),
            ..GitRepository::default()
        };
        let head = Refs {
            head: Some("refs/heads/main".to_owned()),
            ..Refs::default()
        };
        let watch = Watch::new(&config).unwrap();
        assert_eq!(watch.prefixes(), ["HEAD", "refs/heads/", "refs/tags/v"]);
        let all = within(&watch.scope(&head));
        let only = GitRepository {
            default_branch_only: true,
            ..config
        };
        let only = within(&Watch::new(&only).unwrap().scope(&head));
        for (name, in_all, in_only) in [
            ("refs/heads/main", true, true),
            ("refs/heads/release/1", true, false),
            ("refs/heads/v1", false, false),
            ("refs/tags/v1", true, true),
            ("refs/tags/main", false, false),
            ("refs/pull/1/head", false, false),
        ] {
            assert_eq!((all(name), only(name)), (in_all, in_only), "{name}");
        }
        assert!(!within(&["(".to_owned()])("refs/heads/x"));
    }
}
