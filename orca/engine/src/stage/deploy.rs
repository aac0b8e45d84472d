//! `deploy` makes one `createServerGroup` stage for each cluster; that one adds what its strategy
//! asks for: none, highlander, red/black.

use kork_model::Context;
use serde_json::{Value, json};

use super::{Definition, NewStage, Outcome, Plan, PlanError, StageView, server_group};
use crate::context::{flag, text};

pub(super) struct Deploy;

impl Definition for Deploy {
    fn names(&self) -> &'static [&'static str] {
        &["deploy"]
    }

    fn description(&self) -> &'static str {
        "deploys clusters: [{account, application, stack, capacity, strategy, ...}], all at once"
    }

    fn plan(&self, view: &StageView<'_>) -> Result<Plan, PlanError> {
        let clusters = match view.stage.context.get("clusters") {
            Some(Value::Array(clusters)) if !clusters.is_empty() => clusters,
            _ => return Err(invalid("clusters must be a list with at least one cluster")),
        };
        let mut before = Vec::new();
        for (at, cluster) in clusters.iter().enumerate() {
            let Value::Object(cluster) = cluster else {
                return Err(invalid(&format!("clusters[{at}] must be an object")));
            };
            strategy(cluster)?;
            before.push(NewStage {
                kind: "createServerGroup".to_owned(),
                name: format!("Deploy in {}", place(cluster)),
                context: for_child(&view.stage.context, cluster),
            });
        }
        Ok(Plan {
            tasks: Vec::new(),
            before,
        })
    }

    fn run(&self, _: &str, _: &StageView<'_>) -> Outcome {
        Outcome::succeeded()
    }
}

pub(super) struct CreateServerGroup;

impl Definition for CreateServerGroup {
    fn names(&self) -> &'static [&'static str] {
        &["createServerGroup"]
    }

    fn description(&self) -> &'static str {
        "makes one server group, waits until it is up, then does what its strategy asks for"
    }

    fn plan(&self, view: &StageView<'_>) -> Result<Plan, PlanError> {
        strategy(&view.stage.context)?;
        Ok(Plan {
            tasks: vec![("createServerGroup", "createServerGroup")],
            before: Vec::new(),
        })
    }

    fn after(&self, view: &StageView<'_>) -> Result<Vec<NewStage>, PlanError> {
        let context = &view.stage.context;
        Ok(match strategy(context)? {
            Strategy::None => Vec::new(),
            Strategy::Highlander => vec![shrink(view, 1, true)],
            Strategy::RedBlack => red_black(view),
        })
    }

    /// `rollback: {onFailure: true}`: take the new server group out; its predecessor still serves.
    fn on_failure(&self, view: &StageView<'_>) -> Result<Vec<NewStage>, PlanError> {
        let context = &view.stage.context;
        let Some(Value::Object(rollback)) = context.get("rollback") else {
            return Ok(Vec::new());
        };
        let made = view
            .stage
            .outputs
            .get("serverGroup")
            .or_else(|| context.get("serverGroup"));
        let (Some(true), Some(made)) = (flag(rollback, "onFailure"), made) else {
            return Ok(Vec::new());
        };
        let kind = if flag(rollback, "destroyLatest") == Some(true) {
            "destroyServerGroup"
        } else {
            "disableServerGroup"
        };
        let mut context = location(view);
        context.insert("serverGroupName".to_owned(), made.clone());
        Ok(vec![NewStage {
            kind: kind.to_owned(),
            name: kind.to_owned(),
            context,
        }])
    }

    fn run(&self, kind: &str, view: &StageView<'_>) -> Outcome {
        server_group::to_clouddriver(kind, view)
    }

    fn timeout_ms(&self, _: &str, _: &StageView<'_>) -> Option<u64> {
        Some(server_group::OPERATION_TIMEOUT_MS)
    }

    fn prepare_restart(&self, context: &mut Context) {
        for key in ["serverGroup", "deploy.server.groups", "logTail"] {
            context.remove(key);
        }
    }
}

enum Strategy {
    None,
    Highlander,
    RedBlack,
}

fn strategy(cluster: &Context) -> Result<Strategy, PlanError> {
    match text(cluster, "strategy").unwrap_or_default() {
        "" | "none" => Ok(Strategy::None),
        "highlander" => Ok(Strategy::Highlander),
        "redblack" | "bluegreen" => Ok(Strategy::RedBlack),
        other => Err(invalid(&format!(
            "there is no strategy {other}; there are none, highlander and redblack"
        ))),
    }
}

