//! Message authentication codes over the bytes as they arrived.

use ::hmac::{Hmac, KeyInit, Mac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::Claim;
use crate::source::{Algorithm, Encoding};

/// Whether `code` authenticates the parts, one after the other, under `key`; in constant time.
pub(super) fn authenticates(
    algorithm: Algorithm,
    key: &[u8],
    parts: &[&[u8]],
    code: &[u8],
) -> bool {
    match algorithm {
        Algorithm::Sha1 => verified::<Hmac<Sha1>>(key, parts, code),
        Algorithm::Sha224 => verified::<Hmac<Sha224>>(key, parts, code),
        Algorithm::Sha256 => verified::<Hmac<Sha256>>(key, parts, code),
        Algorithm::Sha384 => verified::<Hmac<Sha384>>(key, parts, code),
        Algorithm::Sha512 => verified::<Hmac<Sha512>>(key, parts, code),
    }
}

fn verified<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]], code: &[u8]) -> bool {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else {
        return false;
    };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(code).is_ok()
}

impl Claim<'_> {
    /// Whether any secret authenticates `body` with the written code.
    pub(super) fn signed(
        self,
        algorithm: Algorithm,
        encoding: Encoding,
        code: &str,
        body: &[u8],
    ) -> Result<(), String> {
        let code = match encoding {
            Encoding::Hex => decode_hex(code).ok_or("the signature is not hex")?,
            Encoding::Base64 => STANDARD
                .decode(code)
                .map_err(|_| "the signature is not base64")?,
        };
        let known = self
            .secrets
            .iter()
            .any(|secret| authenticates(algorithm, secret.bytes(), &[body], &code));
        if known {
            Ok(())
        } else {
            Err("the signature is of another body or of another secret".to_owned())
        }
    }
}

/// Bytes from hex digits, either case.
pub(super) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    text.as_bytes()
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_published_test_vectors_are_right() {
        // RFC 2202 case 2 and RFC 4231 case 2: the key `Jefe`.
        let text: &[u8] = b"what do ya want for nothing?";
        let cases = [
            (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                Algorithm::Sha224,
                "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
            ),
            (
                Algorithm::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ];
        for (algorithm, hex) in cases {
            let code = decode_hex(hex).unwrap();
            assert!(authenticates(algorithm, b"Jefe", &[text], &code));
            assert!(authenticates(
                algorithm,
                b"Jefe",
                &[&text[..5], &text[5..]],
                &code
            ));
            assert!(!authenticates(algorithm, b"jefe", &[text], &code));
            assert!(!authenticates(algorithm, b"Jefe", &[text], &code[1..]));
            assert!(!authenticates(algorithm, b"Jefe", &[text], b""));
        }
    }

    #[test]
    fn hex_is_read_strictly() {
        assert_eq!(decode_hex("0aFf"), Some(vec![10, 255]));
        for wrong in ["0", "0x", "+1", " 1", "é", "0a "] {
            assert_eq!(decode_hex(wrong), None, "{wrong}");
        }
    }
}
