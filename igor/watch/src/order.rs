//! Which of two tags is the newer one, as far as names tell: registries list tags by letters, not by time.

use std::cmp::Ordering;

/// Orders names by their version (`v1.10.0` is newer than `1.9.9`, `1.0.0` than `1.0.0-rc.2`), names
/// without a version before all others, and pieces of digits by their value. Refs go by what comes after
/// `refs/tags/` or `refs/heads/`. A total order.
///
/// The rules of precedence are those of Semantic Versioning, stretched to any number of parts.
pub(crate) fn by_age(left: &str, right: &str) -> Ordering {
    Age::of(left).cmp(&Age::of(right))
}

/// The `count` newest of `names`, the oldest of them first.
pub(crate) fn newest<'a>(names: impl Iterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let mut names: Vec<_> = names.map(Age::of).collect();
    names.sort_unstable();
    names.drain(..names.len().saturating_sub(count));
    names.into_iter().map(|age| age.name).collect()
}

/// Compared member by member in this order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Age<'a> {
    /// The numbers of a version; none for a name that does not begin with one.
    version: Vec<Number<'a>>,
    follows: Follows,
    rest: Vec<Piece<'a>>,
    name: &'a str,
}

/// What comes after the numbers of a version.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Follows {
    PreRelease,
    Nothing,
    Anything,
}

/// Digits without leading zeros: the longer ones are the greater number.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Number<'a> {
    length: usize,
    digits: &'a str,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    Number(Number<'a>),
    Text(&'a str),
}

impl<'a> Age<'a> {
    fn of(name: &'a str) -> Self {
        let short = name
            .strip_prefix("refs/tags/")
            .or_else(|| name.strip_prefix("refs/heads/"))
            .unwrap_or(name);
        let mut rest = short
            .strip_prefix(['v', 'V'])
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            .unwrap_or(short);
        let mut version = Vec::new();
        while let Some((number, after)) = number(rest) {
            version.push(number);
            rest = after;
            match after.strip_prefix('.') {
                Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
                _ => break,
            }
        }
        let follows = match rest.chars().next() {
            None => Follows::Nothing,
            Some('-') if !version.is_empty() => Follows::PreRelease,
            Some(_) => Follows::Anything,
        };
        Self {
            version,
            follows,
            rest: pieces(rest),
            name,
        }
    }
}

/// The digits at the start, and what comes after them.
fn number(text: &str) -> Option<(Number<'_>, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, after) = text.split_at_checked(end).filter(|_| end > 0)?;
    let digits = digits.trim_start_matches('0');
    let length = digits.len();
    Some((Number { length, digits }, after))
}

fn pieces(mut text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        if let Some((number, after)) = number(text) {
            pieces.push(Piece::Number(number));
            text = after;
        } else {
            let end = text
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(text.len());
            let (piece, after) = text.split_at(end);
            pieces.push(Piece::Text(piece));
            text = after;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_as_people_do() {
        let right = [
            "",
            "build-9",
            "build-10",
            "latest",
            "main-2",
            "main-11",
            "0.9",
            "1.0.0-alpha",
            "1.0.0-rc.2",
            "1.0.0-rc.11",
            "v1.0.0",
            "1.0.0+build.5",
            "1.9.9",
            "v1.10.0",
            "2",
            "2.0",
            "20261121",
            "99999999999999999999999999",
        ];
        let mut mixed = right;
        mixed.reverse();
        mixed.sort_by(|a, b| by_age(a, b));
        assert_eq!(mixed, right);
        assert!(by_age("refs/tags/v1.2.0-rc1", "refs/tags/v1.2.0").is_lt());
        assert!(by_age("refs/tags/main", "refs/heads/v1").is_lt());
        assert_eq!(newest(right.into_iter(), 2), right[right.len() - 2..]);
        assert_eq!(newest(right.into_iter(), 0), [""; 0]);
        assert_eq!(newest(right.into_iter(), 1000), right);
    }

    proptest! {
        #[test]
        fn it_is_a_total_order(a in "[v0-9.a-c+é-]{0,8}", b in "[v0-9.a-c+é-]{0,8}", c in "[v0-9.a-c+é-]{0,8}") {
            prop_assert_eq!(by_age(&a, &b), by_age(&b, &a).reverse());
            prop_assert_eq!(by_age(&a, &b) == Ordering::Equal, a == b);
            if by_age(&a, &b).is_le() && by_age(&b, &c).is_le() {
                prop_assert!(by_age(&a, &c).is_le());
            }
        }

        #[test]
        fn any_text_has_an_age(text in any::<String>(), other in any::<String>()) {
            by_age(&text, &other);
        }
    }
}
