//! Traces: the context of the current work, and spans about it.
//!
//! - [`current`] and [`within`]: the context travels with a future. Adapters send it with what they
//!   send, and restore it around handlers.
//! - [`Work`]: a span around a future. [`Span`]: one whose times are known, such as a stage that ran
//!   for days; nothing is held open in memory for it.
//! - [`export`]: where spans go. As long as nobody exports, a span costs nothing but its context.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use kork_model::WorkOrder;
pub use kork_model::trace::{TRACEPARENT, TraceContext, derived, mixed};
use tracing::Instrument;

use crate::service::telemetry::field;

tokio::task_local! {
    static CURRENT: TraceContext;
}

static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    sink: Arc<dyn Sink>,
    ratio: f64,
}

/// What a span is about, as OpenTelemetry divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work inside a service.
    Internal,
    /// The answer to a request.
    Server,
    /// Work that was taken from a queue.
    Consumer,
}

/// A piece of work that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub name: String,
    pub kind: Kind,
    /// Its own ids.
    pub context: TraceContext,
    /// The span above it, 0 for none.
    pub parent: u64,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Takes spans. Must not wait: a span that cannot be taken is dropped.
pub trait Sink: Send + Sync {
    fn take(&self, span: Span);
}

/// From now on spans go to this sink; of traces that begin here, this share is recorded (0 to 1).
/// Once per process: later calls change nothing.
pub fn export(sink: Arc<dyn Sink>, ratio: f64) {
    if EXPORT.set(Export { sink, ratio }).is_err() {
        tracing::warn!("traces are exported already");
    }
}

/// The context of the current work.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// Runs a future within a context; without one, as it is. Log lines within carry `trace.id`.
pub async fn within<F: Future>(context: Option<TraceContext>, work: F) -> F::Output {
    let Some(context) = context else {
        return work.await;
    };
    // Of the highest level, so that no filter takes the id away from the lines that it lets through.
    let line = tracing::error_span!("trace", trace.id = %context.trace_id_hex());
    CURRENT.scope(context, work.instrument(line)).await
}

/// The beginning of a trace; `trace_id` is its own, all numbers are equally likely.
pub fn begin(trace_id: u128) -> TraceContext {
    let ratio = EXPORT.get().map_or(1.0, |export| export.ratio);
    TraceContext {
        trace_id: trace_id.max(1),
        span_id: next_id(),
        sampled: is_sampled(trace_id, ratio),
    }
}

/// A trace that begins by itself, recorded or not by the same share as all.
#[must_use]
pub fn ratioed(context: TraceContext) -> TraceContext {
    let ratio = EXPORT.get().map_or(1.0, |export| export.ratio);
    TraceContext {
        sampled: is_sampled(context.trace_id, ratio),
        ..context
    }
}

/// Hands a span to the exporter, if its trace is recorded.
pub fn record(span: impl FnOnce() -> Span, context: TraceContext) {
    if let Some(export) = EXPORT.get().filter(|_| context.sampled) {
        export.sink.take(span());
    }
}

/// A span around a future.
pub struct Work {
    name: &'static str,
    kind: Kind,
    parent: u64,
    context: TraceContext,
    attributes: Vec<(&'static str, String)>,
    start: (SystemTime, Instant),
}

impl Work {
    /// Begins now, under this span.
    pub fn begin(name: &'static str, kind: Kind, parent: TraceContext) -> Self {
        Self::of(name, kind, parent.with_span(next_id()), parent.span_id)
    }

    /// The first span of a trace.
    pub fn root(name: &'static str, kind: Kind, context: TraceContext) -> Self {
        Self::of(name, kind, context, 0)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "spans of many machines are laid side by side: real time, whatever the suite runs on"
    )]
    fn of(name: &'static str, kind: Kind, context: TraceContext, parent: u64) -> Self {
        Self {
            name,
            kind,
            parent,
            context,
            attributes: Vec::new(),
            start: (SystemTime::now(), Instant::now()),
        }
    }

    /// Its context, for what belongs under it.
    pub const fn context(&self) -> TraceContext {
        self.context
    }

