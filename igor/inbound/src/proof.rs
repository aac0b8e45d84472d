//! How a sender shows who it is, before anything of its body is parsed.
//!
//! All comparisons take the same time wherever the difference is. What went wrong goes to the log of the
//! delivery alone, and never quotes a header: a misconfigured sender may have put its secret there.

pub mod google;
mod hmac;
mod shared;
mod signed;
mod standard_webhooks;

use crate::{Authentication, Delivery, Refused, Secret, Source, limits::SECRETS_MAX};

pub use standard_webhooks::TOLERANCE_MS;

/// What the suite knows to check deliveries with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keys<'a> {
    /// Secrets of the source; any of them is good enough, so that one can replace the other.
    pub secrets: &'a [Secret],
    /// Google's keys for identity tokens, when the source wants them.
    pub google: Option<&'a google::KeySet>,
}

/// A sender's own way to prove itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `X-Hub-Signature-256: sha256=<hex>`; `X-Hub-Signature: sha1=<hex>` where the source allows it.
    Github,
    /// `X-Gitlab-Token` is the secret; or Standard Webhooks with a signing token.
    Gitlab,
    /// `X-Gitea-Signature`, `X-Forgejo-Signature` or `X-Gogs-Signature`: bare hex, over the JSON even when a form
    /// carries it.
    Gitea,
    /// `X-Hub-Signature: sha256=<hex>`.
    Bitbucket,
    /// `X-JFrog-Event-Auth`: the secret, or bare hex when payloads are signed.
    Jfrog,
    /// `X-Nexus-Webhook-Signature`: bare hex of HMAC-SHA1.
    Nexus,
    /// As Nexus, with the checksum's name in `X-Nexus-Webhook-Signature-Algorithm`.
    SonatypeIq,
    /// `X-Signature: <checksum>=<hex>`.
    Flux,
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks,
    /// Whichever signature is there: Standard Webhooks, `X-Hub-Signature-256`, `X-Signature`; else as shared.
    Any,
    /// No signature: the secret itself in `Authorization` or in the query.
    Shared,
}

/// What is to be proven, and with what.
#[derive(Clone, Copy)]
struct Claim<'a> {
    delivery: &'a Delivery<'a>,
    secrets: &'a [&'a Secret],
}

/// Why it is not proven, for the log.
type Doubt = String;

/// How a delivery proved where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A signature over its body.
    Signature,
    /// A signature over its body and its `webhook-id`.
    SignatureWithId,
    /// The secret itself.
    Secret,
    /// An identity token of Google.
    IdentityToken,
}

impl Proof {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signature | Self::SignatureWithId => "signature",
            Self::Secret => "secret",
            Self::IdentityToken => "identityToken",
        }
    }
}

/// Checks the proof that a source wants, or the sender's own when it has secrets; none when none is asked for.
pub(crate) fn check(
    delivery: &Delivery<'_>,
    source: Option<&Source>,
    scheme: Scheme,
    keys: &Keys<'_>,
) -> Result<Option<Proof>, Refused> {
    let wanted = source.map_or(&Authentication::Sender {}, |source| &source.authentication);
    if let Authentication::Google { audience, email } = wanted {
        return google::check(delivery, keys.google, audience, email)
            .map(|()| Some(Proof::IdentityToken))
            .map_err(Refused::unproven);
    }
    if keys.secrets.is_empty() {
        return match wanted {
            Authentication::Sender {} => Ok(None),
            _ => Err(Refused::unproven(
                "the source asks for proof but has no secret: give it one",
            )),
        };
    }
    let secrets: Vec<&Secret> = keys
        .secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .take(SECRETS_MAX)
        .collect();
    if secrets.is_empty() {
        return Err(Refused::unproven("every secret of the source is empty"));
    }
    let claim = Claim {
        delivery,
        secrets: &secrets,
    };
    let allow_sha1 = source.is_some_and(|source| source.allow_sha1);
    prove(claim, wanted, scheme, allow_sha1)
        .map(Some)
        .map_err(Refused::unproven)
}

/// The proof, when it is right.
fn prove(
    claim: Claim<'_>,
    wanted: &Authentication,
    scheme: Scheme,
    allow_sha1: bool,
) -> Result<Proof, Doubt> {
    let secret = |()| Proof::Secret;
    match wanted {
        Authentication::Sender {} => own(claim, scheme, allow_sha1),
        Authentication::Header { name } => {
            shared::header(claim, &name.to_ascii_lowercase()).map(secret)
        }
        Authentication::Basic {} => shared::basic(claim).map(secret),
        Authentication::Bearer {} => shared::bearer(claim).map(secret),
        Authentication::Hmac {
            header,
            algorithm,
            prefix,
            encoding,
        } => {
            let header = header.to_ascii_lowercase();
            signed::configured(claim, &header, *algorithm, prefix, *encoding)
                .map(|()| Proof::Signature)
        }
        Authentication::StandardWebhooks {} => standard(claim),
        Authentication::Google { .. } => Err("identity tokens are checked without secrets".into()),
    }
}

fn standard(claim: Claim<'_>) -> Result<Proof, Doubt> {
    standard_webhooks::check(claim).map(|()| Proof::SignatureWithId)
}

fn own(claim: Claim<'_>, scheme: Scheme, allow_sha1: bool) -> Result<Proof, Doubt> {
    let is_standard = claim.delivery.header("webhook-signature").is_some();
    let token = || shared::header(claim, "x-gitlab-token").map(|()| Proof::Secret);
    let signed = match scheme {
        Scheme::StandardWebhooks => return standard(claim),
        Scheme::Any if is_standard => return standard(claim),
        Scheme::Gitlab if is_standard && signed::gitlab_signs(claim) => return standard(claim),
        Scheme::Gitlab if is_standard => return standard(claim).or_else(|_| token()),
        Scheme::Gitlab => return token(),
        Scheme::Jfrog => return signed::jfrog(claim),
        Scheme::Any => return signed::any(claim),
        Scheme::Shared => return shared::any(claim).map(|()| Proof::Secret),
        Scheme::Github => signed::github(claim, allow_sha1),
        Scheme::Gitea => signed::gitea(claim),
        Scheme::Bitbucket => signed::bitbucket(claim),
        Scheme::Nexus => signed::nexus(claim),
        Scheme::SonatypeIq => signed::sonatype_iq(claim),
        Scheme::Flux => signed::flux(claim),
    };
    signed.map(|()| Proof::Signature)
}
