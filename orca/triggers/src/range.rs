//! Ranges of versions as npm writes them: `^1.2`, `~1.2.3`, `1.x`, `>=1 <2 || 3.0.1`, `1.2 - 2.3`.

use semver::{Version, VersionReq};

/// Longest range, in bytes.
const RANGE_BYTES_MAX: usize = 1024;

/// Whether a version is in a range; an error says what is wrong with the range.
pub(crate) fn contains(range: &str, version: &Version) -> Result<bool, String> {
    if range.len() > RANGE_BYTES_MAX {
        return Err(format!("longer than {RANGE_BYTES_MAX} bytes"));
    }
    let mut found = false;
    for part in range.split("||") {
        found |= one_of(part.trim())?.matches(version);
    }
    Ok(found)
}

/// A version of a chart: `v1.2.3` too, and `_` for `+` as registries want it.
pub(crate) fn version(text: &str) -> Option<Version> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    Version::parse(text)
        .or_else(|_| Version::parse(&text.replacen('_', "+", 1)))
        .ok()
}

/// What stands between two `||`.
fn one_of(part: &str) -> Result<VersionReq, String> {
    if let Some((from, to)) = part.split_once(" - ") {
        let text = format!(">={}, <={}", partial(from.trim()), partial(to.trim()));
        return parse(&text);
    }
    let mut wanted = Vec::new();
    let mut operator = String::new();
    for word in part.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
        let digits = word.trim_start_matches(['<', '>', '=', '^', '~']);
        operator.push_str(&word[..word.len() - digits.len()]);
        if digits.is_empty() {
            continue;
        }
        let version = partial(digits);
        match (operator.as_str(), version.as_str()) {
            ("" | "=" | ">=" | "<=" | "^" | "~" | "~>", "*") => {}
            ("", version) => wanted.push(format!("={version}")),
            ("~>", version) => wanted.push(format!("~{version}")),
            (operator, version) => wanted.push(format!("{operator}{version}")),
        }
        operator.clear();
    }
    if !operator.is_empty() {
        return Err(format!("`{operator}` stands before no version"));
    }
    if wanted.is_empty() {
        return Ok(VersionReq::STAR);
    }
    parse(&wanted.join(", "))
}

/// `v1.2.x` is `1.2`, `x` is `*`; build metadata says nothing about order.
fn partial(version: &str) -> String {
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version
        .split_once('+')
        .map_or(version, |(version, _)| version);
    let mut kept = Vec::new();
    for number in version.splitn(3, '.') {
        if matches!(number, "x" | "X" | "*") {
            break;
        }
        kept.push(number);
    }
    if kept.is_empty() {
        "*".to_owned()
    } else {
        kept.join(".")
    }
}

fn parse(text: &str) -> Result<VersionReq, String> {
    VersionReq::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_as_npm_reads_them() {
        for (range, inside, outside) in [
            ("1.2.3", "1.2.3", "1.2.4"),
            ("=1.2", "1.2.9", "1.3.0"),
            ("^1.2", "1.9.0", "2.0.0"),
            ("^0.2.3", "0.2.9", "0.3.0"),
            ("~1.2.3", "1.2.9", "1.3.0"),
            ("~> 1.2.3", "1.2.9", "1.3.0"),
            ("1.x", "1.9.9", "2.0.0"),
            ("1.2.*", "1.2.0", "1.3.0"),
            (">=1.2 <2", "1.5.0", "2.0.0"),
            (">= 1.2, < 2", "1.5.0", "1.1.9"),
            ("1.2 - 2.3", "2.3.9", "2.4.0"),
            ("1.2.3 - 2.3.4", "2.3.4", "2.3.5"),
            ("^1 || ^3", "3.1.0", "2.0.0"),
            ("*", "9.9.9", "1.0.0-rc.1"),
            ("", "0.0.1", "0.0.1-a"),
            (">=1.0.0-rc.1 <2", "1.0.0-rc.2", "1.1.0-rc.2"),
            ("v2.0.0", "2.0.0", "2.0.1"),
            ("<=1.2", "1.2.9", "1.3.0"),
            (">1.2", "1.3.0", "1.2.9"),
        ] {
            let is_in = |v: &str| contains(range, &version(v).unwrap()).unwrap();
            assert!(is_in(inside), "{range} {inside}");
            assert!(!is_in(outside), "{range} {outside}");
        }
    }

    #[test]
    fn what_is_no_range_says_so() {
        for range in [">", "latest", "^a", "1.2.3 -", ">>1", &"1".repeat(2000)] {
            assert!(contains(range, &Version::new(1, 0, 0)).is_err(), "{range}");
        }
        assert_eq!(version("v1.2.3_build.5").unwrap().build.as_str(), "build.5");
        assert!(version("main").is_none());
    }

    proptest! {
        #[test]
        fn no_range_panics(range in "[0-9x.*^~<>=| v-]{0,24}") {
            let _known = contains(&range, &Version::new(1, 2, 3)).is_ok();
        }

        #[test]
        fn a_caret_keeps_the_first_number(a in 1..5u64, b in 0..5u64, c in 0..5u64, x in 0..6u64, y in 0..6u64, z in 0..6u64) {
            let found = contains(&format!("^{a}.{b}.{c}"), &Version::new(x, y, z)).unwrap();
            prop_assert_eq!(found, x == a && (y, z) >= (b, c));
        }
    }
}
