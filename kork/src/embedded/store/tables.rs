//! The tables of `journal.redb`, and how a record's bytes are guarded.

use redb::{Table, TableDefinition, TableError, WriteTransaction};

/// (subject, revision) -> guarded payload.
pub(in crate::embedded) const RECORDS: TableDefinition<'static, (&str, u64), &[u8]> =
    TableDefinition::new("records");
/// Revision -> subject: the order over all subjects, for subscriptions.
pub(in crate::embedded) const ORDER: TableDefinition<'static, u64, &str> =
    TableDefinition::new("order");
/// Name of a subscription -> the last revision it acknowledged.
pub(in crate::embedded) const POSITIONS: TableDefinition<'static, &str, u64> =
    TableDefinition::new("positions");
/// (queue, sequence) -> (id, due in milliseconds since the epoch, guarded payload).
pub(in crate::embedded) const QUEUED: TableDefinition<'static, (&str, u64), (&str, u64, &[u8])> =
    TableDefinition::new("queued");
/// (queue, sequence) -> (id, reason, payload).
pub(in crate::embedded) const DEAD: TableDefinition<'static, (&str, u64), (&str, &str, &[u8])> =
    TableDefinition::new("dead");
/// Cursor -> (subject, id, guarded payload).
pub(in crate::embedded) const MESSAGES: TableDefinition<'static, u64, (&str, &str, &[u8])> =
    TableDefinition::new("messages");
/// Id of a kept message -> its cursor.
pub(in crate::embedded) const MESSAGE_IDS: TableDefinition<'static, &str, u64> =
    TableDefinition::new("message_ids");
/// Counters, see the constants of [`counter`].
pub(in crate::embedded) const COUNTERS: TableDefinition<'static, &str, u64> =
    TableDefinition::new("counters");

/// Keys of [`COUNTERS`].
pub(super) mod counter {
    /// Format of the file.
    pub(crate) const FORMAT: &str = "format";
    /// Last revision that was given out.
    pub(crate) const REVISION: &str = "revision";
    /// Last sequence number of a queued message.
    pub(crate) const SEQUENCE: &str = "sequence";
    /// Last cursor that was given out.
    pub(crate) const CURSOR: &str = "cursor";
    /// Highest cursor whose message was dropped.
    pub(crate) const DROPPED: &str = "dropped";
    /// Durable commits so far; compared with the mark file.
    pub(crate) const COMMITS: &str = "commits";
}

/// The format this code reads and writes.
pub(super) const FORMAT: u64 = 1;

/// All tables of one write transaction.
pub(super) struct Tables<'txn> {
    pub(super) records: Table<'txn, (&'static str, u64), &'static [u8]>,
    pub(super) order: Table<'txn, u64, &'static str>,
    pub(super) positions: Table<'txn, &'static str, u64>,
    pub(super) queued: Table<'txn, (&'static str, u64), (&'static str, u64, &'static [u8])>,
    pub(super) dead: Table<'txn, (&'static str, u64), (&'static str, &'static str, &'static [u8])>,
    pub(super) messages: Table<'txn, u64, (&'static str, &'static str, &'static [u8])>,
    pub(super) message_ids: Table<'txn, &'static str, u64>,
    pub(super) counters: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            order: transaction.open_table(ORDER)?,
            positions: transaction.open_table(POSITIONS)?,
            queued: transaction.open_table(QUEUED)?,
            dead: transaction.open_table(DEAD)?,
            messages: transaction.open_table(MESSAGES)?,
            message_ids: transaction.open_table(MESSAGE_IDS)?,
            counters: transaction.open_table(COUNTERS)?,
        })
    }
}

/// Bytes in front of a guarded payload.
const GUARD_BYTES: usize = 4;

/// The payload with a checksum over it and over where it belongs, so that a page that was changed
/// behind the store's back is noticed when it is read.
pub(in crate::embedded) fn guard(place: &str, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(GUARD_BYTES + payload.len());
    bytes.extend_from_slice(&checksum(place, number, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The payload, or `None` when its checksum does not fit.
pub(in crate::embedded) fn unguard<'a>(
    place: &str,
    number: u64,
    bytes: &'a [u8],
) -> Option<&'a [u8]> {
    let (sum, payload) = bytes.split_first_chunk::<GUARD_BYTES>()?;
    (u32::from_le_bytes(*sum) == checksum(place, number, payload)).then_some(payload)
}

fn checksum(place: &str, number: u64, payload: &[u8]) -> u32 {
    let state = crc(!0, place.as_bytes());
    let state = crc(state, &number.to_le_bytes());
    !crc(state, payload)
}

/// CRC-32 (IEEE) of some bytes, for the mark file.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !crc(!0, bytes)
}

fn crc(mut state: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        state = CRC_TABLE[((state ^ u32::from(*byte)) & 0xff) as usize] ^ (state >> 8);
    }
    state
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0_u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                0xedb8_8320 ^ (value >> 1)
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_or_a_wrong_place_is_noticed() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let bytes = guard("execution.a", 7, b"payload");
        assert_eq!(unguard("execution.a", 7, &bytes), Some(&b"payload"[..]));
        assert_eq!(unguard("execution.a", 8, &bytes), None);
        assert_eq!(unguard("execution.b", 7, &bytes), None);
        let mut changed = bytes;
        changed[6] ^= 1;
        assert_eq!(unguard("execution.a", 7, &changed), None);
    }
}
