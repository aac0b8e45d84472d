//! How large a delivery may be. Every limit has its name here.

use std::io::Read;

use crate::{Refused, Sender, Source};

/// Bytes of a body, as it comes and when it is inflated: 384 KiB. As an event, once parsed and once signed, with
/// what follows from it, it must fit into one message of the suite.
pub const BODY_BYTES_MAX: usize = 384 * 1024;
/// The same of senders whose bodies grow with a push or a log ([`Sender::is_wordy`]): 4 MiB, of which the event
/// keeps what it has room for.
pub const WORDY_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of an event as JSON, below the 1 MiB of a message by its headers and what stands around it there.
pub const EVENT_BYTES_MAX: usize = 900 * 1024;
/// Levels of arrays and objects that the JSON parser descends: serde's own guard against a full stack.
pub const JSON_DEPTH_MAX: usize = 127;
/// Values in one JSON text: a short text of many zeros must not become gigabytes of memory.
pub const JSON_VALUES_MAX: usize = 500_000;
/// Headers of a delivery.
pub const HEADERS_MAX: usize = 128;
/// Bytes of one header.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Bytes of all headers together.
pub const ALL_HEADERS_BYTES_MAX: usize = 64 * 1024;
/// Fields of a form.
pub const FORM_FIELDS_MAX: usize = 256;
/// Events of one delivery: changes of a push, tags of an image, messages of a batch.
pub const EVENTS_MAX: usize = 256;
/// Bytes of payloads that all events of one delivery carry together: each event has the whole body.
pub const PAYLOAD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Files of one push that are listed, and the bytes of their names; of more none is, as if the sender had listed
/// none.
pub const FILES_MAX: usize = 5_000;
pub const FILES_BYTES_MAX: usize = 192 * 1024;
/// Bytes of the artifacts of one push: the first ones.
pub const ARTIFACTS_BYTES_MAX: usize = 128 * 1024;
/// Bytes of the end of a log in a payload.
pub const LOG_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an event's id; a longer one becomes its checksum.
pub const ID_BYTES_MAX: usize = 512;
/// Signatures that are tried of one delivery.
pub const SIGNATURES_MAX: usize = 16;
/// Secrets that are tried of one source: two while one replaces the other, and some to spare.
pub const SECRETS_MAX: usize = 8;

/// What to do about a body that is too large.
pub(crate) const LESS: &str = "let the sender leave out what no pipeline needs";

/// Bytes that the body of a delivery may have.
pub fn body_bytes(sender: Sender, source: Option<&Source>) -> usize {
    let most = if sender.is_wordy() {
        WORDY_BODY_BYTES_MAX
    } else {
        BODY_BYTES_MAX
    };
    let own = source.and_then(|source| source.max_body_bytes);
    own.map_or(most, |own| own.min(most))
}

/// The content of a gzip body, up to `limit` bytes; several members one after the other are one content.
pub(crate) fn inflate(body: &[u8], limit: usize) -> Result<Vec<u8>, Refused> {
    let mut inflated = Vec::new();
    // One byte more than allowed tells "just fits" from "too large".
    flate2::read::MultiGzDecoder::new(body)
        .take(limit as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|error| {
            Refused::invalid(
                "body",
                format!("it is not gzip: {error}"),
                "send it as content-encoding says, or without that header",
            )
        })?;
    if inflated.len() > limit {
        return Err(Refused::TooLarge {
            what: "bytes of the inflated body",
            limit: limit as u64,
            remedy: LESS,
        });
    }
    Ok(inflated)
}
