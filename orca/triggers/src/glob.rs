//! Paths of files with `*` (within a folder), `**` (across folders) and `?`.

/// Most comparisons of one path with one pattern; a pattern that needs more does not match.
const STEPS_MAX: usize = 100_000;

/// Whether a pattern covers all of a path. A pattern that ends in `/` covers everything in the folder.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let pattern = pattern.trim_start_matches('/');
    let mut pieces = Vec::new();
    let mut rest = pattern.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let (piece, behind) = match (first, behind) {
            (b'*', [b'*', b'/', behind @ ..]) => (Piece::Folders, behind),
            (b'*', [b'*', behind @ ..]) => (Piece::All, behind),
            (b'*', behind) => (Piece::Name, behind),
            (b'?', behind) => (Piece::One, behind),
            (byte, behind) => (Piece::Byte(byte), behind),
        };
        pieces.push(piece);
        rest = behind;
    }
    if pattern.ends_with('/') {
        pieces.push(Piece::All);
    }
    let mut left = STEPS_MAX;
    covers(&pieces, path.trim_start_matches('/').as_bytes(), &mut left)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    Byte(u8),
    One,
    Name,
    Folders,
    All,
}

/// Keeps the set of places in the pattern that the path so far can have reached.
fn covers(pieces: &[Piece], path: &[u8], left: &mut usize) -> bool {
    let mut here = vec![false; pieces.len() + 1];
    here[0] = true;
    spread(pieces, &mut here, true);
    for (at, byte) in path.iter().enumerate() {
        *left = left.saturating_sub(pieces.len());
        if *left == 0 {
            return false;
        }
        let mut next = vec![false; pieces.len() + 1];
        for (place, piece) in pieces.iter().enumerate().filter(|(place, _)| here[*place]) {
            match piece {
                Piece::Byte(wanted) if wanted == byte => next[place + 1] = true,
                Piece::One if *byte != b'/' => next[place + 1] = true,
                Piece::Name if *byte != b'/' => next[place] = true,
                Piece::Folders | Piece::All => next[place] = true,
                Piece::Byte(_) | Piece::One | Piece::Name => {}
            }
        }
        spread(pieces, &mut next, path[at] == b'/');
        here = next;
    }
    here[pieces.len()]
}

/// Stars may cover nothing; `**/` ends where a folder begins.
fn spread(pieces: &[Piece], places: &mut [bool], folder_begins: bool) {
    for (at, piece) in pieces.iter().enumerate() {
        let passes = match piece {
            Piece::Name | Piece::All => true,
            Piece::Folders => folder_begins,
            Piece::Byte(_) | Piece::One => false,
        };
        if passes && places[at] {
            places[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::matches;

    #[test]
    fn stars_and_folders() {
        for (pattern, path) in [
            ("src/*.rs", "src/a.rs"),
            ("src/**", "src/a/b.rs"),
            ("**/*.md", "README.md"),
            ("**/*.md", "docs/a/b.md"),
            ("docs/", "docs/a/b"),
            ("a/**/b", "a/b"),
            ("a/**/b", "a/x/y/b"),
            ("a?c", "abc"),
            ("/app/x", "app/x"),
            ("**", "any/thing"),
            ("*", ""),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("src/*.rs", "src/a/b.rs"),
            ("*.md", "docs/a.md"),
            ("a/**/b", "a/xb"),
            ("docs/", "docs2/a"),
            ("a?c", "a/c"),
            ("", "a"),
            ("a", "ab"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn what_never_ends_is_given_up() {
        assert!(!matches(&"*a".repeat(500), &"a".repeat(100_000)));
    }

    /// Everything a pattern can be, tried one after the other.
    fn slow(pattern: &[u8], path: &[u8], folder_begins: bool) -> bool {
        let begins = |at: usize| {
            if at == 0 {
                folder_begins
            } else {
                path[at - 1] == b'/'
            }
        };
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', b'/', rest @ ..] => {
                (0..=path.len()).any(|at| begins(at) && slow(rest, &path[at..], true))
            }
            [b'*', b'*', rest @ ..] => {
                (0..=path.len()).any(|at| slow(rest, &path[at..], begins(at)))
            }
            [b'*', rest @ ..] => (0..=path.len())
                .take_while(|at| !path[..*at].contains(&b'/'))
                .any(|at| slow(rest, &path[at..], begins(at))),
            [one, rest @ ..] => path.split_first().is_some_and(|(byte, behind)| {
                (one == byte || (*one == b'?' && *byte != b'/'))
                    && slow(rest, behind, *byte == b'/')
            }),
        }
    }

    proptest! {
        #[test]
        fn as_trying_everything(pattern in "[ab*?/]{0,7}[ab*]", path in "[ab/]{0,7}") {
            let pattern = pattern.trim_start_matches('/');
            let path = path.trim_start_matches('/');
            prop_assert_eq!(matches(pattern, path), slow(pattern.as_bytes(), path.as_bytes(), true));
        }
    }
}
