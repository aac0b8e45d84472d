//! The ports, with a count of what goes through them. A measured port behaves as the one inside.
//!
//! | port | what is counted |
//! |---|---|
//! | journal | how long an append takes, by outcome; records that were followed |
//! | rpc | calls and answers, by service, endpoint and outcome |
//! | cache | reads, by whether there was something |
//! | object store | how long a request takes, by operation and outcome |
//! | topic | how long a group of events takes until it is durable |

mod rpc;
mod servers;
mod stores;

use std::sync::Arc;

use crate::{ports::Ports, service::Metrics};

impl Ports {
    /// These ports, counting into `metrics`.
    #[must_use]
    pub fn measured(self, metrics: &Metrics) -> Self {
        Self {
            journal: Arc::new(stores::MeasuredJournal::new(self.journal, metrics)),
            rpc: Arc::new(rpc::MeasuredRpc::new(self.rpc, metrics)),
            cache: Arc::new(stores::MeasuredCache::new(self.cache, metrics)),
            objects: Arc::new(servers::MeasuredObjects::new(self.objects, metrics)),
            topic: Arc::new(servers::MeasuredTopic::new(self.topic, metrics)),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use async_trait::async_trait;
    use bytes::Bytes;

    use crate::{
        embedded::{Embedded, SeededIds, SystemClock},
        model::{Kind, Problem},
        ports::{Clock, Condition, Ports, Revision, RpcHandler},
        service::Metrics,
    };

    struct Echo;

    #[async_trait]
    impl RpcHandler for Echo {
        async fn handle(&self, request: Bytes) -> Result<Bytes, Problem> {
            if request.is_empty() {
                return Err(Problem::new("KORK-0003", Kind::Invalid, "nothing"));
            }
            Ok(request)
        }
    }

    fn ports(metrics: &Metrics) -> Ports {
        let clock = Arc::new(SystemClock);
        let ids = Arc::new(SeededIds::new(7, Arc::clone(&clock) as Arc<dyn Clock>));
        Embedded::in_memory(clock, ids).ports().measured(metrics)
    }

    #[tokio::test]
    async fn appends_reads_and_calls_are_counted() {
        let metrics = Metrics::default();
        let ports = ports(&metrics);
        let payload = || Bytes::from_static(b"x");
        let first = ports.journal.append("a.b", Revision::NONE, payload());
        first.await.unwrap();
        let second = ports.journal.append("a.b", Revision::NONE, payload());
        second.await.unwrap_err();
        assert_eq!(ports.cache.get("k").await.unwrap(), None);
        ports.cache.put("k", payload(), None).await.unwrap();
        ports.cache.get("k").await.unwrap().unwrap();
        let _served = ports
            .rpc
            .serve("orca", "echo", Arc::new(Echo))
            .await
            .unwrap();
        let wait = Duration::from_secs(10);
        ports
            .rpc
            .call("orca", "echo", payload(), wait)
            .await
            .unwrap();
        ports
            .rpc
            .call("orca", "echo", Bytes::new(), wait)
            .await
            .unwrap_err();
        ports
            .rpc
            .call("orca", "none", payload(), wait)
            .await
            .unwrap_err();
        let objects = &ports.objects;
        assert_eq!(objects.get("k").await.unwrap(), None);
        let put = || objects.put("k", payload(), Condition::IfAbsent);
        put().await.unwrap();
        put().await.unwrap_err();
        let published = ports.topic.publish("a", "1", payload());
        published.await.unwrap();
        let text = metrics.encode();
        for line in [
            "gennaker_journal_append_duration_seconds_count{outcome=\"ok\"} 1",
            "gennaker_journal_append_duration_seconds_count{outcome=\"conflict\"} 1",
            "gennaker_cache_reads_total{outcome=\"miss\"} 1",
            "gennaker_object_store_duration_seconds_count{operation=\"get\",outcome=\"ok\"} 1",
            "gennaker_object_store_duration_seconds_count{operation=\"put\",outcome=\"ok\"} 1",
            "gennaker_object_store_duration_seconds_count{operation=\"put\",outcome=\"conflict\"} 1",
            "gennaker_topic_publish_duration_seconds_count{outcome=\"ok\"} 1",
            "gennaker_cache_reads_total{outcome=\"hit\"} 1",
            "gennaker_rpc_server_duration_seconds_count{endpoint=\"orca.echo\",outcome=\"ok\"} 1",
            "gennaker_rpc_server_duration_seconds_count{endpoint=\"orca.echo\",outcome=\"refused\"} 1",
            "gennaker_rpc_client_duration_seconds_count{endpoint=\"orca.none\",outcome=\"absent\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