    /// Something to know about it. Nothing is computed for a span that nobody sees.
    pub fn about(&mut self, name: &'static str, value: impl FnOnce() -> String) {
        if self.context.sampled && EXPORT.get().is_some() {
            self.attributes.push((name, value()));
        }
    }

    /// Ends now, under the name that became known meanwhile.
    pub fn end(self, name: Option<String>, error: Option<String>) {
        let (start, began) = self.start;
        let span = || Span {
            name: name.unwrap_or_else(|| self.name.to_owned()),
            kind: self.kind,
            context: self.context,
            parent: self.parent,
            start,
            end: start + began.elapsed(),
            attributes: self.attributes,
            error,
        };
        record(span, self.context);
    }
}

/// Runs the work of an order under the span of its task, as a span of its own. `failed` says why the
/// outcome is a failure.
pub async fn ordered<F: Future>(
    order: &WorkOrder,
    work: F,
    failed: impl FnOnce(&F::Output) -> Option<String>,
) -> F::Output {
    // It is moved from one layer into the next below.
    let work = Box::pin(work);
    let Some(task) = order.traceparent.as_deref().and_then(TraceContext::parse) else {
        return work.await;
    };
    let mut span = Work::begin("task", Kind::Consumer, task);
    span.about(field::EXECUTION_ID, || order.execution.to_string());
    span.about(field::STAGE_ID, || order.stage.to_string());
    span.about(field::APPLICATION, || order.application.clone());
    span.about(field::USER, || order.user.clone());
    let outcome = within(Some(span.context()), work).await;
    let error = failed(&outcome);
    span.end(Some(format!("{}.{}", order.service, order.kind)), error);
    outcome
}

/// A moment of the suite as spans have it.
pub fn moment(at: kork_model::Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.millis())
}

/// The same answer in every process.
fn is_sampled(trace_id: u128, ratio: f64) -> bool {
    let low = (trace_id as u64) >> 11;
    (low as f64) < ratio * (1_u64 << 53) as f64
}

/// Ids of spans: different in one process, and by chance in all.
fn next_id() -> u64 {
    static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("spans"));
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    mixed(SEED.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Span>>);

    impl Sink for Kept {
        fn take(&self, span: Span) {
            self.0.lock().unwrap().push(span);
        }
    }

    #[test]
    fn ids_of_spans_differ() {
        let ids: std::collections::HashSet<u64> = (0..10_000).map(|_| next_id()).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn the_ratio_is_about_kept() {
        let of = |ratio| {
            (0..10_000_u64)
                .filter(|n| is_sampled(mixed(*n).into(), ratio))
                .count()
        };
        assert_eq!((of(0.0), of(1.0)), (0, 10_000));
        let some = of(0.25);
        assert!((2_300..2_700).contains(&some), "{some}");
    }

    /// What a subscriber wrote.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_line_of_the_log_has_the_id_of_its_trace() {
        let lines = Lines::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || written.clone())
            .finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        within(Some(TraceContext::of("e1")), async {
            tracing::info!("something");
        })
        .await;
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let id = TraceContext::of("e1").trace_id_hex();
        assert_eq!(line["span"][field::TRACE_ID], id, "{line:#}");
    }

    #[tokio::test]
    async fn the_context_travels_and_spans_are_taken() {
        let kept = Arc::new(Kept::default());
        export(Arc::clone(&kept) as Arc<dyn Sink>, 1.0);
        assert_eq!(current(), None);
        let root = begin(7);
        let inner = within(Some(root), async {
            let mut work = Work::begin("inner", Kind::Server, current().unwrap());
            work.about("user", || "ana".to_owned());
            let context = work.context();
            let seen = within(Some(context), async { current() }).await;
            assert_eq!(seen, Some(context));
            work.end(None, Some("too bad".to_owned()));
            context
        })
        .await;
        let dark = TraceContext {
            sampled: false,
            ..root
        };
        Work::begin("unseen", Kind::Internal, dark).end(None, None);
        let spans = kept.0.lock().unwrap();
        assert_eq!(spans.len(), 1);
        assert_eq!((spans[0].context, spans[0].parent), (inner, root.span_id));
        assert_eq!(spans[0].attributes, [("user", "ana".to_owned())]);
        assert!(spans[0].end >= spans[0].start);
    }
}
