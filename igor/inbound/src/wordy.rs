//! Bodies that are larger than an event may be, of senders that tell more than pipelines ask for: every commit of a
//! push with its files, the log of a build. The events were read from all of it; their payload goes without part of
//! it, which is named.

use kork_model::InboundEvent;
use serde_json::Value;

use crate::{
    Delivery, Refused, Sender, field,
    limits::{BODY_BYTES_MAX, EVENT_BYTES_MAX, LESS, LOG_BYTES_MAX},
};

/// Whatever follows from a body of so many bytes, an event has room for it.
const SMALL_BYTES: usize = 64 * 1024;
/// What lists the files of a commit.
const FILES: [&str; 3] = ["added", "modified", "removed"];

impl Sender {
    /// Its bodies grow with a push or a log, and are of use without part of it.
    pub const fn is_wordy(self) -> bool {
        self.is_of_commits() || matches!(self, Self::Jenkins)
    }

    const fn is_of_commits(self) -> bool {
        matches!(
            self,
            Self::Github | Self::Gitlab | Self::Gitea | Self::Forgejo | Self::Gogs
        )
    }
}

/// Makes the body as small as the payload of these events has to be; what it goes without, if anything.
pub(crate) fn shorten(
    sender: Sender,
    delivery: &Delivery<'_>,
    body: &mut Value,
    events: &[InboundEvent],
) -> Result<Option<String>, Refused> {
    let is_small =
        delivery.body.len() < SMALL_BYTES && delivery.header("content-encoding").is_none();
    if is_small || events.is_empty() || !sender.is_wordy() {
        return Ok(None);
    }
    let beside = events.iter().map(bytes_beside).max().unwrap_or(0);
    let most = EVENT_BYTES_MAX.saturating_sub(beside).min(BODY_BYTES_MAX);
    let bytes = field::bytes_of(body);
    if bytes <= most {
        return Ok(None);
    }
    let without = if sender.is_of_commits() {
        shorten_push(body, most)
    } else {
        shorten_log(body)
    };
    if field::bytes_of(body) > most {
        return Err(Refused::TooLarge {
            what: "bytes of the body without its commits and logs",
            limit: most as u64,
            remedy: LESS,
        });
    }
    Ok(Some(format!(
        "the payload goes without {without}: the body has {bytes} bytes as JSON, and there is room for {most}"
    )))
}

/// Bytes of an event without its payload.
fn bytes_beside(event: &InboundEvent) -> usize {
    let payload = serde_json::to_vec(&event.payload).map_or(0, |text| text.len());
    let whole = serde_json::to_vec(event).map_or(usize::MAX, |text| text.len());
    whole.saturating_sub(payload)
}

/// First the files of all commits go (part of them would say of the others that they are unchanged), then the
/// oldest commits.
fn shorten_push(body: &mut Value, most: usize) -> String {
    let head = body.get("after").cloned();
    if let Some(commit) = body.get_mut("head_commit") {
        without_files(commit);
    }
    let Some(commits) = body.get_mut("commits").and_then(Value::as_array_mut) else {
        return "the files of its commit".to_owned();
    };
    let mut commits = std::mem::take(commits);
    commits.iter_mut().for_each(without_files);
    let all = commits.len();
    let newest_first = commits
        .first()
        .is_some_and(|first| first.get("id") == head.as_ref());
    if !newest_first {
        commits.reverse();
    }
    let mut bytes = field::bytes_of(body);
    let kept = commits.iter().take_while(|commit| {
        bytes += field::bytes_of(commit) + 1;
        bytes <= most
    });
    let kept = kept.count();
    commits.truncate(kept);
    if !newest_first {
        commits.reverse();
    }
    body["commits"] = Value::Array(commits);
    match all - kept {
        0 => format!("the files of its {all} commits"),
        left => format!("the files of its commits and the oldest {left} of {all} commits"),
    }
}

fn without_files(commit: &mut Value) {
    if let Value::Object(commit) = commit {
        for list in FILES {
            commit.remove(list);
        }
    }
}

fn shorten_log(body: &mut Value) -> String {
    if let Some(Value::String(log)) = body.pointer_mut("/build/log") {
        let from = log.ceil_char_boundary(log.len().saturating_sub(LOG_BYTES_MAX));
        log.replace_range(..from, "");
    }
    format!("the log up to its last {} KiB", LOG_BYTES_MAX / 1024)
}
