//! The door for what comes in from outside. The raw bytes go to igor, which knows the senders; nothing is
//! read here.

use std::collections::BTreeMap;

use actix_web::http::header::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use kork_model::api::{
    igor::{GetDelivery, ListDeliveries, ListSources, RawBody, ReceiveDelivery, ReplayDelivery},
    orca::{ExplainTriggers, TriggerHistory},
};

use crate::{
    http::{
        answer::{Answer, Outcome},
        call::{Call, USER},
        query::{Param, ParamKind},
        route::{BodyRule, Route, Verb, run},
    },
    limit,
};

/// Headers that are of no concern to a matcher, and no part of any signature.
const LEFT_OUT: [&str; 4] = ["cookie", "connection", "accept-encoding", "te"];

/// Headers that say what a body is, and parts of the names of those that say who sent it, prove it or name it.
const KNOWN: [&str; 3] = ["content-type", "content-encoding", "idempotency-key"];
const KNOWN_PARTS: [&str; 13] = [
    "auth",
    "signature",
    "token",
    "event",
    "delivery",
    "webhook",
    "timestamp",
    "request-id",
    "request-uuid",
    "ce-",
    "x-goog-pubsub",
    "x-amz",
    "api-key",
];

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        Verb::Post,
        "/webhooks/{type}/{source}",
        "receiveWebhook",
        run!(receive),
    )
    .about(
        "webhooks",
        "An event from outside. It is answered when what it starts is started or stored, once. `webhook` answers 200 as Spinnaker does, every other type 202.",
    )
    .body(BodyRule::Raw("Object"))
    .status(202)
    .or_status(200)
    .json("WebhookTaken"),
    Route::new(Verb::Post, "/webhooks/{type}", "receiveWebhookOfType", run!(receive))
        .about("webhooks", "The same, of a type that has no sources.")
        .body(BodyRule::Raw("Object"))
        .status(202)
        .or_status(200)
        .json("WebhookTaken"),
    Route::new(Verb::Get, "/deliveries", "listDeliveries", run!(list))
        .about(
            "webhooks",
            "The newest deliveries from outside, newest first, each with its verdict.",
        )
        .query(&[&SOURCE, &LIMIT])
        .json("Object[]"),
    Route::new(Verb::Get, "/deliveries/{id}", "getDelivery", run!(get))
        .about("webhooks", "One delivery, with its body; without credentials.")
        .json("Object"),
    Route::new(
        Verb::Post,
        "/deliveries/{id}/replay",
        "replayDelivery",
        run!(replay),
    )
    .about(
        "webhooks",
        "Does a delivery again, as something new: what it started starts again.",
    )
    .status(202)
    .json("WebhookTaken"),
    Route::new(Verb::Get, "/triggers/explain", "explainTriggers", run!(explain))
        .about(
            "webhooks",
            "What the newest events did: which pipelines they started, or, for one pipeline, which trigger matched \
             and what the first difference was.",
        )
        .query(&[&PIPELINE, &DELIVERY, &SOURCE, &LIMIT])
        .json("Object[]"),
    Route::new(Verb::Get, "/triggers/history", "triggerHistory", run!(history))
        .about(
            "webhooks",
            "What each trigger of a pipeline did: its executions, when the clock fires next, which fire times were \
             missed or made up for, and what the pipeline did last whose end it waits for.",
        )
        .query(&[&PIPELINE])
        .json("Object[]"),
    Route::new(Verb::Get, "/sources", "listSources", run!(sources))
        .about(
            "webhooks",
            "What is listened to and looked at: controllers, registries, repositories, configured senders.",
        )
        .json("Object[]"),
];

const SOURCE: Param = Param::new("source", ParamKind::Text, "Only of this source.");
const LIMIT: Param = Param::new("limit", ParamKind::Number, "At most so many.");

const PIPELINE: Param = Param::new("pipeline", ParamKind::Text, "The id of a pipeline.");
const DELIVERY: Param = Param::new("delivery", ParamKind::Text, "Only what this delivery said.");

async fn receive(call: Call) -> Outcome {
    let delivery = ReceiveDelivery {
        kind: call.part("type"),
        source: call.part("source"),
        headers: handed_on(&call.headers),
        query: call.query.pairs().collect(),
        body: raw(&call.body, call.left_out),
    };
    let taken = call.ask(&delivery).await?;
    if delivery.kind.eq_ignore_ascii_case("webhook") {
        return Answer::json(&taken);
    }
    Answer::accepted(&taken)
}

async fn list(call: Call) -> Outcome {
    let request = ListDeliveries {
        source: call.query.text(&SOURCE).map(str::to_owned),
        limit: call
            .query
            .number(&LIMIT, limit::PAGE_SIZE_MAX)?
            .unwrap_or(limit::DELIVERIES_LISTED),
    };
    Answer::json(&call.ask(&request).await?)
}

async fn get(call: Call) -> Outcome {
    let request = GetDelivery {
        id: call.part("id"),
    };
    Answer::json(&call.ask(&request).await?)
}

async fn replay(call: Call) -> Outcome {
    let request = ReplayDelivery {
        id: call.part("id"),
        user: USER.to_owned(),
    };
    Answer::accepted(&call.ask(&request).await?)
}

