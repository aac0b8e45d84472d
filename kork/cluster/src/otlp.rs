//! Traces go to a collector: OTLP over HTTP, in batches, from a thread of its own. The queue is bounded:
//! when nobody answers, spans are dropped, and nothing waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use kork::{
    service::{Counter, Metrics},
    trace::{self, Kind, Sink, Span},
};
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanExporter as _, SpanLinks,
        SpanProcessor,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

/// Spans that wait for the collector; further ones are dropped.
const QUEUE_SPANS_MAX: usize = 4096;
/// Spans of one request.
const BATCH_SPANS_MAX: usize = 512;
/// Longest time that a span waits for others.
const DELAY: Duration = Duration::from_secs(1);
/// How long an answer of the collector is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long the end of a process may take to send the last spans.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Telemetry {
    /// The collector's OTLP over HTTP, such as `http://collector:4318`; empty: the variable
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`; without both, nothing is exported.
    pub otlp_endpoint: String,
    /// Share of the traces that begin here that is recorded, from 0 to 1. A caller's trace is recorded
    /// when the caller says so.
    pub sample_ratio: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            otlp_endpoint: String::new(),
            sample_ratio: 1.0,
        }
    }
}

/// Sends what waits when the process ends: keep it until then.
pub(crate) struct Exporter(Arc<Queue>);

impl Drop for Exporter {
    fn drop(&mut self) {
        let ended = self.0.processor.shutdown_with_timeout(FLUSH_MAX);
        if let Err(error) = ended {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// Exports the traces of this process, if that is configured. Call it inside the runtime.
pub(crate) fn start(
    service: &str,
    instance: &str,
    config: &Telemetry,
    metrics: &Metrics,
) -> Result<Option<Exporter>, String> {
    let standard = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_default();
    let Some(endpoint) = endpoint(config, &standard) else {
        return Ok(None);
    };
    if !(0.0..=1.0).contains(&config.sample_ratio) {
        let ratio = config.sample_ratio;
        return Err(format!(
            "telemetry.sampleRatio is {ratio}, not a share from 0 to 1"
        ));
    }
    let wrong = |reason: String| format!("traces cannot be sent to {endpoint}: {reason}");
    let client = kork_http::client().timeout(ANSWER_MAX).build();
    let poster = Poster {
        client: client.map_err(|e| wrong(e.to_string()))?,
        runtime: Handle::current(),
        is_silent: AtomicBool::new(false),
        sent: metrics.counter(
            "gennaker_trace_exports",
            "batches of spans for the collector, by outcome (sent, failed)",
        ),
    };
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(poster)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(ANSWER_MAX)
        .build()
        .map_err(|e| wrong(e.to_string()))?;
    exporter.set_resource(&resource(service, instance));
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS_MAX)
        .with_max_export_batch_size(BATCH_SPANS_MAX)
        .with_scheduled_delay(DELAY)
        .build();
    let queue = Arc::new(Queue {
        processor: BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build(),
        scope: InstrumentationScope::builder("gennaker")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    });
    trace::export(Arc::clone(&queue) as Arc<dyn Sink>, config.sample_ratio);
    tracing::info!(endpoint, "traces are exported");
    Ok(Some(Exporter(queue)))
}

/// The configured collector, else the one that the standard variable names.
fn endpoint<'a>(config: &'a Telemetry, standard: &'a str) -> Option<&'a str> {
    let both = [config.otlp_endpoint.as_str(), standard];
    both.into_iter().find(|text| !text.is_empty())
}

fn resource(service: &str, instance: &str) -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.namespace", "gennaker"),
            KeyValue::new("service.name", service.to_owned()),
            KeyValue::new("service.instance.id", instance.to_owned()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build()
}

struct Queue {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Sink for Queue {
    fn take(&self, span: Span) {
        let Span {
            name,
            kind,
            context,
            parent,
            start,
            end,
            attributes,
            error,
        } = span;
        let attributes = attributes.into_iter();
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(
                TraceId::from(context.trace_id),
                SpanId::from(context.span_id),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: SpanId::from(parent),
            parent_span_is_remote: matches!(kind, Kind::Server | Kind::Consumer),
            span_kind: match kind {
                Kind::Internal => SpanKind::Internal,
                Kind::Server => SpanKind::Server,
                Kind::Consumer => SpanKind::Consumer,
            },
            name: name.into(),
            start_time: start,
            end_time: end,
            attributes: attributes
                .map(|(key, value)| KeyValue::new(key, value))
                .collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: error.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// Posts batches with the suite's own client, on the runtime of the service.
#[derive(Debug)]
struct Poster {
    client: reqwest::Client,
    runtime: Handle,
    is_silent: AtomicBool,
    sent: Counter,
}

impl Poster {
    /// Says once that the collector is away, and once that it is back.
    fn told(&self, failure: Option<&str>) {
        let outcome = if failure.is_none() { "sent" } else { "failed" };
        self.sent.inc(&[("outcome", outcome)]);
        let was_silent = self.is_silent.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(reason) if !was_silent => {
                tracing::warn!(
                    reason,
                    "the collector does not take traces; they are dropped"
                );
            }
            None if was_silent => tracing::info!("the collector takes traces again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Poster {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::from))?;
        let client = self.client.clone();
        // The thread of the exporter has no runtime of its own.
        let posted = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            let status = answer.status();
            let body = answer.bytes().await?;
            Ok::<_, reqwest::Error>((status, body))
        });
        match posted.await? {
            Ok((status, body)) => {
                let refused = (!status.is_success()).then(|| status.to_string());
                self.told(refused.as_deref());
                Ok(Response::builder().status(status).body(body)?)
            }
            Err(error) => {
                self.told(Some(&kork::problem::chain(&error)));
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use kork::trace::{TraceContext, record};

    use super::*;

    /// More than the queue holds, many times.
    const SPANS: u64 = 100_000;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_says_nothing_costs_nothing() {
        // It takes connections and never answers.
        let deaf = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let config = Telemetry {
            otlp_endpoint: format!("http://{}", deaf.local_addr().unwrap()),
            sample_ratio: 1.0,
        };
        let exporter = start("orca", "one", &config, &Metrics::default()).unwrap();
        let began = Instant::now();
        for number in 0..SPANS {
            let context = TraceContext::of("e").with_span(number + 1);
            let now = SystemTime::UNIX_EPOCH;
            let span = || Span {
                name: "orca.stage.wait".to_owned(),
                kind: Kind::Internal,
                context,
                parent: 1,
                start: now,
                end: now,
                attributes: vec![("application", "shop".to_owned())],
                error: None,
            };
            record(span, context);
        }
        let took = began.elapsed();
        // Ten times what a busy machine needs, and far less than one answer that is waited for.
        assert!(took < ANSWER_MAX, "{took:?}");
        println!("{:?} for each span that nobody takes", took / SPANS as u32);
        let began = Instant::now();
        drop(exporter);
        assert!(began.elapsed() < FLUSH_MAX * 2, "{:?}", began.elapsed());
    }

    #[test]
    fn a_share_is_from_0_to_1() {
        let config = Telemetry {
            otlp_endpoint: "http://127.0.0.1:1".to_owned(),
            sample_ratio: 1.5,
        };
        let refused = start("orca", "one", &config, &Metrics::default());
        assert!(refused.is_err_and(|reason| reason.contains("sampleRatio is 1.5")));
        assert_eq!(endpoint(&config, "http://b"), Some("http://127.0.0.1:1"));
        let unset = Telemetry::default();
        assert_eq!(endpoint(&unset, "http://b"), Some("http://b"));
        assert_eq!(endpoint(&unset, ""), None);
    }
}
