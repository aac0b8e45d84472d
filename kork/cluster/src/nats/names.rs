//! Any name as words of a subject. NATS allows no blank, `*` or `>` in a word, and no empty one.

use sha2::{Digest, Sha256};

/// A name of words joined with dots, as words that NATS takes. Reversible.
pub(super) fn subject(name: &str) -> String {
    name.split('.').map(word).collect::<Vec<_>>().join(".")
}

/// A name as [`subject`] writes it; `*` and `>` stay what they are to NATS.
pub(super) fn pattern(name: &str) -> String {
    let one = |part: &str| match part {
        "*" | ">" => part.to_owned(),
        _ => word(part),
    };
    name.split('.').map(one).collect::<Vec<_>>().join(".")
}

/// One word; what is no letter, digit, `-`, `_` or `=` is written as `%` and two digits.
pub(super) fn word(text: &str) -> String {
    if text.is_empty() {
        return "%".to_owned();
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=');
    let mut word = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            word.push(char::from(byte));
        } else {
            word.push('%');
            word.extend([byte >> 4, byte & 15].map(digit));
        }
    }
    word
}

/// The name that [`subject`] was made of.
pub(super) fn name(subject: &str) -> String {
    subject.split('.').map(unword).collect::<Vec<_>>().join(".")
}

/// A short word that stands for an id.
pub(super) fn hashed(id: &str) -> String {
    let hash = Sha256::digest(id.as_bytes());
    hash[..16]
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15].map(digit))
        .collect()
}

/// The filter for all subjects under a prefix of the ports: it ends at a dot or is whole.
pub(super) fn filters(base: &str, prefix: &str) -> Vec<String> {
    match prefix.strip_suffix('.') {
        _ if prefix.is_empty() => vec![format!("{base}>")],
        Some(parent) => vec![format!("{base}{}.>", subject(parent))],
        None => {
            let whole = format!("{base}{}", subject(prefix));
            vec![format!("{whole}.>"), whole]
        }
    }
}

/// One of the filters that [`filters`] makes lets the subject through.
pub(super) fn is_under(subject: &str, filter: &str) -> bool {
    match filter.strip_suffix('>') {
        Some(parent) => subject.len() > parent.len() && subject.starts_with(parent),
        None => subject == filter,
    }
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('0')
}

fn unword(word: &str) -> String {
    if word == "%" {
        return String::new();
    }
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut half = || {
            let digit = rest.next().map(char::from)?;
            digit.to_digit(16).map(|d| d as u8)
        };
        if let (Some(high), Some(low)) = (half(), half()) {
            bytes.push(high << 4 | low);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_comes_back() {
        for text in ["execution.01ABC", "a b", "é.*.>", "100%", "x..y", ""] {
            let made = subject(text);
            assert_eq!(name(&made), text, "{made}");
            assert!(
                !made.contains([' ', '*', '>']) && !made.contains(".."),
                "{made}"
            );
        }
    }

    #[test]
    fn a_prefix_becomes_filters() {
        assert_eq!(filters("n.j.", ""), ["n.j.>"]);
        assert_eq!(filters("n.j.", "execution."), ["n.j.execution.>"]);
        assert_eq!(filters("n.j.", "a.1"), ["n.j.a.1.>", "n.j.a.1"]);
        let under = |subject, prefix| filters("n.j.", prefix).iter().any(|f| is_under(subject, f));
        assert!(under("n.j.a.1", "") && under("n.j.a.1", "a.") && under("n.j.a.1", "a.1"));
        assert!(under("n.j.a.1", "a") && under("n.j.a.1.b", "a.1"));
        assert!(!under("n.j.a.12", "a.1") && !under("n.j.a", "a.") && !under("n.j.b.1", "a."));
    }
}
