//! What comes in from outside, in one shape whoever sent it: builds, commits, images, plain webhooks.
//!
//! igor verifies and normalises ([`InboundEvent`]); orca matches it with the triggers of pipelines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Context, Timestamp};

/// Which triggers an event is offered to.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    /// A build changed: triggers `jenkins`, `travis`, `concourse`, `gitlab-ci`, `githubActions`, `ci`.
    Build,
    /// Commits, branches, tags, pull requests: triggers `git`.
    Git,
    /// An image was pushed: triggers `docker`, and `helm` for charts.
    Image,
    /// Anything else with a body: triggers `webhook`.
    #[default]
    Webhook,
    /// A message of a subscription: triggers `pubsub`.
    Pubsub,
    /// A `CDEvent`: triggers `cdevents`.
    Cdevents,
    /// A component of an artifact store: triggers `nexus`, `artifactory`.
    Artifact,
}

/// How sure it is who sent an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verified {
    /// A signature or secret of the source was right.
    Signed,
    /// It was fetched with our own credentials, or made by the suite.
    Fetched,
    /// Nothing was asked of the sender.
    #[default]
    No,
}

/// One event from outside. Texts are exactly as the sender wrote them; what a sender does not say is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InboundEvent {
    /// Unique for what happened, however often and by whatever way it is told: an execution's id follows from
    /// it. `github:<delivery>`, `jenkins:<controller>:<job path>:<number>`, `docker:<image>:<tag>@<digest>`, with
    /// `/<number of the move>` when the tag is there again.
    pub id: String,
    pub kind: EventKind,
    /// Who sent it, in small letters: `jenkins`, `github`, `gitlab`, `harbor`, `webhook`, ...
    pub sender: String,
    /// The name in the path under which it came in: a configured source, or a Jenkins controller.
    pub source: String,
    pub received: Timestamp,
    pub verified: Verified,
    /// The sender's name of the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// Who did it: a login or a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What happened in the words of Spinnaker's triggers: `push:push`, `pull_request:opened`, `tag:tag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,

    /// Whole name of the repository, `group/sub/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Without `refs/heads/`; absent for a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Without `refs/tags/`; of an image its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Files that a push added, changed or removed, as far as the sender lists them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,

    /// Host and repository of an image, `host[:port]/path`, without tag and digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `sha256:<hex>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,

    /// Of a build: whole job path, folders joined with `/`; of other CI the project or workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_number: Option<u64>,
    /// `SUCCESS`, `UNSTABLE`, `FAILURE`, `NOT_BUILT`, `ABORTED`; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub building: Option<bool>,
    /// Where a person looks at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,

    /// Members of the outgoing trigger that Spinnaker has under these names: `buildInfo`, `properties`,
    /// `project`, `slug`, `account`, `registry`, `pubsubSystem`, `subscriptionName`, ...
    #[serde(skip_serializing_if = "Context::is_empty")]
    pub trigger: Context,
    /// Spinnaker artifacts that came with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<serde_json::Value>,
    /// Parameters for the pipelines that it starts.
    #[serde(skip_serializing_if = "Context::is_empty")]
    pub parameters: Context,
    /// The parsed body: `trigger.payload`.
    #[serde(skip_serializing_if = "Context::is_empty")]
    pub payload: Context,
    /// Headers or message attributes that constraints may look at, names in small letters; never credentials.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// It says too little, or nobody vouches for it: igor is asked to complete it before it is matched.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// It counts only from then on: something better may come in until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The span that what it starts belongs under, as W3C Trace Context writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// For git triggers with a secret of their own: the raw body in base64, with the signatures that came with
    /// it (`X-Hub-Signature`, `X-Hub-Signature-256`), for whoever knows the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedBody>,
}

/// A body and its signatures, as they came in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SignedBody {
    /// Base64 of the raw bytes; empty when there were more than an event holds.
    pub body: String,
    /// Values of the signature headers, names in small letters.
    pub signatures: BTreeMap<String, String>,
}
