//! Where a registry is, how its images are named, and which names are names at all.

use url::Url;

use crate::http;

/// Tags of one page; more is refused by some registries.
pub(super) const PAGE_SIZE_MAX: u16 = 1000;
/// Bytes of the path of a repository.
const REPOSITORY_BYTES_MAX: usize = 255;
/// Bytes of a tag, by the OCI distribution specification.
const TAG_BYTES_MAX: usize = 128;
/// Docker Hub, by the names people give it.
const HUB_NAMES: [&str; 6] = [
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "registry.docker.io",
    "registry.hub.docker.com",
    "hub.docker.com",
];
const HUB: &str = "docker.io";
const HUB_API: &str = "https://registry-1.docker.io/";

/// A registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Root of the API, ending with a slash.
    pub(super) base: Url,
    /// What names of images begin with: `docker.io`, `localhost:5000`.
    pub(super) registry: String,
}

impl Address {
    /// `text` is a host with or without a port, or a URL; without a scheme it is http for this very machine,
    /// else https.
    pub(super) fn parse(text: &str, allow_http: bool) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("a host or URL is needed, such as docker.io".to_owned());
        }
        let parsed = if text.contains("://") {
            Url::parse(text)
        } else {
            Url::parse(&format!("https://{text}"))
        };
        let mut url = parsed.map_err(|e| format!("it is no host and no URL: {e}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds credentials, set username and password instead".to_owned());
        }
        if !matches!(url.path(), "/" | "/v1/" | "/v1" | "/v2/" | "/v2")
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err("it has a path, which belongs to the names of repositories".to_owned());
        }
        if url.host_str().is_some_and(|host| HUB_NAMES.contains(&host)) {
            url = Url::parse(HUB_API).map_err(|e| e.to_string())?;
            return Ok(Self {
                base: url,
                registry: HUB.to_owned(),
            });
        }
        if !text.contains("://") && http::is_loopback(&url) {
            url = Url::parse(&format!("http://{text}")).map_err(|e| e.to_string())?;
        }
        http::check_scheme(&url, allow_http)?;
        url.set_path("/");
        let registry = http::place(&url);
        Ok(Self {
            base: url,
            registry,
        })
    }

    /// The path of a repository in this registry, of `library/nginx`, `nginx` (Docker Hub alone) or
    /// `docker.io/library/nginx`; none for what is no path of a repository.
    pub(super) fn repository(&self, name: &str) -> Option<String> {
        let path = self.path_of(name).unwrap_or(name);
        let path = if self.registry == HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        is_repository(&path).then_some(path)
    }

    /// What comes after this registry in the name of an image; none for images of other registries.
    pub(super) fn path_of<'a>(&self, image: &'a str) -> Option<&'a str> {
        image.strip_prefix(&self.registry)?.strip_prefix('/')
    }

    /// `https://registry/v2/library/nginx/tags/list` of the parts `library/nginx`, `tags/list`.
    pub(super) fn api(&self, repository: &str, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{repository}/{rest}"));
        url
    }
}

/// Parts of small letters and digits, with single separators between them, by the OCI distribution
/// specification; so nothing in it is special in a URL.
fn is_repository(path: &str) -> bool {
    let is_part = |part: &str| {
        let is_word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|c| is_word(*c))
            && bytes.last().is_some_and(|c| is_word(*c))
            && bytes
                .iter()
                .all(|c| is_word(*c) || matches!(c, b'.' | b'_' | b'-'))
            && !part.contains("..")
    };
    path.len() <= REPOSITORY_BYTES_MAX && path.split('/').all(is_part)
}

/// By the OCI distribution specification; so nothing in it is special in a URL.
pub(super) fn is_tag(tag: &str) -> bool {
    let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= TAG_BYTES_MAX
        && bytes.first().is_some_and(|c| is_word(*c))
        && bytes
            .iter()
            .all(|c| is_word(*c) || matches!(c, b'.' | b'-'))
}

/// The tag of something about another image, such as a signature: `sha256-<hex>` and maybe a suffix, by the
/// referrers tag schema of the OCI distribution specification and by cosign.
pub(super) fn is_attachment(tag: &str) -> bool {
    let rest = tag.strip_prefix("sha256-").unwrap_or_default();
    let (hex, suffix) = rest.split_at_checked(64).unwrap_or_default();
    is_digest(&format!("sha256:{hex}")) && (suffix.is_empty() || suffix.starts_with('.'))
}

