//! Whether a delivery was signed with the secret of a git trigger.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use kork_model::inbound::SignedBody;
use sha1::Sha1;
use sha2::Sha256;

/// What is wrong with the signature of a delivery; the same words whatever part of it is wrong.
pub(crate) const WANTED: &str = "a delivery signed with the trigger's secret";

/// What is found of a body that did not come along.
pub(crate) const TOO_LARGE: &str =
    "of a body too large for the secret of a trigger; give its source one";

/// Compares in constant time. A SHA-256 signature decides alone where there is one, so nobody can fall
/// back to SHA-1.
pub(crate) fn is_valid(signed: &SignedBody, secret: &str) -> bool {
    let Ok(body) = STANDARD.decode(&signed.body) else {
        return false;
    };
    let given: Vec<Given> = signed
        .signatures
        .values()
        .filter_map(|v| Given::of(v))
        .collect();
    let strong = given.iter().any(|g| g.algorithm == Algorithm::Sha256);
    given
        .iter()
        .filter(|g| !strong || g.algorithm == Algorithm::Sha256)
        .any(|given| given.is_of(&body, secret))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
}

struct Given {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl Given {
    /// `sha256=<hex>`, `sha1=<hex>`, or bare hex, which Gitea sends for SHA-256.
    fn of(header: &str) -> Option<Self> {
        let header = header.trim();
        let (algorithm, text) = match header.split_once('=') {
            Some(("sha256", text)) => (Algorithm::Sha256, text),
            Some(("sha1", text)) => (Algorithm::Sha1, text),
            Some(_) => return None,
            None => (Algorithm::Sha256, header),
        };
        Some(Self {
            algorithm,
            bytes: hex(text)?,
        })
    }

    fn is_of(&self, body: &[u8], secret: &str) -> bool {
        match self.algorithm {
            Algorithm::Sha256 => Hmac::<Sha256>::new_from_slice(secret.as_bytes())
                .is_ok_and(|mac| mac.chain_update(body).verify_slice(&self.bytes).is_ok()),
            Algorithm::Sha1 => Hmac::<Sha1>::new_from_slice(secret.as_bytes())
                .is_ok_and(|mac| mac.chain_update(body).verify_slice(&self.bytes).is_ok()),
        }
    }
}

/// Bytes of a digest that was written in hex.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.is_empty() || digits.len() > 64 || digits.len() % 2 == 1 {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| Some((nibble(pair[0])? << 4 | nibble(pair[1])?) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '{"a":1}' | openssl dgst -sha256 -hmac geheim`
    const SHA256: &str = "0c3e89010807a274fd26fae3628d3e1dc8f1ee15cc206a8e72920e50b4da8baf";
    const SHA1: &str = "4cd323595d38df4ab88b72d0dc69f01f8caa55a9";

    fn valid(signatures: &[(&str, String)], body: &str, secret: &str) -> bool {
        let signatures = signatures.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
        let signed = SignedBody {
            body: STANDARD.encode(body),
            signatures: signatures.collect(),
        };
        is_valid(&signed, secret)
    }

    #[test]
    fn each_way_of_signing() {
        let body = r#"{"a":1}"#;
        let strong = ("x-hub-signature-256", format!("sha256={SHA256}"));
        let weak = ("x-hub-signature", format!("sha1={SHA1}"));
        assert!(valid(std::slice::from_ref(&strong), body, "geheim"));
        assert!(valid(std::slice::from_ref(&weak), body, "geheim"));
        assert!(valid(
            &[("x-gitea-signature", SHA256.to_owned())],
            body,
            "geheim"
        ));
        assert!(valid(
            &[(
                "x-hub-signature",
                format!("sha256={}", SHA256.to_uppercase())
            )],
            body,
            "geheim"
        ));
        assert!(valid(&[strong.clone(), weak.clone()], body, "geheim"));

        assert!(!valid(
            std::slice::from_ref(&strong),
            r#"{"a":1} "#,
            "geheim"
        ));
        assert!(!valid(std::slice::from_ref(&strong), body, "geheim2"));
        assert!(!valid(&[], body, "geheim"));
        let forged = ("x-hub-signature-256", format!("sha256={}", "0".repeat(64)));
        assert!(!valid(&[forged, weak], body, "geheim"));
    }

    #[test]
    fn odd_headers_are_no_signature() {
        for odd in [
            "",
            "sha256=",
            "sha256=zz",
            "md5=00",
            "sha1=0",
            "sha256=é",
            &"0".repeat(4000),
        ] {
            assert!(
                !valid(&[("x-hub-signature", odd.to_owned())], "", ""),
                "{odd}"
            );
        }
        let signed = SignedBody {
            body: "not base64!".to_owned(),
            ..SignedBody::default()
        };
        assert!(!is_valid(&signed, "s"));
    }
}
