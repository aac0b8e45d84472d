//! Applications: what is stored of them and what runs of them.

use std::collections::{BTreeMap, BTreeSet};

use kork_model::{
    Context, Kind,
    api::{
        clouddriver::{ListClusters, ListServerGroups},
        front50::{ApplicationHistory, GetApplication, ListApplications},
    },
};
use serde_json::Value;

use super::param::{ACCOUNT, EXPAND, LIMIT, OWNER};
use crate::{
    domain::application::{accounts_of, attributes, shown, single},
    http::{
        answer::{Answer, Outcome},
        call::Call,
        refusal::Refusal,
        route::{Route, Verb, run},
    },
    limit,
};

const TAG: &str = "applications";

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/applications", "listApplications", run!(list))
        .about(
            TAG,
            "All applications: the stored ones and those of which something runs.",
        )
        .query(&[&ACCOUNT, &OWNER])
        .json("Application[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}",
        "getApplication",
        run!(get),
    )
    .about(TAG, "One application with its attributes and its clusters.")
    .query(&[&EXPAND])
    .json("ApplicationDetails"),
    Route::new(
        Verb::Get,
        "/applications/{application}/history",
        "applicationHistory",
        run!(history),
    )
    .about(TAG, "Earlier versions of an application, newest first.")
    .query(&[&LIMIT])
    .json("Application[]"),
];

async fn list(call: Call) -> Outcome {
    let running = ListServerGroups {
        application: String::new(),
    };
    let stored = ListApplications {};
    let (stored, running) = futures_util::join!(
        call.ask(&stored),
        call.ask_extra(&running, limit::EXTRA_WAIT)
    );
    let mut accounts = accounts_of(&running.unwrap_or_default());
    let mut flat: BTreeMap<String, Context> = BTreeMap::new();
    for application in stored? {
        let name = application
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let name = name.to_lowercase();
        let accounts = accounts.remove(&name).unwrap_or_default();
        flat.insert(name.clone(), attributes(&name, application, &accounts));
    }
    for (name, accounts) in accounts {
        flat.insert(name.clone(), attributes(&name, Context::new(), &accounts));
    }
    let (owner, account) = (call.query.text(&OWNER), call.query.text(&ACCOUNT));
    let list: Vec<_> = flat
        .into_values()
        .filter(|flat| shown(flat, owner, account))
        .collect();
    Answer::json(&list)
}

async fn get(call: Call) -> Outcome {
    let name = call.part("application");
    let expand = call.query.flag(&EXPAND)?.unwrap_or(true);
    let stored = GetApplication { name: name.clone() };
    let clusters = ListClusters {
        application: name.to_lowercase(),
    };
    let running = async {
        if expand {
            call.ask_extra(&clusters, limit::EXTRA_WAIT).await
        } else {
            None
        }
    };
    let (stored, clusters) = futures_util::join!(call.ask(&stored), running);
    let clusters = clusters.unwrap_or_default();
    let stored = match stored {
        Ok(stored) => stored,
        Err(refusal) if refusal.problem().kind != Kind::NotFound => return Err(refusal),
        Err(_) if clusters.is_empty() => {
            return Err(Refusal::not_found(format!(
                "Application not found (id: {name})"
            )));
        }
        Err(_) => Context::new(),
    };
    let accounts: BTreeSet<String> = clusters.keys().cloned().collect();
    Answer::json(&single(&attributes(&name, stored, &accounts), &clusters))
}

async fn history(call: Call) -> Outcome {
    let limit = call
        .query
        .number(&LIMIT, limit::PAGE_SIZE_MAX)?
        .unwrap_or(limit::HISTORY_LISTED);
    let versions = ApplicationHistory {
        name: call.part("application"),
        limit,
    };
    Answer::json(&call.ask(&versions).await?)
}