async fn explain(call: Call) -> Outcome {
    let deliveries = if let Some(id) = call.query.text(&DELIVERY) {
        vec![call.ask(&GetDelivery { id: id.to_owned() }).await?]
    } else {
        let newest = ListDeliveries {
            source: call.query.text(&SOURCE).map(str::to_owned),
            limit: call
                .query
                .number(&LIMIT, limit::PAGE_SIZE_MAX)?
                .unwrap_or(limit::DELIVERIES_EXPLAINED),
        };
        call.ask(&newest).await?
    };
    let request = ExplainTriggers {
        pipeline: call.query.text(&PIPELINE).map(str::to_owned),
        events: deliveries.into_iter().flat_map(|d| d.events).collect(),
    };
    Answer::json(&call.ask(&request).await?)
}

async fn history(call: Call) -> Outcome {
    let request = TriggerHistory {
        pipeline: call.query.required(&PIPELINE)?.to_owned(),
    };
    Answer::json(&call.ask(&request).await?)
}

async fn sources(call: Call) -> Outcome {
    Answer::json(&call.ask(&ListSources {}).await?)
}

/// One that is too large goes no further; that it came in is told, so that it is in the list.
fn raw(body: &[u8], left_out: Option<usize>) -> RawBody {
    let too_large = (body.len() > limit::DELIVERY_BYTES_MAX).then_some(body.len());
    if let Some(bytes) = left_out.or(too_large) {
        return RawBody::TooLarge(bytes as u64);
    }
    match std::str::from_utf8(body) {
        Ok(text) if body.len() <= limit::TEXT_BYTES_MAX => RawBody::Text(text.to_owned()),
        _ => RawBody::Base64(STANDARD.encode(body)),
    }
}

/// Of too many headers those go on that a sender may be known by; the rest is for constraints.
fn handed_on(headers: &HeaderMap) -> BTreeMap<String, String> {
    let is_known =
        |name: &str| KNOWN.contains(&name) || KNOWN_PARTS.iter().any(|part| name.contains(part));
    let named = headers
        .iter()
        .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())));
    let (mut first, rest): (Vec<_>, Vec<_>) = named.partition(|(name, _)| is_known(name));
    first.extend(rest);
    first.truncate(limit::WEBHOOK_HEADERS_MAX);
    first.into_iter().collect()
}

/// The text of a header. Not all senders keep to ASCII, and a secret may be any text: it is UTF-8, and where it is not
/// it is Latin-1, as senders in Java have it.
fn text(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(
        |_| value.iter().copied().map(char::from).collect(),
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn of_too_many_headers_those_stay_that_tell_who_sent_them() {
        let mut headers = HeaderMap::new();
        for n in 0..500 {
            let name = HeaderName::try_from(format!("x-noise-{n}")).unwrap();
            headers.insert(name, HeaderValue::from_static("1"));
        }
        let wanted = [
            "content-type",
            "authorization",
            "x-hub-signature-256",
            "x-github-event",
            "ce-id",
            "idempotency-key",
            "x-goog-pubsub-message-id",
        ];
        for name in wanted {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static("known"),
            );
        }
        headers.insert(
            HeaderName::from_static("cookie"),
            HeaderValue::from_static("x"),
        );
        let on = handed_on(&headers);
        assert_eq!(on.len(), limit::WEBHOOK_HEADERS_MAX);
        for name in wanted {
            assert_eq!(on.get(name).map(String::as_str), Some("known"), "{name}");
        }
        assert!(!on.contains_key("cookie"));
    }

    #[test]
    fn headers_may_hold_any_text() {
        let mut headers = HeaderMap::new();
        let wanted = "schlüssel-ключ";
        headers.insert(
            HeaderName::from_static("x-gitlab-token"),
            HeaderValue::from_bytes(wanted.as_bytes()).unwrap(),
        );
        headers.insert(
            HeaderName::from_static("x-team"),
            HeaderValue::from_bytes(b"gr\xfcn").unwrap(),
        );
        let on = handed_on(&headers);
        assert_eq!(on.get("x-gitlab-token").map(String::as_str), Some(wanted));
        assert_eq!(on.get("x-team").map(String::as_str), Some("grün"));
    }

    #[test]
    fn a_body_that_is_too_large_is_told_of_and_not_handed_on() {
        let text = vec![b'x'; limit::TEXT_BYTES_MAX];
        assert!(matches!(raw(&text, None), RawBody::Text(_)));
        let most = vec![b'"'; limit::DELIVERY_BYTES_MAX];
        let handed_on = raw(&most, None);
        assert!(matches!(handed_on, RawBody::Base64(_)));
        let message = serde_json::to_vec(&handed_on).unwrap();
        assert!(message.len() < kork::ports::limit::RPC_BYTES_MAX - 1024 * 1024);
        let more = vec![b'x'; limit::DELIVERY_BYTES_MAX + 1];
        assert_eq!(raw(&more, None), RawBody::TooLarge(more.len() as u64));
        assert_eq!(raw(&[], Some(7)), RawBody::TooLarge(7));
    }
}