/// `sha256:` or `sha512:` and small hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    let is_hex = |hex: &str| hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    match text.split_once(':') {
        Some(("sha256", hex)) => hex.len() == 64 && is_hex(hex),
        Some(("sha512", hex)) => hex.len() == 128 && is_hex(hex),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn registries_have_one_name() {
        for (text, base, registry) in [
            ("docker.io", HUB_API, "docker.io"),
            ("https://index.docker.io/v1/", HUB_API, "docker.io"),
            ("http://registry-1.docker.io", HUB_API, "docker.io"),
            (
                "Packages.Example",
                "https://packages.example/",
                "packages.example",
            ),
            (
                "https://harbor.example:443/v2/",
                "https://harbor.example/",
                "harbor.example",
            ),
            (
                "harbor.example:8443",
                "https://harbor.example:8443/",
                "harbor.example:8443",
            ),
            ("localhost:5000", "http://localhost:5000/", "localhost:5000"),
            ("127.0.0.1:80", "http://127.0.0.1/", "127.0.0.1"),
            ("[::1]:5000", "http://[::1]:5000/", "[::1]:5000"),
            (
                "https://localhost:5000",
                "https://localhost:5000/",
                "localhost:5000",
            ),
        ] {
            let address = Address::parse(text, false).unwrap();
            assert_eq!(
                (address.base.as_str(), address.registry.as_str()),
                (base, registry),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for text in [
            "",
            "http://registry.example",
            "https://ana:secret@registry.example",
            "https://registry.example/project",
            "https://registry.example/?a=b",
            "ftp://registry.example",
            "https://",
            "a b",
            "https://ana:secret@a b",
        ] {
            let reason = Address::parse(text, false).unwrap_err();
            assert!(!reason.contains("secret"), "{reason}");
        }
        assert!(Address::parse("http://registry.example", true).is_ok());
    }

    #[test]
    fn repositories_are_paths_of_their_registry() {
        let hub = Address::parse("docker.io", false).unwrap();
        let own = Address::parse("localhost:5000", false).unwrap();
        for (address, name, expected) in [
            (&hub, "nginx", Some("library/nginx")),
            (&hub, "docker.io/library/nginx", Some("library/nginx")),
            (&hub, "acme/cart", Some("acme/cart")),
            (&own, "cart", Some("cart")),
            (&own, "localhost:5000/a/b-c/d__e", Some("a/b-c/d__e")),
            (&own, "", None),
            (&own, "Cart", None),
            (&own, "a/../b", None),
            (&own, "a/", None),
            (&own, "a?b", None),
            (&own, "packages.example:1/a", None),
        ] {
            assert_eq!(address.repository(name).as_deref(), expected, "{name}");
        }
        assert_eq!(own.path_of("localhost:5000/a"), Some("a"));
        assert_eq!(own.path_of("localhost:50001/a"), None);
    }

    #[test]
    fn tags_and_digests_are_told_from_other_text() {
        for (tag, fine) in [
            ("1.27", true),
            ("_x-Y", true),
            (".x", false),
            ("a/b", false),
            ("", false),
        ] {
            assert_eq!(is_tag(tag), fine, "{tag}");
        }
        assert!(is_tag(&"a".repeat(128)) && !is_tag(&"a".repeat(129)));
        assert!(is_digest(&format!("sha256:{}", "0f".repeat(32))));
        assert!(is_digest(&format!("sha512:{}", "0f".repeat(64))));
        for text in [
            "sha256:ab",
            &format!("sha256:{}", "0F".repeat(32)),
            "md5:ab",
            "",
        ] {
            assert!(!is_digest(text), "{text}");
        }
    }

    #[test]
    fn attachments_are_told_from_images() {
        let of = format!("sha256-{}", "0f".repeat(32));
        for suffix in ["", ".sig", ".att"] {
            assert!(is_attachment(&format!("{of}{suffix}")), "{suffix}");
        }
        for tag in [&format!("{of}0"), &of[1..], &of[..70], "sha256-abc", "1.0"] {
            assert!(!is_attachment(tag), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_is_not(text in any::<String>(), name in any::<String>()) {
            if let Ok(address) = Address::parse(&text, true) {
                prop_assert!(!address.registry.is_empty());
                if let Some(path) = address.repository(&name) {
                    let url = address.api(&path, "tags/list");
                    prop_assert_eq!(url.path(), format!("/v2/{path}/tags/list"));
                    prop_assert_eq!(url.origin(), address.base.origin());
                }
            }
        }

        #[test]
        fn the_path_of_a_url_is_the_repository(path in "[a-z0-9./_%-]{1,20}", tag in "[a-zA-Z0-9._%/-]{1,9}") {
            let address = Address::parse("registry.example", false).unwrap();
            if let Some(path) = address.repository(&path)
                && is_tag(&tag)
            {
                let url = address.api(&path, &format!("manifests/{tag}"));
                prop_assert_eq!(url.path(), format!("/v2/{path}/manifests/{tag}"));
            }
        }
    }
}
