//! Looks at the servers now and then: whether they answer, how fast, and what is near its limit. What is
//! seen goes into health and figures; nothing that the suite does depends on it.

use std::{sync::Arc, time::Duration};

use kork::{
    ports::ObjectStore,
    service::{Chassis, Look, Seen},
};
use redis::aio::ConnectionManager;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    cache::RedisCache,
    nats::look::{NatsFigures, NatsLook},
};

/// Pause between two looks.
const PACE: Duration = Duration::from_secs(5);
/// How long an answer is waited for.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Slower answers are worth a word.
const REDIS_SLOW: Duration = Duration::from_millis(250);
const S3_SLOW: Duration = Duration::from_secs(1);
/// An object that nobody writes: asking for it costs least.
const NO_OBJECT: &str = "doctor/look";
/// The share of a limit from which on it is worth a word, in percent.
pub(crate) const NEAR_PERCENT: u64 = 80;
/// Oldest Redis that is known to do.
const REDIS_MIN: u32 = 6;

/// The servers, as this process reaches them.
pub(crate) struct Servers {
    pub(crate) nats: NatsLook,
    pub(crate) redis: Arc<RedisCache>,
    pub(crate) objects: Arc<dyn ObjectStore>,
}

/// Looks until the process stops.
pub(crate) fn spawn(servers: Servers, chassis: &Chassis) {
    let health = chassis.health.clone();
    let figures = NatsFigures::new(&chassis.metrics);
    chassis.shutdown.clone().spawn_until_requested(async move {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let (nats, redis, objects) = tokio::join!(
                servers.nats.look(),
                look_at_redis(servers.redis.connection()),
                look_at_objects(&*servers.objects),
            );
            for (name, seen) in [("nats", nats), ("redis", redis), ("s3", objects)] {
                health.server(name, seen);
            }
            // Only once the answers above are there: figures wait for a server that is away.
            servers.nats.measure(&figures).await;
        }
    });
}

/// What a look found, unless it was slow.
pub(crate) fn answered(what: &str, took: Duration, slow: Duration) -> Seen {
    let took_ms = took.as_millis() as u64;
    let is_slow = took > slow;
    Seen {
        state: if is_slow { Look::Warning } else { Look::Ok },
        detail: if is_slow {
            format!("{what}, slow: it took {took_ms} ms to answer")
        } else {
            what.to_owned()
        },
        next: is_slow.then(|| {
            let ms = slow.as_millis();
            format!("more than {ms} ms slows everything down: look at its load, its disk and the network")
        }),
        took_ms: Some(took_ms),
    }
}

pub(crate) fn missing(reason: &str, next: &str) -> Seen {
    Seen {
        state: Look::Missing,
        detail: reason.to_owned(),
        next: Some(next.to_owned()),
        took_ms: None,
    }
}

async fn look_at_redis(mut connection: ConnectionManager) -> Seen {
    let next = "start Redis, or look at its log and at the setting `redis`; until it is back, lists are \
                slow, and nothing is lost";
    let began = Instant::now();
    let asked = redis::cmd("INFO");
    let asked = tokio::time::timeout(ANSWER_MAX, asked.query_async::<String>(&mut connection));
    let info = match asked.await {
        Ok(Ok(info)) => info,
        Ok(Err(error)) => return missing(&kork::problem::chain(&error), next),
        Err(_) => return missing("no answer within 2 s", next),
    };
    let took = began.elapsed();
    of_redis(&info, took)
}

/// What `INFO` says.
fn of_redis(info: &str, took: Duration) -> Seen {
    let field = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let version = field("redis_version").unwrap_or("unknown");
    let mut seen = answered(&format!("Redis {version}"), took, REDIS_SLOW);
    let number = |name: &str| field(name).and_then(|text| text.trim().parse::<u64>().ok());
    let major = version
        .split('.')
        .next()
        .and_then(|text| text.parse::<u32>().ok());
    if major.is_some_and(|major| major < REDIS_MIN) {
        seen.state = Look::Warning;
        seen.next = Some(format!(
            "it is too old: at least version {REDIS_MIN} is needed"
        ));
    }
    let memory = number("used_memory").zip(number("maxmemory").filter(|max| *max > 0));
    if let Some((used, max)) = memory.filter(|(used, max)| used * 100 >= max * NEAR_PERCENT) {
        let evicts = field("maxmemory_policy").is_some_and(|policy| policy.trim() != "noeviction");
        if !evicts {
            seen.state = Look::Warning;
            let text = format!("; {used} of {max} bytes of memory are used");
            seen.detail.push_str(&text);
            seen.next =
                Some("set `maxmemory-policy allkeys-lru`, or give it more memory".to_owned());
        }
    }
    seen
}

async fn look_at_objects(objects: &dyn ObjectStore) -> Seen {
    let next = "start the object store, or look at its log and at the settings `s3Endpoint` and \
                `s3Bucket`; until it is back, definitions cannot be saved";
    let began = Instant::now();
    match tokio::time::timeout(ANSWER_MAX, objects.get(NO_OBJECT)).await {
        Ok(Ok(_)) => answered("the bucket answers", began.elapsed(), S3_SLOW),
        Ok(Err(error)) => missing(&kork::problem::chain(&error), next),
        Err(_) => missing("no answer within 2 s", next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);

    #[test]
    fn redis_is_judged_by_what_it_says() {
        let good = "redis_version:7.0.15\r\nused_memory:10\r\nmaxmemory:0\r\n";
        assert_eq!(of_redis(good, QUICK).state, Look::Ok);
        let old = of_redis("redis_version:5.0.7\r\n", QUICK);
        assert!(old.next.unwrap().contains("too old"));
        let full = "redis_version:7.0.15\r\nused_memory:90\r\nmaxmemory:100\r\nmaxmemory_policy:";
        let seen = of_redis(&format!("{full}noeviction\r\n"), QUICK);
        assert!(seen.detail.contains("90 of 100"), "{seen:?}");
        assert_eq!(
            of_redis(&format!("{full}allkeys-lru\r\n"), QUICK).state,
            Look::Ok
        );
        let slow = of_redis(good, Duration::from_millis(600));
        assert_eq!(slow.state, Look::Warning);
        assert!(slow.detail.contains("600 ms"), "{slow:?}");
    }
}
