//! Identity tokens of Google, which Pub/Sub push sends as `Authorization: Bearer <token>`.
//!
//! RS256 alone is accepted; the token's header chooses the key, never the algorithm.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::Value;

use super::Doubt;
use crate::{Delivery, field};

/// How far Google's clock may be off ours.
const LEEWAY_MS: u64 = 60 * 1000;
/// Keys that a set may hold.
const KEYS_MAX: usize = 32;
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

/// Google's public keys, as `https://www.googleapis.com/oauth2/v3/certs` serves them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// Why a set of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    #[error("the key set is not JSON")]
    Json(#[from] serde_json::Error),
    #[error("the key set holds no RSA key for signatures")]
    Empty,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys of other types and for other purposes are left out.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: Value = serde_json::from_slice(json)?;
        let keys: Vec<Key> = field::list(&set, "/keys")
            .iter()
            .filter(|key| field::text(key, "/kty") == Some("RSA"))
            .filter(|key| matches!(field::text(key, "/use"), None | Some("sig")))
            .filter_map(|key| {
                Some(Key {
                    id: field::owned(key, "/kid")?,
                    modulus: number(field::text(key, "/n")?)?,
                    exponent: number(field::text(key, "/e")?)?,
                })
            })
            .take(KEYS_MAX)
            .collect();
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self(keys))
    }

    /// Whether it has the key that the bearer token of a delivery names: if not, fetch the set anew.
    pub fn has_key_of(&self, delivery: &Delivery<'_>) -> bool {
        bearer(delivery)
            .ok()
            .and_then(|token| part(token.split('.').next()?))
            .and_then(|header| {
                let id = field::text(&header, "/kid")?;
                Some(self.0.iter().any(|key| key.id == id))
            })
            .unwrap_or(false)
    }
}

/// Big-endian bytes without leading zeros.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let start = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[start..].to_vec())
}

/// A part of a token as JSON.
fn part(text: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn bearer<'a>(delivery: &'a Delivery<'_>) -> Result<&'a str, Doubt> {
    match delivery
        .header("authorization")
        .and_then(|value| value.split_once(' '))
    {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err("there is no bearer token".to_owned()),
    }
}

/// Checks the signature, the issuer, the audience, the e-mail address and the time of the token.
pub(super) fn check(
    delivery: &Delivery<'_>,
    keys: Option<&KeySet>,
    audience: &str,
    email: &str,
) -> Result<(), Doubt> {
    let keys = keys.ok_or("the keys of Google have not been fetched yet")?;
    let token = bearer(delivery)?;
    let (signed, signature) = token.rsplit_once('.').ok_or("the token has no signature")?;
    let (header, claims) = signed.split_once('.').ok_or("the token has no claims")?;
    let header = part(header).ok_or("the header of the token is not JSON in base64")?;
    if field::text(&header, "/alg") != Some("RS256") {
        return Err("the token is not signed with RS256".to_owned());
    }
    let id = field::text(&header, "/kid").ok_or("the token names no key")?;
    let key = keys
        .0
        .iter()
        .find(|key| key.id == id)
        .ok_or("the token names a key that Google's key set does not have")?;
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| "the signature of the token is not base64")?;
    RsaPublicKeyComponents {
        n: &key.modulus,
        e: &key.exponent,
    }
    .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
    .map_err(|_| "the signature of the token is wrong")?;
    let claims = part(claims).ok_or("the claims of the token are not JSON in base64")?;
    claimed(&claims, delivery.received.millis(), audience, email)
}

fn claimed(claims: &Value, now_ms: u64, audience: &str, email: &str) -> Result<(), Doubt> {
    if !field::text(claims, "/iss").is_some_and(|issuer| ISSUERS.contains(&issuer)) {
        return Err("claim iss of the token is not Google".to_owned());
    }
    if audience.is_empty() || field::text(claims, "/aud") != Some(audience) {
        return Err("claim aud of the token is not the audience of the source".to_owned());
    }
    if email.is_empty() || field::text(claims, "/email") != Some(email) {
        return Err("claim email of the token is not the account of the source".to_owned());
    }
    if field::flag(claims, "/email_verified") != Some(true) {
        return Err("claim email_verified of the token is not true".to_owned());
    }
    let ms = |pointer| field::number(claims, pointer).and_then(|s| s.checked_mul(1000));
    let expires = ms("/exp").ok_or("the token has no claim exp")?;
    if expires.saturating_add(LEEWAY_MS) <= now_ms {
        return Err("the token has expired".to_owned());
    }
    if ms("/iat").is_some_and(|issued| issued > now_ms.saturating_add(LEEWAY_MS)) {
        return Err("claim iat of the token is in the future: check the clock".to_owned());
    }
    Ok(())
}
