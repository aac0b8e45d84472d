//! Standard Webhooks: an id, a time and several signatures. GitLab's signing tokens are the same.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};

use super::{Claim, Doubt, hmac::authenticates};
use crate::{Secret, limits::SIGNATURES_MAX, source::Algorithm};

/// How far the sender's clock may be off, either way.
pub const TOLERANCE_MS: u64 = 5 * 60 * 1000;

/// Checks `webhook-signature` over `<webhook-id>.<webhook-timestamp>.<raw body>`.
pub(super) fn check(claim: Claim<'_>) -> Result<(), Doubt> {
    let header = |name: &str| {
        claim
            .delivery
            .header(name)
            .ok_or_else(|| format!("there is no header {name}"))
    };
    let id = header("webhook-id")?;
    let timestamp = header("webhook-timestamp")?;
    let signatures = header("webhook-signature")?;

    let sent_ms = timestamp
        .parse::<u64>()
        .ok()
        .and_then(|seconds| seconds.checked_mul(1000))
        .ok_or("webhook-timestamp is not a number of seconds")?;
    if sent_ms.abs_diff(claim.delivery.received.millis()) > TOLERANCE_MS {
        return Err("webhook-timestamp is more than 5 minutes off: check both clocks".to_owned());
    }

    let parts: [&[u8]; 5] = [
        id.as_bytes(),
        b".",
        timestamp.as_bytes(),
        b".",
        claim.delivery.body,
    ];
    let keys: Vec<Vec<u8>> = claim
        .secrets
        .iter()
        .flat_map(|secret| signing_keys(secret))
        .collect();
    let codes: Vec<Vec<u8>> = signatures
        .split_ascii_whitespace()
        .take(SIGNATURES_MAX)
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .collect();
    if codes.is_empty() {
        return Err("webhook-signature holds no signature of version v1".to_owned());
    }
    let known = codes.iter().any(|code| {
        keys.iter()
            .any(|key| authenticates(Algorithm::Sha256, key, &parts, code))
    });
    if known {
        Ok(())
    } else {
        Err("webhook-signature is of another body or of another secret".to_owned())
    }
}

/// The key of a secret `whsec_<base64>` is the decoded bytes. Without the prefix some senders decode and
/// some do not: both are tried.
fn signing_keys(secret: &Secret) -> Vec<Vec<u8>> {
    let decode = |text: &[u8]| {
        STANDARD
            .decode(text)
            .or_else(|_| STANDARD_NO_PAD.decode(text))
            .ok()
            .filter(|key| !key.is_empty())
    };
    match secret.bytes().strip_prefix(b"whsec_") {
        Some(encoded) => decode(encoded).into_iter().collect(),
        None => decode(secret.bytes())
            .into_iter()
            .chain([secret.bytes().to_vec()])
            .collect(),
    }
}
