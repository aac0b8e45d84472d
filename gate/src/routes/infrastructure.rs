//! Accounts and what runs in them.

use base64::{Engine, engine::general_purpose::STANDARD};
use kork_model::{
    Context, Kind, Problem,
    api::clouddriver::{
        FetchArtifact, GetCluster, GetConsole, GetCredentials, GetInstance, GetServerGroup,
        ListArtifactAccounts, ListClusters, ListCredentials, ListLoadBalancers, ListServerGroups,
        ServerGroupLogs,
    },
};
use serde_json::{Value, json};

use super::param::{EXPAND, INCLUDE_DETAILS, LINES, PREVIOUS, PROVIDER};
use crate::{
    domain::application::cluster_names,
    http::{
        answer::{Answer, Outcome},
        call::Call,
        refusal::Refusal,
        route::{BodyRule, Gives, Route, Verb, run},
    },
    limit,
};

const ACCOUNTS: &str = "accounts";
const RUNNING: &str = "infrastructure";
const ARTIFACTS: &str = "artifacts";

/// What of an account is shown without `expand`.
const ACCOUNT_KEYS: [&str; 5] = [
    "name",
    "type",
    "permissions",
    "requiredGroupMembership",
    "authorized",
];

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/credentials", "listAccounts", run!(accounts))
        .about(ACCOUNTS, "The accounts that can be deployed to.")
        .query(&[&EXPAND])
        .json("Account[]"),
    Route::new(
        Verb::Get,
        "/credentials/{account}",
        "getAccount",
        run!(account),
    )
    .about(ACCOUNTS, "One account.")
    .json("Account"),
    Route::new(
        Verb::Get,
        "/applications/{application}/clusters",
        "clusters",
        run!(clusters),
    )
    .about(
        RUNNING,
        "Names of the clusters of an application by account.",
    )
    .json("Object"),
    Route::new(
        Verb::Get,
        "/applications/{application}/clusters/{account}",
        "clustersOfAccount",
        run!(clusters_of_account),
    )
    .about(RUNNING, "The clusters of an application in one account.")
    .json("Object[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}/clusters/{account}/{cluster}",
        "cluster",
        run!(cluster),
    )
    .about(RUNNING, "One cluster with its server groups.")
    .json("Object"),
    Route::new(
        Verb::Get,
        "/applications/{application}/clusters/{account}/{cluster}/serverGroups",
        "clusterServerGroups",
        run!(cluster_server_groups),
    )
    .about(RUNNING, "The server groups of a cluster.")
    .json("ServerGroup[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}/serverGroups",
        "serverGroups",
        run!(server_groups),
    )
    .about(RUNNING, "The server groups of an application.")
    .json("ServerGroup[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}/serverGroups/{account}/{region}/{name}",
        "serverGroup",
        run!(server_group),
    )
    .about(RUNNING, "One server group with its instances.")
    .query(&[&INCLUDE_DETAILS])
    .json("ServerGroup"),
    Route::new(
        Verb::Get,
        "/applications/{application}/serverGroups/{account}/{region}/{name}/logs",
        "serverGroupLogs",
        run!(logs),
    )
    .about(
        RUNNING,
        "The last lines of all instances of a server group, oldest first.",
    )
    .query(&[&LINES])
    .json("LogLine[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}/serverGroupManagers",
        "serverGroupManagers",
        run!(none),
    )
    .about(
        RUNNING,
        "Always empty: no provider has server group managers.",
    )
    .json("Object[]"),
    Route::new(
        Verb::Get,
        "/applications/{application}/loadBalancers",
        "applicationLoadBalancers",
        run!(load_balancers),
    )
    .about(
        RUNNING,
        "The load balancers of an application with their addresses.",
    )
    .json("LoadBalancer[]"),
    Route::new(
        Verb::Get,
        "/loadBalancers",
        "loadBalancers",
        run!(load_balancers),
    )
    .about(RUNNING, "The load balancers of all applications.")
    .query(&[&PROVIDER])
    .json("LoadBalancer[]"),
    Route::new(
        Verb::Get,
        "/instances/{account}/{region}/{id}",
        "instance",
        run!(instance),
    )
    .about(RUNNING, "One instance.")
    .json("Object"),
    Route::new(
        Verb::Get,
        "/instances/{account}/{region}/{id}/console",
        "console",
        run!(console),
    )
    .about(RUNNING, "The last lines of an instance's output.")
    .query(&[&PROVIDER, &LINES, &PREVIOUS])
    .json("Console"),
    Route::new(
        Verb::Get,
        "/artifacts/credentials",
        "artifactAccounts",
        run!(artifact_accounts),
    )
    .about(ARTIFACTS, "The accounts that artifacts are fetched with.")
    .json("ArtifactAccount[]"),
    Route::new(
        Verb::Put,
        "/artifacts/fetch",
        "fetchArtifact",
        run!(fetch_artifact),
    )
    .about(ARTIFACTS, "The bytes of an artifact.")
    .body(BodyRule::Required("Object"))
    .gives(Gives::Media(&["application/octet-stream"])),
];

