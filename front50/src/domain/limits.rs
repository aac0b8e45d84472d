//! Every limit of the service, with its reason.

use kork::ports::limit::{MESSAGE_BYTES_MAX, RPC_BYTES_MAX};
use serde::{Deserialize, Serialize};

/// Largest document, in bytes of compact JSON. A save may be one message of a queue
/// ([`MESSAGE_BYTES_MAX`]); the rest is left for the envelope and for the answer of one list entry.
pub const DOCUMENT_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 124 * 1024;
/// Most stages of one pipeline. The largest ones seen in the field have a few hundred.
pub const STAGES_MAX: usize = 1_000;
/// Most pipelines, or strategies, of one application.
pub const PIPELINES_PER_APPLICATION_MAX: usize = 2_000;
/// Longest name of an application or a pipeline and longest id, in bytes. They become one part of a
/// key, and a file name has 255 bytes.
pub const NAME_BYTES_MAX: usize = 250;
/// Deepest nesting of a document. JSON readers of the suite stop at 128, and a request wraps it.
pub const DEPTH_MAX: usize = 100;
/// Most documents of one bulk save.
pub const BULK_MAX: usize = 1_000;
/// Versions that a history shows when the caller asks for none in particular.
pub const HISTORY_DEFAULT: u32 = 20;
/// Most versions that a history shows.
pub const HISTORY_MAX: u32 = 100;
/// Most bytes of the two versions that a conflict shows. The answer may travel as the report of a
/// work order, which is one message of a queue.
pub const CONFLICT_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 32 * 1024;
/// Largest list in an answer, in bytes: what fits into one message with its envelope.
pub const ANSWER_BYTES_MAX: usize = RPC_BYTES_MAX - 32 * 1024;

/// Pipelines of one page of what triggers need to know.
pub const TRIGGERS_PAGE: usize = 500;

/// The limits that an installation may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[expect(
    clippy::struct_field_names,
    reason = "each of them is the most of something"
)]
pub struct Limits {
    /// Largest document, in bytes of compact JSON. At most 921600, what one message can carry.
    pub document_bytes_max: usize,
    /// Most stages of one pipeline.
    pub stages_max: usize,
    /// Most pipelines, and most strategies, of one application.
    pub pipelines_per_application_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes_max: DOCUMENT_BYTES_MAX,
            stages_max: STAGES_MAX,
            pipelines_per_application_max: PIPELINES_PER_APPLICATION_MAX,
        }
    }
}
