//! Secrets that a sender passes along as they are.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{Claim, Doubt};

impl Claim<'_> {
    /// Whether these bytes are one of the secrets.
    pub(super) fn knows(self, bytes: &[u8]) -> bool {
        // Every secret is compared, so that the time does not tell which of them it was.
        self.secrets
            .iter()
            .fold(false, |known, secret| known | secret.is(bytes))
    }

    fn known(self, bytes: &[u8], place: &str) -> Result<(), Doubt> {
        if self.knows(bytes) {
            Ok(())
        } else {
            Err(format!("{place} holds none of the secrets"))
        }
    }
}

/// The header holds a secret and nothing else.
pub(super) fn header(claim: Claim<'_>, name: &str) -> Result<(), Doubt> {
    let value = claim
        .delivery
        .header(name)
        .ok_or_else(|| format!("there is no header {name}"))?;
    claim.known(value.as_bytes(), &format!("header {name}"))
}

/// What follows the scheme's name in `authorization`.
fn authorization<'a>(claim: Claim<'a>, scheme: &str) -> Result<&'a str, Doubt> {
    let value = claim
        .delivery
        .header("authorization")
        .ok_or("there is no header authorization")?;
    match value.split_once(' ') {
        Some((name, rest)) if name.eq_ignore_ascii_case(scheme) => Ok(rest.trim()),
        _ => Err(format!("header authorization is not of scheme {scheme}")),
    }
}

pub(super) fn bearer(claim: Claim<'_>) -> Result<(), Doubt> {
    let token = authorization(claim, "bearer")?;
    claim.known(token.as_bytes(), "the bearer token")
}

pub(super) fn basic(claim: Claim<'_>) -> Result<(), Doubt> {
    let credentials = STANDARD
        .decode(authorization(claim, "basic")?)
        .map_err(|_| "the basic credentials are not base64")?;
    claim.known(&credentials, "header authorization")
}

/// `authorization` in any of its forms, or `token` of the query for senders that can set no header.
pub(super) fn any(claim: Claim<'_>) -> Result<(), Doubt> {
    if claim.delivery.header("authorization").is_some() {
        return header(claim, "authorization")
            .or_else(|_| bearer(claim))
            .or_else(|_| basic(claim))
            .map_err(|_| "header authorization holds none of the secrets".to_owned());
    }
    match claim.delivery.query.get("token") {
        Some(token) => claim.known(token.as_bytes(), "token of the query"),
        None => Err("there is neither a header authorization nor a token in the query".to_owned()),
    }
}
