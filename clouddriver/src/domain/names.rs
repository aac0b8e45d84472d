//! Names of clusters and server groups: `app-stack-detail-vNNN` (Frigga's rules).

use serde::{Deserialize, Serialize};

/// Versions run from 0 to 999 and begin again.
pub const VERSIONS: u32 = 1000;
/// Longest name of a cluster, bytes: names become directories and keys.
pub const CLUSTER_BYTES_MAX: usize = 128;

/// Which application, stack and detail something belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Moniker {
    pub app: String,
    pub cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u32>,
}

/// Why a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{part} {value:?} may hold only letters, digits, dots and underscores{extra}")]
    Characters {
        part: &'static str,
        value: String,
        extra: &'static str,
    },
    #[error("the application is missing")]
    NoApplication,
    #[error("the cluster name {0} is longer than {CLUSTER_BYTES_MAX} bytes")]
    TooLong(String),
    #[error("the detail {0:?} ends like a version; choose another")]
    EndsLikeVersion(String),
}

impl Moniker {
    /// Checks the parts and joins them. Empty stacks and details count as none; a detail without a
    /// stack leaves the stack empty: `app--detail`.
    pub fn new(app: &str, stack: Option<&str>, detail: Option<&str>) -> Result<Self, NameError> {
        let stack = stack.filter(|s| !s.is_empty());
        let detail = detail.filter(|s| !s.is_empty());
        if app.is_empty() {
            return Err(NameError::NoApplication);
        }
        plain("application", app)?;
        plain("stack", stack.unwrap_or("x"))?;
        let cluster = match (stack, detail) {
            (None, None) => app.to_owned(),
            (Some(stack), None) => format!("{app}-{stack}"),
            (stack, Some(detail)) => format!("{app}-{}-{detail}", stack.unwrap_or_default()),
        };
        if let Some(detail) = detail {
            let wrong = detail.chars().any(|c| !is_plain(c) && c != '-');
            if wrong {
                let value = detail.to_owned();
                return Err(NameError::Characters {
                    part: "detail",
                    value,
                    extra: " and dashes",
                });
            }
        }
        if parse(&cluster).sequence.is_some() {
            return Err(NameError::EndsLikeVersion(cluster));
        }
        if cluster.len() > CLUSTER_BYTES_MAX {
            return Err(NameError::TooLong(cluster));
        }
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Ok(Self {
            app: app.to_owned(),
            cluster,
            stack: owned(stack),
            detail: owned(detail),
            sequence: None,
        })
    }

    /// The same with a version.
    #[must_use]
    pub fn version(mut self, sequence: u32) -> Self {
        self.sequence = Some(sequence);
        self
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

fn plain(part: &'static str, value: &str) -> Result<(), NameError> {
    let starts = value.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && value.chars().all(is_plain) {
        return Ok(());
    }
    Err(NameError::Characters {
        part,
        value: value.to_owned(),
        extra: "",
    })
}

/// Name of a version of a cluster: `shop-prod-v007`.
pub fn server_group(cluster: &str, sequence: u32) -> String {
    format!("{cluster}-v{:03}", sequence % VERSIONS)
}

/// Takes a name apart. Total: what has no version is a cluster.
pub fn parse(name: &str) -> Moniker {
    let (cluster, sequence) = match name.rsplit_once("-v") {
        Some((cluster, digits))
            if (3..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            (cluster, digits.parse().ok())
        }
        _ => (name, None),
    };
    let mut parts = cluster.splitn(3, '-');
    let mut next = || parts.next().filter(|p| !p.is_empty()).map(str::to_owned);
    let app = next().unwrap_or_default();
    let (stack, detail) = (next(), next());
    Moniker {
        app,
        cluster: cluster.to_owned(),
        stack,
        detail,
        sequence,
    }
}

/// The version to try first: the one behind the last that was given out, skipping those in use.
/// `None` when all are in use.
pub fn next_version(given_out: Option<u32>, in_use: &[u32]) -> Option<u32> {
    let first = given_out.map_or(0, |last| (last + 1) % VERSIONS);
    (0..VERSIONS)
        .map(|n| (first + n) % VERSIONS)
        .find(|v| !in_use.contains(v))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_and_come_apart() {
        for (stack, detail, cluster) in [
            (None, None, "shop"),
            (Some("prod"), None, "shop-prod"),
            (Some("prod"), Some("eu-west"), "shop-prod-eu-west"),
            (None, Some("canary"), "shop--canary"),
            (Some(""), Some(""), "shop"),
        ] {
            let moniker = Moniker::new("shop", stack, detail).unwrap();
            assert_eq!(moniker.cluster, cluster);
            let name = server_group(cluster, 7);
            assert_eq!(name, format!("{cluster}-v007"));
            assert_eq!(parse(&name), moniker.version(7));
        }
        assert_eq!(parse("shop-vault").sequence, None);
    }

    #[test]
    fn names_that_could_leave_a_directory_or_look_like_versions_are_refused() {
        for app in ["", "../x", "a/b", "a-b", ".", "a b", "ä"] {
            assert!(
                Moniker::new(app, None, None).is_err(),
                "{app:?} was accepted"
            );
        }
        assert!(Moniker::new("a", Some("../b"), None).is_err());
        assert!(Moniker::new("a", None, Some("x/../y")).is_err());
        assert!(Moniker::new("a", Some("s"), Some("x-v001")).is_err());
        assert!(Moniker::new(&"a".repeat(200), None, None).is_err());
    }

    #[test]
    fn versions_grow_wrap_and_skip_those_in_use() {
        assert_eq!(next_version(None, &[]), Some(0));
        assert_eq!(next_version(Some(4), &[0, 5]), Some(6));
        assert_eq!(next_version(Some(999), &[0]), Some(1));
        assert_eq!(next_version(Some(998), &[]), Some(999));
        assert_eq!(next_version(None, &(0..1000).collect::<Vec<_>>()), None);
    }
}
