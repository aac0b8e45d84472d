//! Signatures of senders, each as it writes them.

use super::{Claim, Doubt, Proof, shared};
use crate::{
    content,
    source::{Algorithm, Encoding},
};

/// The value of a header after its prefix.
fn code<'a>(claim: Claim<'a>, header: &str, prefix: &str) -> Result<&'a str, Doubt> {
    claim
        .delivery
        .header(header)
        .ok_or_else(|| format!("there is no header {header}"))?
        .strip_prefix(prefix)
        .ok_or_else(|| format!("header {header} does not start with {prefix}"))
}

fn over_body(
    claim: Claim<'_>,
    algorithm: Algorithm,
    header: &str,
    prefix: &str,
) -> Result<(), Doubt> {
    configured(claim, header, algorithm, prefix, Encoding::Hex)
}

/// A signature as the configuration describes it.
pub(super) fn configured(
    claim: Claim<'_>,
    header: &str,
    algorithm: Algorithm,
    prefix: &str,
    encoding: Encoding,
) -> Result<(), Doubt> {
    let code = code(claim, header, prefix)?;
    claim
        .signed(algorithm, encoding, code, claim.delivery.body)
        .map_err(|doubt| format!("header {header}: {doubt}"))
}

pub(super) fn github(claim: Claim<'_>, allow_sha1: bool) -> Result<(), Doubt> {
    if claim.delivery.header("x-hub-signature-256").is_some() {
        return over_body(claim, Algorithm::Sha256, "x-hub-signature-256", "sha256=");
    }
    if claim.delivery.header("x-hub-signature").is_none() {
        return Err("there is no header x-hub-signature-256".to_owned());
    }
    if !allow_sha1 {
        return Err(
            "it is signed with SHA-1 alone: let the sender use SHA-256, or set allowSha1"
                .to_owned(),
        );
    }
    over_body(claim, Algorithm::Sha1, "x-hub-signature", "sha1=")
}

/// Whether the signature of a delivery of GitLab alone decides: as soon as a signing token is known. The secret
/// token beside it, which whoever has seen one delivery knows, then makes nothing good.
pub(super) fn gitlab_signs(claim: Claim<'_>) -> bool {
    claim.secrets.iter().any(|secret| secret.is_signing_key())
        || claim.delivery.header("x-gitlab-token").is_none()
}

pub(super) fn gitea(claim: Claim<'_>) -> Result<(), Doubt> {
    let own = [
        "x-forgejo-signature",
        "x-gitea-signature",
        "x-gogs-signature",
    ];
    let (header, prefix) = own
        .into_iter()
        .find(|name| claim.delivery.header(name).is_some())
        .map_or(("x-hub-signature-256", "sha256="), |name| (name, ""));
    let code = code(claim, header, prefix)?;
    let signed = content::form_payload(claim.delivery)?;
    let signed = signed.as_deref().map_or(claim.delivery.body, str::as_bytes);
    claim
        .signed(Algorithm::Sha256, Encoding::Hex, code, signed)
        .map_err(|doubt| format!("header {header}: {doubt}"))
}

pub(super) fn bitbucket(claim: Claim<'_>) -> Result<(), Doubt> {
    over_body(claim, Algorithm::Sha256, "x-hub-signature", "sha256=")
}

pub(super) fn jfrog(claim: Claim<'_>) -> Result<Proof, Doubt> {
    let name = "x-jfrog-event-auth";
    let signed = |_| over_body(claim, Algorithm::Sha256, name, "").map(|()| Proof::Signature);
    shared::header(claim, name)
        .map(|()| Proof::Secret)
        .or_else(signed)
}

pub(super) fn nexus(claim: Claim<'_>) -> Result<(), Doubt> {
    over_body(claim, Algorithm::Sha1, "x-nexus-webhook-signature", "")
}

pub(super) fn sonatype_iq(claim: Claim<'_>) -> Result<(), Doubt> {
    let algorithm = match claim.delivery.header("x-nexus-webhook-signature-algorithm") {
        None | Some("HmacSHA1") => Algorithm::Sha1,
        Some("HmacSHA256") => Algorithm::Sha256,
        Some(_) => {
            return Err("x-nexus-webhook-signature-algorithm names no known checksum".to_owned());
        }
    };
    over_body(claim, algorithm, "x-nexus-webhook-signature", "")
}

pub(super) fn flux(claim: Claim<'_>) -> Result<(), Doubt> {
    let header = claim
        .delivery
        .header("x-signature")
        .ok_or("there is no header x-signature")?;
    let (name, code) = header
        .split_once('=')
        .ok_or("header x-signature does not name its checksum")?;
    let algorithm = match name {
        "sha224" => Algorithm::Sha224,
        "sha256" => Algorithm::Sha256,
        "sha384" => Algorithm::Sha384,
        "sha512" => Algorithm::Sha512,
        _ => return Err("header x-signature names a checksum that is not accepted".to_owned()),
    };
    claim
        .signed(algorithm, Encoding::Hex, code, claim.delivery.body)
        .map_err(|doubt| format!("header x-signature: {doubt}"))
}

/// A signature that is there must be right; without one the secret itself may be.
pub(super) fn any(claim: Claim<'_>) -> Result<Proof, Doubt> {
    let has = |name| claim.delivery.header(name).is_some();
    let signed = if has("x-hub-signature-256") {
        over_body(claim, Algorithm::Sha256, "x-hub-signature-256", "sha256=")
    } else if has("x-signature") {
        flux(claim)
    } else {
        return shared::any(claim).map(|()| Proof::Secret);
    };
    signed.map(|()| Proof::Signature)
}
