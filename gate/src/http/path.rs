//! Paths and percent-encoding. A path is split before it is decoded, so that an encoded slash stays
//! part of a name.

/// Decodes `%XX`, and `+` as a blank when `plus` is set; says what is wrong otherwise.
pub(crate) fn decode(text: &str, plus: bool) -> Result<String, String> {
    let is_encoded = text.contains('%') || (plus && text.contains('+'));
    if !is_encoded {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = (rest.next().and_then(hex), rest.next().and_then(hex));
                let (Some(high), Some(low)) = digits else {
                    return Err(format!(
                        "{text:?} has a % that two hexadecimal digits must follow"
                    ));
                };
                bytes.push(high << 4 | low);
            }
            b'+' if plus => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8 once decoded"))
}

/// The decoded parts of a path; one slash at the end does not count.
pub(crate) fn parts(path: &str) -> Result<Vec<String>, String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/').map(|part| decode(part, false)).collect()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_slashes_and_dots_stay_in_their_part() {
        assert_eq!(
            parts("/a/My%20Pipe.v2/x%2Fy/").unwrap(),
            ["a", "My Pipe.v2", "x/y"]
        );
        assert_eq!(parts("/").unwrap(), Vec::<String>::new());
        assert_eq!(parts("/a+b").unwrap(), ["a+b"]);
    }

    #[test]
    fn broken_encodings_are_told() {
        for path in ["/%", "/%4", "/%zz", "/%ff"] {
            assert!(parts(path).is_err(), "{path}");
        }
    }
}
