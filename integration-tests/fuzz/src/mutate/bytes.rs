//! Changes of bytes, which know nothing of what they mean.

use super::Material;
use crate::random::Random;

/// Texts that parsers of all kinds trip over.
const TOKENS: [&str; 34] = [
    "",
    "\0",
    "\n",
    "\r\n",
    "\\",
    "\"",
    "'",
    "`",
    "%",
    "%00",
    "%25",
    "%2F",
    "${",
    "}",
    "[",
    "{",
    "<",
    "&",
    ";",
    ",",
    ":",
    "/",
    "../",
    "-",
    "-0",
    "0x",
    "1e999",
    "18446744073709551616",
    "-9223372036854775809",
    "\u{feff}",
    "\u{202e}",
    "\u{1f600}",
    "İ",
    "\\ud800",
];
/// Bytes that a change takes from elsewhere at most.
const SPLICE_BYTES_MAX: usize = 4 * 1024;

/// Makes one change.
pub(super) fn change(bytes: &mut Vec<u8>, material: Material<'_>, random: &mut Random) {
    let len = bytes.len();
    match random.below(11) {
        0 if len > 0 => bytes[random.below(len)] ^= 1 << random.below(8),
        1 if len > 0 => bytes[random.below(len)] = random.number() as u8,
        2 => bytes.truncate(random.below(len + 1)),
        3 => drop(bytes.drain(random.range(len))),
        4 => {
            let from = random.range(len);
            let part = bytes[from.start..from.end.min(from.start + SPLICE_BYTES_MAX)].to_vec();
            insert(bytes, random.below(len + 1), &part);
        }
        5 => number(bytes, random),
        6 => {
            if let Some(other) = random.pick(material.others) {
                let from = random.range(other.body.len());
                let part = &other.body[from.start..from.end.min(from.start + SPLICE_BYTES_MAX)];
                let place = random.below(len + 1);
                insert(bytes, place, part);
            }
        }
        7 | 8 => {
            let word = random.pick(material.words).map_or("\n", String::as_str);
            put(bytes, word.as_bytes(), random);
        }
        9 => {
            let token = random.pick(&TOKENS).copied().unwrap_or("\0");
            put(bytes, token.as_bytes(), random);
        }
        _ if len > 0 => {
            // Two neighbours change places: orders and separators.
            let at = random.below(len);
            bytes.swap(at, (at + 1).min(len - 1));
        }
        _ => bytes.push(random.number() as u8),
    }
}

/// Repeats a part until nothing more fits.
pub(super) fn grow(bytes: &mut Vec<u8>, bytes_max: usize, random: &mut Random) {
    let len = bytes.len();
    let start = random.below(len + 1);
    let part = bytes[start..(start + random.few(12)).min(len)].to_vec();
    if part.is_empty() || len >= bytes_max {
        return;
    }
    let times = match random.below(3) {
        0 => 64,
        1 => 1_000,
        _ => bytes_max,
    };
    let times = times.min((bytes_max - len) / part.len());
    insert(bytes, start, &part.repeat(times));
}

/// Instead of something else, or between.
fn put(bytes: &mut Vec<u8>, word: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = if random.one_in(2) {
        at
    } else {
        (at + word.len()).min(bytes.len())
    };
    bytes.splice(at..end, word.iter().copied());
}

fn insert(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    bytes.splice(at..at, part.iter().copied());
}

/// Another number where one stands.
fn number(bytes: &mut Vec<u8>, random: &mut Random) {
    let starts =
        |at: &usize| bytes[*at].is_ascii_digit() && (*at == 0 || !bytes[*at - 1].is_ascii_digit());
    let numbers: Vec<usize> = (0..bytes.len()).filter(starts).collect();
    let Some(&at) = random.pick(&numbers) else {
        return;
    };
    let digits = bytes[at..]
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let old = std::str::from_utf8(&bytes[at..at + digits])
        .ok()
        .and_then(|n| n.parse::<u64>().ok());
    let new = match random.below(6) {
        0 => old.unwrap_or(0).wrapping_add(1),
        1 => old.unwrap_or(0).wrapping_sub(1),
        2 => u64::MAX >> random.below(64),
        3 => 1 << random.below(64),
        4 => random.below(100) as u64,
        _ => random.number(),
    };
    bytes.splice(at..at + digits, new.to_string().into_bytes());
}