fn invalid(message: &str) -> PlanError {
    PlanError {
        exception: "IllegalArgumentException",
        message: message.to_owned(),
    }
}

fn place(cluster: &Context) -> String {
    let region = text(cluster, "region")
        .or_else(|| text(cluster, "stack"))
        .unwrap_or("local");
    region.to_owned()
}

/// The cluster's own keys over the flags of the deploy stage that its children must know.
fn for_child(parent: &Context, cluster: &Context) -> Context {
    let inherited = [
        "failPipeline",
        "continuePipeline",
        "completeOtherBranchesThenFail",
    ];
    let mut context: Context = inherited
        .into_iter()
        .filter_map(|key| parent.get(key).map(|v| (key.to_owned(), v.clone())))
        .collect();
    context.extend(cluster.iter().map(|(k, v)| (k.clone(), v.clone())));
    if let Some(account) = cluster.get("account").cloned() {
        context.entry("credentials").or_insert(account);
    }
    context
}

/// Which cluster a strategy's stages work on.
fn location(view: &StageView<'_>) -> Context {
    let context = &view.stage.context;
    let keys = [
        "account",
        "credentials",
        "cloudProvider",
        "region",
        "application",
        "stack",
    ];
    let mut place: Context = keys
        .into_iter()
        .filter_map(|key| context.get(key).map(|v| (key.to_owned(), v.clone())))
        .collect();
    let application = text(context, "application").unwrap_or(&view.execution.application);
    let parts = [
        Some(application),
        text(context, "stack"),
        text(context, "freeFormDetails"),
    ];
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|p| !p.is_empty())
        .collect();
    place.insert("cluster".to_owned(), Value::from(parts.join("-")));
    if let Some(made) = view.stage.outputs.get("serverGroup") {
        place.insert("newServerGroup".to_owned(), made.clone());
    }
    place
}

fn shrink(view: &StageView<'_>, size: u64, active_too: bool) -> NewStage {
    let mut context = location(view);
    context.insert("shrinkToSize".to_owned(), json!(size));
    context.insert("allowDeleteActive".to_owned(), json!(active_too));
    context.insert("retainLargerOverNewer".to_owned(), json!(false));
    NewStage {
        kind: "shrinkCluster".to_owned(),
        name: "shrinkCluster".to_owned(),
        context,
    }
}

/// Red/black: [shrink] -> [wait] -> disable the others -> [wait -> scale them down].
fn red_black(view: &StageView<'_>) -> Vec<NewStage> {
    let context = &view.stage.context;
    let mut stages = Vec::new();
    if let Some(keep) = context
        .get("maxRemainingAsgs")
        .and_then(Value::as_u64)
        .filter(|n| *n > 0)
    {
        stages.push(shrink(view, keep, false));
    }
    stages.extend(pause(
        context,
        "delayBeforeCleanup",
        "wait before disabling",
    ));
    let mut disable = location(view);
    disable.insert("remainingEnabledServerGroups".to_owned(), json!(1));
    disable.insert("preferLargerOverNewer".to_owned(), json!(false));
    stages.push(NewStage {
        kind: "disableCluster".to_owned(),
        name: "disableCluster".to_owned(),
        context: disable,
    });
    if flag(context, "scaleDown") == Some(true) {
        stages.extend(pause(
            context,
            "delayBeforeScaleDown",
            "wait before scaling down",
        ));
        let mut down = location(view);
        down.insert("allowScaleDownActive".to_owned(), json!(false));
        down.insert("remainingFullSizeServerGroups".to_owned(), json!(1));
        stages.push(NewStage {
            kind: "scaleDownCluster".to_owned(),
            name: "scaleDownCluster".to_owned(),
            context: down,
        });
    }
    stages
}

fn pause(context: &Context, key: &str, name: &str) -> Option<NewStage> {
    let seconds = context
        .get(key)
        .and_then(Value::as_u64)
        .filter(|s| *s > 0)?;
    let context = Context::from_iter([("waitTime".to_owned(), json!(seconds))]);
    Some(NewStage {
        kind: "wait".to_owned(),
        name: name.to_owned(),
        context,
    })
}
