//! The gateway itself, the caller, and the parts of the contract that are always empty here.

use actix_web::http::StatusCode;
use kork_model::api::{clouddriver::ListCredentials, orca::CheckCron};
use serde_json::{Value, json};

use super::param::{APPLICATION, EXPRESSION, PROVIDER};
use crate::{
    http::{
        answer::{Answer, Outcome},
        call::{Call, USER},
        route::{Gives, Route, Verb, run},
    },
    limit,
};

const GATE: &str = "gate";
const CALLER: &str = "caller";
const EMPTY: &str = "always empty";
/// The media type of Spring Boot's health, which probes ask for.
const HEALTH: &str = "application/vnd.spring-boot.actuator.v3+json";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/version", "version", run!(version))
        .about(GATE, "The version of the suite.")
        .json("Version"),
    Route::new(Verb::Get, "/health", "health", run!(health))
        .about(
            GATE,
            "UP when every part of this process works, else 503 with DOWN.",
        )
        .gives(Gives::Health),
    Route::new(Verb::Get, "/auth/user", "user", run!(user))
        .about(
            CALLER,
            "Who is calling: anonymous as long as nobody logs in.",
        )
        .json("User"),
    Route::new(Verb::Get, "/auth/loggedOut", "loggedOut", run!(logged_out))
        .about(CALLER, "Says that the caller is logged out.")
        .json("Text"),
    Route::new(
        Verb::Get,
        "/auth/user/serviceAccounts",
        "serviceAccounts",
        run!(empty_list),
    )
    .about(CALLER, "Service accounts that the caller may use: none.")
    .query(&[&APPLICATION])
    .json("Text[]"),
    Route::new(
        Verb::Get,
        "/capabilities/quietPeriod",
        "quietPeriod",
        run!(quiet_period),
    )
    .about(GATE, "Whether triggers rest for a while.")
    .json("Object"),
    Route::new(
        Verb::Get,
        "/capabilities/expressions",
        "expressionCapabilities",
        run!(expressions),
    )
    .about(GATE, "Versions of the expression language.")
    .json("Object"),
    Route::new(
        Verb::Get,
        "/capabilities/deploymentMonitors",
        "deploymentMonitors",
        run!(empty_list),
    )
    .about(EMPTY, "Deployment monitors.")
    .json("Object[]"),
    Route::new(
        Verb::Get,
        "/cron/validate",
        "validateCron",
        run!(validate_cron),
    )
    .about(GATE, "Checks a Quartz cron expression.")
    .query(&[&EXPRESSION])
    .json("CronAnswer"),
    Route::new(
        Verb::Get,
        "/pubsub/subscriptions",
        "pubsubSubscriptions",
        run!(empty_list),
    )
    .about(EMPTY, "Subscriptions of message services.")
    .json("Object[]"),
    Route::new(
        Verb::Get,
        "/webhooks/preconfigured",
        "preconfiguredWebhooks",
        run!(empty_list),
    )
    .about(EMPTY, "Webhook stages that an operator added.")
    .json("Object[]"),
    Route::new(
        Verb::Get,
        "/jobs/preconfigured",
        "preconfiguredJobs",
        run!(empty_list),
    )
    .about(EMPTY, "Job stages that an operator added.")
    .json("Object[]"),
    Route::new(Verb::Get, "/networks", "networks", run!(empty_object))
        .about(EMPTY, "Networks by provider.")
        .json("Object"),
    Route::new(
        Verb::Get,
        "/securityGroups",
        "securityGroups",
        run!(empty_object),
    )
    .about(EMPTY, "Security groups by account.")
    .query(&[&PROVIDER])
    .json("Object"),
    Route::new(Verb::Get, "/firewalls", "firewalls", run!(empty_object))
        .about(EMPTY, "Firewalls by account.")
        .query(&[&PROVIDER])
        .json("Object"),
    Route::new(Verb::Get, "/banners", "banners", run!(empty_list))
        .about(EMPTY, "Banners of the user interface.")
        .json("Object[]"),
    Route::new(
        Verb::Get,
        "/plugins/deck/plugin-manifest.json",
        "deckPlugins",
        run!(empty_list),
    )
    .about(EMPTY, "Plugins of the user interface.")
    .json("Object[]"),
];

async fn version(_: Call) -> Outcome {
    always(&json!({"version": env!("CARGO_PKG_VERSION")})).await
}

async fn health(call: Call) -> Outcome {
    let (status, word) = if call.gate.chassis.health.is_ready() {
        (StatusCode::OK, "UP")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "DOWN")
    };
    let body = json!({"status": word}).to_string();
    std::future::ready(Answer::with_type(status, HEALTH, body)).await
}

async fn user(call: Call) -> Outcome {
    let accounts = call
        .ask_extra(&ListCredentials { expand: false }, limit::EXTRA_WAIT)
        .await;
    let names: Vec<Value> = accounts
        .unwrap_or_default()
        .into_iter()
        .filter_map(|mut account| account.remove("name"))
        .collect();
    // The two names are there and null: clients check that they are there.
    Answer::json(&json!({
        "username": USER,
        "email": USER,
        "firstName": null,
        "lastName": null,
        "roles": [],
        "authorities": [],
        "allowedAccounts": names,
        "accountNonExpired": true,
        "accountNonLocked": true,
        "credentialsNonExpired": true,
        "enabled": true,
    }))
}

async fn logged_out(_: Call) -> Outcome {
    always(&json!("logged out")).await
}

async fn quiet_period(_: Call) -> Outcome {
    always(&json!({"isEnabled": false})).await
}

async fn expressions(_: Call) -> Outcome {
    always(&json!({
        "functions": [],
        "spelEvaluators": [{
            "versionKey": "v4",
            "displayName": "v4",
            "description": "evaluates every stage when it starts",
            "isDeprecated": false,
        }],
    }))
    .await
}

async fn validate_cron(call: Call) -> Outcome {
    let check = CheckCron {
        expression: call.query.given(&EXPRESSION)?.to_owned(),
    };
    Answer::json(&call.ask(&check).await?)
}

async fn empty_list(_: Call) -> Outcome {
    always(&json!([])).await
}

async fn empty_object(_: Call) -> Outcome {
    always(&json!({})).await
}

/// Handlers are async; these have nothing to wait for.
async fn always(value: &Value) -> Outcome {
    std::future::ready(Answer::json(value)).await
}
