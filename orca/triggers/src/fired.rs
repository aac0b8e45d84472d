//! What a trigger that matched starts: the outgoing trigger as Spinnaker shapes it.

use std::sync::Arc;

use kork_model::{Context, inbound::EventKind};
use serde_json::{Value, json};

use crate::{
    member,
    seen::Seen,
    trigger::{Pipeline, Trigger, Wants},
};

/// Who starts an execution when the trigger names nobody. The person that an event names is never
/// taken: anybody could write any name there.
pub const ANONYMOUS: &str = "anonymous";

/// One pipeline to start.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// Id of the pipeline.
    pub pipeline: Arc<str>,
    pub application: Arc<str>,
    /// Name of the pipeline, for messages.
    pub name: Box<str>,
    /// Which of the pipeline's triggers it was, counted from 0.
    pub index: usize,
    /// Whether the pipeline wants to be left alone in a quiet period.
    pub respects_quiet_period: bool,
    /// The trigger's own members with what the event brings: `eventId`, `parameters`, `payload`,
    /// `artifacts`, `buildInfo`, `hash`, `branch`, `tag`, ... Secrets are left out.
    pub trigger: Context,
    /// `runAsUser`, else [`ANONYMOUS`]; of a finished pipeline who started that one.
    pub user: String,
    /// The same whenever the event is told again: one execution per event and pipeline.
    pub execution_key: String,
}

/// Members that only the trigger itself can have.
const OWN: [&str; 11] = [
    "type",
    "enabled",
    "id",
    "user",
    "runAsUser",
    "expectedArtifactIds",
    "payloadConstraints",
    "attributeConstraints",
    "parentExecution",
    "dryRun",
    "strategy",
];
/// Members that no execution shows: secrets, and what was only there for matching.
const HIDDEN: [&str; 2] = ["secret", "propertyFiles"];

impl Fired {
    /// The start of a pipeline by one of its triggers. `more` stands over the trigger's own members.
    pub(crate) fn new(pipeline: &Pipeline, index: usize, event_id: &str, more: Context) -> Self {
        let trigger = &pipeline.triggers[index];
        let mut out = trigger.own();
        let inherited = member::text(&more, "user").unwrap_or(ANONYMOUS);
        let user = member::text(&out, "runAsUser")
            .unwrap_or(inherited)
            .to_owned();
        out.extend(more);
        out.insert("eventId".to_owned(), json!(event_id));
        out.insert("user".to_owned(), json!(user));
        out.retain(|key, _| !HIDDEN.contains(&key.as_str()));
        Self {
            pipeline: Arc::clone(&pipeline.id),
            application: Arc::clone(&pipeline.application),
            name: pipeline.name.clone(),
            index,
            respects_quiet_period: pipeline.quiet,
            trigger: out,
            user,
            execution_key: format!("{event_id}\n{}", pipeline.id),
        }
    }

    /// The start of a pipeline by an event.
    pub(crate) fn by_event(pipeline: &Pipeline, index: usize, seen: &Seen<'_>) -> Self {
        let event = seen.event;
        let trigger = &pipeline.triggers[index];
        let mut more = event.trigger.clone();
        more.retain(|key, _| !OWN.contains(&key.as_str()));
        more.insert(
            "parameters".to_owned(),
            Value::Object(parameters(trigger, seen)),
        );
        more.insert("artifacts".to_owned(), json!(seen.artifacts));
        let has_body = matches!(
            event.kind,
            EventKind::Webhook | EventKind::Pubsub | EventKind::Cdevents
        );
        if has_body || !event.payload.is_empty() {
            more.insert("payload".to_owned(), Value::Object(event.payload.clone()));
        }
        if let Some(url) = &event.url {
            more.entry("link").or_insert_with(|| json!(url));
        }
        by_type(&mut more, trigger, seen);
        Self::new(pipeline, index, &event.id, more)
    }
}

/// The trigger's own parameters, and over them those of the event.
fn parameters(trigger: &Trigger, seen: &Seen<'_>) -> Context {
    let own = trigger.own();
    let in_payload = seen.event.payload.get("parameters");
    let lists = [own.get("parameters"), in_payload];
    let mut all = Context::new();
    for list in lists.into_iter().flatten().filter_map(Value::as_object) {
        all.extend(list.clone());
    }
    all.extend(seen.event.parameters.clone());
    all
}

/// What Spinnaker's triggers of a type always have.
fn by_type(out: &mut Context, trigger: &Trigger, seen: &Seen<'_>) {
    let event = seen.event;
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(key.to_owned(), value);
        }
    };
    match &trigger.wants {
        Wants::Build(build) => {
            let number = event.build_number;
            set("buildNumber", number.map(Value::from));
            if !event.trigger.contains_key("buildInfo") {
                let info = json!({"building": false, "name": seen.job, "number": number, "result": event.result, "url": event.url});
                set("buildInfo", Some(info));
            }
            let files = event.trigger.get("propertyFiles");
            let own = build.file.as_deref().and_then(|file| files?.get(file));
            set("properties", own.cloned());
            // the trigger's own are the words that the pipeline's owner knows
            out.remove("master");
            out.remove("job");
        }
        Wants::Git(_) => {
            set("hash", event.commit.as_deref().map(Value::from));
            set("branch", seen.branch.as_deref().map(Value::from));
            set("action", event.action.as_deref().map(Value::from));
            set("tag", event.tag.as_deref().map(Value::from));
            for own in ["source", "project", "slug"] {
                out.remove(own);
            }
        }
        Wants::Docker(_) => {
            set("tag", event.tag.as_deref().map(Value::from));
            set("digest", event.digest.as_deref().map(Value::from));
            out.remove("repository");
        }
        Wants::Helm(_) => {
            let version = seen.said("version").or(seen.tag());
            set("version", version.map(Value::from));
            set("digest", event.digest.as_deref().map(Value::from));
            let name = seen.said("chart").or(seen.images.first().copied());
            set("artifactName", name.map(Value::from));
            out.remove("repository");
        }
        Wants::Message(_)
        | Wants::Search { .. }
        | Wants::Plugin { .. }
        | Wants::Pipeline { .. }
        | Wants::Cron { .. }
        | Wants::Nothing => {
            out.remove("source");
        }
    }
}