async fn accounts(call: Call) -> Outcome {
    let expand = call.query.flag(&EXPAND)?.unwrap_or(false);
    let mut accounts = call.ask(&ListCredentials { expand }).await?;
    for account in &mut accounts {
        account.insert("authorized".to_owned(), true.into());
        if !expand {
            account.retain(|key, _| ACCOUNT_KEYS.contains(&key.as_str()));
        }
    }
    Answer::json(&accounts)
}

async fn account(call: Call) -> Outcome {
    let mut account = call
        .ask(&GetCredentials {
            account: call.part("account"),
        })
        .await?;
    account.insert("authorized".to_owned(), true.into());
    Answer::json(&account)
}

async fn all_clusters(call: &Call) -> Result<Context, Refusal> {
    call.ask(&ListClusters {
        application: call.part("application"),
    })
    .await
}

async fn clusters(call: Call) -> Outcome {
    Answer::json(&cluster_names(&all_clusters(&call).await?))
}

async fn clusters_of_account(call: Call) -> Outcome {
    let clusters = all_clusters(&call).await?;
    Answer::json(clusters.get(&call.part("account")).unwrap_or(&json!([])))
}

async fn one_cluster(call: &Call) -> Result<Context, Refusal> {
    let get = GetCluster {
        application: call.part("application"),
        account: call.part("account"),
        cluster: call.part("cluster"),
    };
    call.ask(&get).await
}

async fn cluster(call: Call) -> Outcome {
    Answer::json(&one_cluster(&call).await?)
}

async fn cluster_server_groups(call: Call) -> Outcome {
    let cluster = one_cluster(&call).await?;
    Answer::json(cluster.get("serverGroups").unwrap_or(&json!([])))
}

async fn server_groups(call: Call) -> Outcome {
    let list = ListServerGroups {
        application: call.part("application"),
    };
    Answer::json(&call.ask(&list).await?)
}

async fn server_group(call: Call) -> Outcome {
    let get = GetServerGroup {
        application: call.part("application"),
        account: call.part("account"),
        region: call.part("region"),
        name: call.part("name"),
    };
    Answer::json(&call.ask(&get).await?)
}

async fn logs(call: Call) -> Outcome {
    let logs = ServerGroupLogs {
        application: call.part("application"),
        account: call.part("account"),
        region: call.part("region"),
        name: call.part("name"),
        lines: lines(&call)?,
    };
    Answer::json(&call.ask(&logs).await?)
}

fn lines(call: &Call) -> Result<u32, Refusal> {
    Ok(call
        .query
        .number(&LINES, limit::LOG_LINES_MAX)?
        .unwrap_or(limit::LOG_LINES))
}

async fn load_balancers(call: Call) -> Outcome {
    let list = ListLoadBalancers {
        application: call.part("application"),
    };
    Answer::json(&call.ask(&list).await?)
}

async fn instance(call: Call) -> Outcome {
    let get = GetInstance {
        account: call.part("account"),
        region: call.part("region"),
        id: call.part("id"),
    };
    Answer::json(&call.ask(&get).await?)
}

async fn console(call: Call) -> Outcome {
    let console = GetConsole {
        account: call.part("account"),
        region: call.part("region"),
        id: call.part("id"),
        lines: lines(&call)?,
        previous: call.query.flag(&PREVIOUS)?.unwrap_or(false),
    };
    Answer::json(&call.ask(&console).await?)
}

async fn artifact_accounts(call: Call) -> Outcome {
    Answer::json(&call.ask(&ListArtifactAccounts {}).await?)
}

async fn fetch_artifact(call: Call) -> Outcome {
    let fetched = call
        .ask(&FetchArtifact {
            artifact: call.json()?,
        })
        .await?;
    let content = fetched
        .get("content")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let bytes = STANDARD.decode(content).map_err(|e| {
        Problem::new(
            "GATE-0018",
            Kind::Bug,
            "clouddriver sent content that is not base64",
        )
        .because(&e)
    })?;
    Answer::of_type("application/octet-stream", bytes)
}

async fn none(_: Call) -> Outcome {
    std::future::ready(Answer::json(&json!([]))).await
}
