//! Where a piece of work stands in a trace, in the words of W3C Trace Context: `traceparent`.
//!
//! An execution lives longer than any process, so its spans have ids that follow from what they are
//! about: whoever ends a stage, its span fits under the span of the execution.

use std::fmt;

use crate::{Execution, ExecutionId, Stage, StageId};

/// The header, and the key in messages.
pub const TRACEPARENT: &str = "traceparent";

/// One span of one trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    pub trace_id: u128,
    pub span_id: u64,
    /// It is recorded.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`; `None` for anything that the standard does not allow.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let known = version == "00" && parts.next().is_none();
        // A later version may have more parts behind these four.
        let later = hex(version, 2)? != 0xff && version != "00";
        let found = Self {
            trace_id: hex(trace, 32)?,
            span_id: u64::try_from(hex(span, 16)?).ok()?,
            sampled: hex(flags, 2)? & 1 == 1,
        };
        let valid = found.trace_id != 0 && found.span_id != 0;
        (valid && (known || later)).then_some(found)
    }

    /// A trace that begins with a thing that has an id, such as an execution that nobody asked for.
    pub fn of(id: &str) -> Self {
        let trace_id = u128::from(derived(&["trace", id])) << 64;
        Self {
            trace_id: trace_id | u128::from(derived(&["trace", "low", id])),
            span_id: derived(&["root", id]),
            sampled: true,
        }
    }

    /// Another span of the same trace.
    #[must_use]
    pub const fn with_span(self, span_id: u64) -> Self {
        Self { span_id, ..self }
    }

    /// The id of the trace as everybody writes it.
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(
            f,
            "00-{:032x}-{:016x}-{flags:02x}",
            self.trace_id, self.span_id
        )
    }
}

/// The spans of one execution in one of its generations: their ids are the same whoever asks.
#[derive(Debug, Clone, Copy)]
pub struct ExecutionTrace {
    /// The span in which the execution was asked for.
    pub asked: TraceContext,
    generation: u32,
}

impl ExecutionTrace {
    /// The trace that the execution belongs to since it was made.
    pub fn of(execution: &Execution, generation: u32) -> Self {
        let told = execution.traceparent.as_deref();
        let asked = told.and_then(TraceContext::parse);
        let asked = asked.unwrap_or_else(|| TraceContext::of(execution.id.as_str()));
        Self { asked, generation }
    }

    /// The span of the execution.
    pub fn execution(&self, id: &ExecutionId) -> TraceContext {
        self.derived(&["execution", id.as_str()])
    }

    /// The span of a stage.
    pub fn stage(&self, id: &ExecutionId, stage: &StageId) -> TraceContext {
        self.derived(&["stage", id.as_str(), stage.as_str()])
    }

    /// The span above the one of a stage: its parent stage, or the execution.
    pub fn above(&self, id: &ExecutionId, stage: &Stage) -> TraceContext {
        match &stage.parent_stage_id {
            Some(parent) => self.stage(id, parent),
            None => self.execution(id),
        }
    }

    /// The span of a task ("1", "2", ...) of a stage.
    pub fn task(&self, id: &ExecutionId, stage: &StageId, task: &str) -> TraceContext {
        self.derived(&["task", id.as_str(), stage.as_str(), task])
    }

    fn derived(&self, about: &[&str]) -> TraceContext {
        let run = self.generation.to_string();
        let all: Vec<&str> = about.iter().copied().chain([run.as_str()]).collect();
        self.asked.with_span(derived(&all))
    }
}

/// A number that follows from words and is never 0: FNV-1a, its bits mixed.
pub fn derived(words: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in words {
        // The byte between keeps ("ab", "c") apart from ("a", "bc").
        for byte in word.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    mixed(hash).max(1)
}

/// Spreads a number over all 64 bits (the end of `SplitMix64`).
pub const fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() != digits || !text.bytes().all(plain) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let read = TraceContext::parse(GOOD).unwrap();
        assert!(read.sampled);
        assert_eq!(read.to_string(), GOOD);
        assert_eq!(read.trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let later = GOOD.replacen("00", "01", 1) + "-more";
        assert_eq!(TraceContext::parse(&later), Some(read));
    }

    #[test]
    fn what_the_standard_forbids_is_no_context() {
        for wrong in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn spans_of_an_execution_differ_and_stay() {
        let mut execution = Execution {
            id: "e1".into(),
            ..Execution::default()
        };
        let unasked = ExecutionTrace::of(&execution, 0);
        assert_eq!(unasked.asked, TraceContext::of("e1"));
        execution.traceparent = Some(GOOD.to_owned());
        let trace = ExecutionTrace::of(&execution, 0);
        let (id, stage) = (&execution.id, StageId::from("s1"));
        let spans = [
            trace.asked,
            trace.execution(id),
            trace.stage(id, &stage),
            trace.task(id, &stage, "1"),
            trace.task(id, &stage, "2"),
            ExecutionTrace::of(&execution, 1).execution(id),
        ];
        let different: std::collections::HashSet<u64> = spans.iter().map(|s| s.span_id).collect();
        assert_eq!(different.len(), spans.len());
        assert!(spans.iter().all(|s| s.trace_id == trace.asked.trace_id));
        assert_eq!(
            trace.stage(id, &stage),
            ExecutionTrace::of(&execution, 0).stage(id, &stage)
        );
    }
}
