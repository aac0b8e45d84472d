//! The contract of [`Cache`](crate::ports::Cache). An adapter may forget; with the few values used
//! here it has no reason to.

use std::{future::Future, time::Duration};

use bytes::Bytes;

use super::checks;
use crate::ports::{Ports, Writes};

/// Everything a cache guarantees.
pub async fn cache<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Ports>,
{
    checks!(make:
        a_value_is_there_until_it_is_deleted,
        many_values_come_in_the_order_in_which_they_are_asked_for,
        a_value_is_gone_after_its_time,
        an_index_is_sorted_by_falling_score,
        many_writes_are_done_in_one_go,
        a_flush_forgets_everything,
    );
}

/// The last value put is the one.
async fn a_value_is_there_until_it_is_deleted(ports: Ports) {
    let cache = &*ports.cache;
    assert_eq!(cache.get("k").await.expect("get"), None);
    for value in ["one", "two"] {
        cache.put("k", Bytes::from(value), None).await.expect("put");
        assert_eq!(
            cache.get("k").await.expect("get").as_deref(),
            Some(value.as_bytes())
        );
    }
    cache.delete("k").await.expect("delete");
    cache.delete("k").await.expect("deleting nothing is fine");
    assert_eq!(cache.get("k").await.expect("get"), None);
}

/// What is not there has its place, and a key may be asked for twice.
async fn many_values_come_in_the_order_in_which_they_are_asked_for(ports: Ports) {
    let cache = &*ports.cache;
    for key in ["a", "b"] {
        cache.put(key, Bytes::from(key), None).await.expect("put");
    }
    let keys = ["b", "gone", "a", "b"].map(str::to_owned);
    let found = cache.get_many(&keys).await.expect("get_many");
    let found: Vec<Option<&[u8]>> = found.iter().map(Option::as_deref).collect();
    assert_eq!(found, [Some(&b"b"[..]), None, Some(b"a"), Some(b"b")]);
    let none = cache.get_many(&[]).await.expect("get_many");
    assert!(none.is_empty());
}

/// A time to live is an upper bound; putting again sets it anew.
async fn a_value_is_gone_after_its_time(ports: Ports) {
    let (cache, start) = (&*ports.cache, ports.clock.now());
    let ttl = Some(Duration::from_millis(80));
    for key in ["short", "renewed"] {
        cache
            .put(key, Bytes::from_static(b"v"), ttl)
            .await
            .expect("put");
    }
    cache
        .put("renewed", Bytes::from_static(b"v"), None)
        .await
        .expect("put");
    ports.clock.sleep_until(start.plus_ms(200)).await;
    assert_eq!(cache.get("short").await.expect("get"), None);
    assert!(cache.get("renewed").await.expect("get").is_some());
}

/// Ties by falling name; a member has one score; offset and limit page through.
async fn an_index_is_sorted_by_falling_score(ports: Ports) {
    let cache = &*ports.cache;
    for (member, score) in [
        ("a", 1),
        ("b", 3),
        ("c", 2),
        ("d", 2),
        ("a", 5),
        ("big", 1 << 52),
    ] {
        cache
            .index_put("i", member, score)
            .await
            .expect("index_put");
    }
    cache.index_put("other", "x", 9).await.expect("index_put");
    let newest = cache.index_newest("i", 0, 10).await.expect("newest");
    let names: Vec<&str> = newest.iter().map(|(member, _)| member.as_str()).collect();
    assert_eq!(names, ["big", "a", "b", "d", "c"]);
    assert_eq!(newest[0].1, 1 << 52);
    assert_eq!(
        cache.index_newest("i", 1, 2).await.expect("newest"),
        newest[1..3]
    );
    assert!(
        cache
            .index_newest("i", 9, 2)
            .await
            .expect("newest")
            .is_empty()
    );
    assert!(
        cache
            .index_newest("none", 0, 2)
            .await
            .expect("newest")
            .is_empty()
    );
    cache.index_remove("i", "a").await.expect("index_remove");
    cache
        .index_remove("i", "nobody")
        .await
        .expect("removing nothing is fine");
    assert_eq!(cache.index_len("i").await.expect("len"), 4);
}

/// Several indexes, members that come and go, and values; nothing at all is fine.
async fn many_writes_are_done_in_one_go(ports: Ports) {
    let cache = &*ports.cache;
    cache.index_put("i", "old", 9).await.expect("index_put");
    cache.index_put("i", "a", 1).await.expect("index_put");
    cache
        .put("k", Bytes::from_static(b"old"), None)
        .await
        .expect("put");
    let mut writes = Writes::default();
    writes.index_put("i", "a", 3);
    writes.index_put("i", "b", 1 << 52);
    writes.index_put("j", "x", 7);
    writes.index_remove("i", "old");
    writes.index_remove("i", "nobody");
    for (key, value) in [("k", "new"), ("l", "")] {
        writes.values.push((key.to_owned(), Bytes::from(value)));
    }
    cache.write(writes).await.expect("write");
    cache
        .write(Writes::default())
        .await
        .expect("nothing is written");
    let newest = cache.index_newest("i", 0, 9).await.expect("newest");
    assert_eq!(newest, [("b".to_owned(), 1 << 52), ("a".to_owned(), 3)]);
    assert_eq!(cache.index_len("j").await.expect("len"), 1);
    let keys = ["k", "l"].map(str::to_owned);
    let values = cache.get_many(&keys).await.expect("get_many");
    assert_eq!(
        values,
        [Some(Bytes::from_static(b"new")), Some(Bytes::new())]
    );
}

/// Values and indexes.
async fn a_flush_forgets_everything(ports: Ports) {
    let cache = &*ports.cache;
    cache
        .put("k", Bytes::from_static(b"v"), None)
        .await
        .expect("put");
    cache.index_put("i", "m", 1).await.expect("index_put");
    cache.flush().await.expect("flush");
    assert_eq!(cache.get("k").await.expect("get"), None);
    assert_eq!(cache.index_len("i").await.expect("len"), 0);
}
