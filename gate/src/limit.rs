//! Every fixed limit of the gateway. What an operator may move is in [`crate::config::Limits`].

use std::time::Duration;

/// Longest path of a request, percent-encoded, in bytes.
pub const PATH_BYTES_MAX: usize = 4 * 1024;
/// Longest query of a request, percent-encoded, in bytes. Expressions travel in queries.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;
/// Most values in one list parameter, such as `pipelineConfigIds`.
pub const LIST_ITEMS_MAX: usize = 500;
/// Largest `limit`, `size` or `pageSize` that a caller may ask for.
pub const PAGE_SIZE_MAX: u32 = 5_000;
/// Tasks in a list when the caller names no limit.
pub const TASKS_LISTED: u32 = 1_000;
/// Executions of each pipeline in the list of an application when the caller names no limit.
pub const EXECUTIONS_PER_PIPELINE: u32 = 10;
/// Executions of each pipeline in `GET /executions` when the caller names no limit.
pub const EXECUTIONS_BY_CONFIG: u32 = 1;
/// Page that is asked for when a list of executions does not fit into one message of the bus; it is
/// halved until it fits.
pub const EXECUTIONS_PAGE: u32 = 64;
/// Executions that a search from the oldest on reads at most.
pub const SEARCHED_MAX: usize = 100_000;
/// Versions in a history when the caller names no limit.
pub const HISTORY_LISTED: u32 = 20;
/// Lines of output when the caller names no number.
pub const LOG_LINES: u32 = 500;
/// Most lines of output.
pub const LOG_LINES_MAX: u32 = 10_000;
/// Longest `X-SPINNAKER-REQUEST-ID` or delivery id that is taken over from a caller.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Largest body of a delivery from outside; most senders may send less, which igor knows.
pub const DELIVERY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Deliveries at the same time whose bodies are larger than those of other requests; more wait before they are read.
pub const LARGE_DELIVERIES_MAX: usize = 8;
/// Bytes of a body up to which it is handed on as the text that it is. As JSON that text may have twice as many.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Deliveries in a list when the caller names no limit.
pub const DELIVERIES_LISTED: u32 = 20;
/// Deliveries that are explained when the caller names no limit.
pub const DELIVERIES_EXPLAINED: u32 = 10;
/// Most headers of a webhook that are handed on.
pub const WEBHOOK_HEADERS_MAX: usize = 64;
/// Frames that wait for one client of the event stream.
pub const EVENT_FRAMES_WAITING_MAX: usize = 64;
/// How long a body may take to arrive.
pub const BODY_WAIT: Duration = Duration::from_secs(30);
/// How long the head of a request may take to arrive.
pub const HEAD_WAIT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long an answer waits for a part that only adds to it, such as the accounts in the list of
/// applications.
pub const EXTRA_WAIT: Duration = Duration::from_secs(2);
/// Longest error code in `/errors/{code}`.
pub const ERROR_CODE_BYTES_MAX: usize = 32;
