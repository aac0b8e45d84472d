//! Any key as one that every S3 takes. A key of plain text is itself, so that a bucket of the original
//! reads as it is; what stores on file systems refuse is written as `%` and two digits.
//!
//! A beginning of a key becomes a beginning of what the key becomes, so that a listing works.

use kork::ports::{ObjectStoreError, limit::NAME_BYTES_MAX};

/// Longest part between two slashes; longer ones are cut with `%/`.
const PART_BYTES_MAX: usize = 200;

pub(super) fn check(key: &str) -> Result<(), ObjectStoreError> {
    let bad = |reason: &str| {
        Err(ObjectStoreError::BadKey {
            key: key.chars().take(80).collect(),
            reason: reason.to_owned(),
        })
    };
    if key.is_empty() {
        return bad("it is empty");
    }
    if key.len() > NAME_BYTES_MAX {
        return bad(&format!("it has more than {NAME_BYTES_MAX} bytes"));
    }
    if key.split('/').any(|part| part == "." || part == "..") {
        return bad("a part of it is . or ..");
    }
    Ok(())
}

/// The key as it is stored.
pub(super) fn encode(key: &str) -> String {
    let mut text = beginning(key);
    // A slash at the end would be a folder.
    if text.ends_with('/') {
        text.pop();
        text.push_str("%2f");
    }
    text
}

/// The beginning that all stored keys have which begin with `prefix`.
pub(super) fn beginning(prefix: &str) -> String {
    let mut text = String::with_capacity(prefix.len());
    let mut part = 0;
    for c in prefix.chars() {
        if c == '/' && part > 0 {
            text.push('/');
            part = 0;
            continue;
        }
        let plain = !c.is_control() && !matches!(c, '/' | '%' | '\\');
        let length = if plain { c.len_utf8() } else { 3 };
        if part + length > PART_BYTES_MAX {
            text.push_str("%/");
            part = 0;
        }
        if plain {
            text.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                text.push('%');
                text.extend(
                    [byte >> 4, byte & 15].map(|d| char::from_digit(d.into(), 16).unwrap_or('0')),
                );
            }
        }
        part += length;
    }
    text
}

/// The key that is stored as `text`.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        rest = match (first, after.first(), digit(0), digit(1)) {
            (b'%', Some(b'/'), ..) => &after[1..],
            (b'%', _, Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                &after[2..]
            }
            _ => {
                bytes.push(*first);
                after
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_keys_stay_and_all_come_back() {
        let plain = "front50/pipelines/0a1b/pipeline-metadata.json";
        assert_eq!(encode(plain), plain);
        let long = format!("long/{}", "日".repeat(150));
        for key in ["a//b", "/a", "a/", "%", "100%25", "a\nb", "a\\b", &long] {
            let stored = encode(key);
            assert_eq!(decode(&stored), key, "{stored}");
            assert!(
                stored
                    .split('/')
                    .all(|part| !part.is_empty() && part.len() <= 210)
            );
            for (at, _) in key.char_indices() {
                assert!(stored.starts_with(&beginning(&key[..at])), "{stored} {at}");
            }
        }
    }
}
