//! The main shapes of the API. Objects are open: unknown members are kept and shown.

use kork_model::Status;
use serde_json::{Map, Value, json};

/// A schema by the name that routes use: `X[]` is a list of X.
pub(super) fn reference(shape: &str) -> Value {
    match shape.strip_suffix("[]") {
        Some(item) => json!({"type": "array", "items": reference(item)}),
        None => match shape {
            "Text" => json!({"type": "string"}),
            "Object" => json!({"type": "object", "additionalProperties": true}),
            named => json!({"$ref": format!("#/components/schemas/{named}")}),
        },
    }
}

/// Every named schema.
pub(super) fn all() -> Value {
    let mut schemas = Map::new();
    for (name, text, required, members) in TABLE {
        let properties: Map<String, Value> = members
            .iter()
            .map(|(member, kind, text)| {
                let mut schema = member_schema(kind);
                if !text.is_empty() {
                    schema["description"] = json!(text);
                }
                ((*member).to_owned(), schema)
            })
            .collect();
        schemas.insert(
            (*name).to_owned(),
            json!({
                "type": "object",
                "description": text,
                "required": required,
                "properties": properties,
                "additionalProperties": true,
            }),
        );
    }
    let statuses = Status::ALL.map(Status::name);
    schemas.insert(
        "Status".to_owned(),
        json!({"type": "string", "enum": statuses}),
    );
    schemas.into()
}

fn member_schema(kind: &str) -> Value {
    match kind {
        "time" => json!({"type": "integer", "description": "ms since 1970-01-01T00:00:00Z"}),
        "int" => json!({"type": "integer"}),
        "bool" => json!({"type": "boolean"}),
        "any" => json!({"description": "any JSON value"}),
        "maybe" => json!({"type": ["string", "null"]}),
        other => reference(other),
    }
}

type Member = (&'static str, &'static str, &'static str);
type Schema = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [Member],
);

/// Name, what it is, required members, members with kind and meaning.
const TABLE: &[Schema] = &[
    (
        "Application",
        "The stored attributes of an application, flat.",
        &["name"],
        &[
            ("name", "Text", "lower case"),
            ("email", "Text", "owner"),
            ("description", "Text", ""),
            (
                "accounts",
                "Text",
                "accounts in which something runs, joined with commas",
            ),
            ("cloudProviders", "Text", "joined with commas"),
            ("createTs", "Text", "ms since the epoch, as text"),
            ("updateTs", "Text", "ms since the epoch, as text"),
            ("lastModifiedBy", "Text", ""),
            ("permissions", "Object", "READ, WRITE, EXECUTE -> groups"),
        ],
    ),
    (
        "ApplicationDetails",
        "One application.",
        &["name", "attributes", "clusters"],
        &[
            ("name", "Text", "lower case"),
            ("attributes", "Application", ""),
            ("clusters", "Object", "account -> clusters"),
        ],
    ),
    (
        "Pipeline",
        "The definition of a pipeline.",
        &["name", "application"],
        &[
            ("id", "Text", "given by the server when it is absent"),
            ("name", "Text", "unique in its application, any case"),
            ("application", "Text", ""),
            ("index", "int", "position in the list of the application"),
            ("disabled", "bool", "never starts"),
            ("limitConcurrent", "bool", "one execution at a time"),
            ("maxConcurrentExecutions", "int", "0 = no limit"),
            (
                "keepWaitingPipelines",
                "bool",
                "keep all that wait, not only the newest",
            ),
            (
                "stages",
                "Object[]",
                "refId, requisiteStageRefIds, type, name, and what the type needs",
            ),
            (
                "triggers",
                "Object[]",
                "type, enabled, and what the type needs",
            ),
            (
                "parameterConfig",
                "Object[]",
                "name, default, required, options",
            ),
            ("expectedArtifacts", "Object[]", ""),
            ("notifications", "Object[]", ""),
            ("updateTs", "Text", "ms since the epoch, as text"),
            ("lastModifiedBy", "Text", ""),
        ],
    ),
    (
        "Trigger",
        "What starts an execution. Also taken inside `{\"trigger\": {...}}`.",
        &[],
        &[
            ("type", "Text", "manual when absent"),
            ("user", "Text", ""),
            ("parameters", "Object", ""),
            ("artifacts", "Object[]", ""),
            ("dryRun", "bool", ""),
        ],
    ),
    (
        "Execution",
        "One run of a pipeline, or of the jobs of a task.",
        &["id", "type", "application", "status", "stages", "trigger"],
        &[
            ("id", "Text", "ULID"),
            ("type", "Text", "PIPELINE or ORCHESTRATION"),
            ("application", "Text", ""),
            ("name", "Text", ""),
            ("description", "Text", "tasks only"),
            ("pipelineConfigId", "Text", ""),
            ("status", "Status", ""),
            ("buildTime", "time", ""),
            ("startTime", "time", ""),
            ("endTime", "time", ""),
            ("canceled", "bool", ""),
            ("canceledBy", "Text", ""),
            ("cancellationReason", "Text", ""),
            ("limitConcurrent", "bool", ""),
            ("maxConcurrentExecutions", "int", ""),
            ("keepWaitingPipelines", "bool", ""),
            ("stages", "Stage[]", ""),
            ("trigger", "Trigger", ""),
            ("authentication", "Object", "user, allowedAccounts"),
            ("paused", "Object", ""),
            ("origin", "Text", ""),
            ("notifications", "Object[]", ""),
        ],
    ),
    (
        "Stage",
        "One stage of an execution.",
        &[
            "id", "refId", "type", "name", "status", "context", "outputs", "tasks",
        ],
        &[
            ("id", "Text", "ULID"),
            ("refId", "Text", ""),
            ("requisiteStageRefIds", "Text[]", ""),
            ("type", "Text", ""),
            ("name", "Text", ""),
            ("status", "Status", ""),
            ("startTime", "time", ""),
            ("endTime", "time", ""),
            ("context", "Object", ""),
            ("outputs", "Object", ""),
            ("tasks", "Step[]", ""),
            ("parentStageId", "Text", "synthetic stages only"),
            ("syntheticStageOwner", "Text", "STAGE_BEFORE or STAGE_AFTER"),
            ("lastModified", "Object", ""),
        ],
    ),
    (
        "Step",
        "One step inside a stage.",
        &["id", "name", "status"],
        &[
            ("id", "Text", ""),
            ("name", "Text", ""),
            ("implementingClass", "Text", ""),
            ("status", "Status", ""),
            ("startTime", "time", ""),
            ("endTime", "time", ""),
            ("taskExceptionDetails", "Object", ""),
        ],
    ),
    (
        "TaskRequest",
        "Jobs to run one after the other.",
        &["application", "description", "job"],
        &[
            ("application", "Text", ""),
            ("description", "Text", ""),
            ("job", "Object[]", "type, and what the type needs"),
        ],
    ),
    (
        "Task",
        "A task with the steps and the variables of all its stages.",
        &[
            "id",
            "application",
            "status",
            "steps",
            "variables",
            "execution",
        ],
        &[
            ("id", "Text", ""),
            ("name", "Text", "the description"),
            ("application", "Text", ""),
            ("status", "Status", ""),
            ("buildTime", "time", ""),
            ("startTime", "time", ""),
            ("endTime", "time", ""),
            ("steps", "Step[]", ""),
            ("variables", "Variable[]", ""),
            ("execution", "Execution", ""),
        ],
    ),
    (
        "Variable",
        "A named value.",
        &["key"],
        &[("key", "Text", ""), ("value", "any", "")],
    ),
    (
        "Ref",
        "Where the new thing can be read.",
        &["ref"],
        &[("ref", "Text", "/pipelines/<id> or /tasks/<id>")],
    ),
    (
        "EventRef",
        "Where the new execution can be read.",
        &["ref", "eventId"],
        &[("ref", "Text", "/pipelines/<id>"), ("eventId", "Text", "")],
    ),
    (
        "BulkSaveAnswer",
        "What became of each pipeline.",
        &["successful_pipelines_count", "failed_pipelines_count"],
        &[
            ("successful_pipelines_count", "int", ""),
            ("successful_pipelines", "Text[]", "names"),
            ("failed_pipelines_count", "int", ""),
            ("failed_pipelines", "Object[]", "with errorMsg"),
        ],
    ),
    (
        "Reorder",
        "New positions.",
        &["application", "idsToIndices"],
        &[
            ("application", "Text", ""),
            ("idsToIndices", "Object", "id -> position"),
        ],
    ),
    (
        "Expression",
        "An expression.",
        &["expression"],
        &[("expression", "Text", "")],
    ),
    (
        "Evaluation",
        "What an expression gives; `detail` says what failed.",
        &[],
        &[("result", "any", ""), ("detail", "Object", "")],
    ),
    (
        "Account",
        "An account that can be deployed to.",
        &["name", "type"],
        &[
            ("name", "Text", ""),
            ("type", "Text", ""),
            ("accountType", "Text", ""),
            ("environment", "Text", ""),
            ("cloudProvider", "Text", ""),
            ("authorized", "bool", ""),
            ("primaryAccount", "bool", ""),
            ("challengeDestructiveActions", "bool", ""),
            ("requiredGroupMembership", "Text[]", ""),
            ("permissions", "Object", ""),
        ],
    ),
    (
        "ServerGroup",
        "A version of a cluster with its instances.",
        &["name", "account", "region"],
        &[
            ("name", "Text", ""),
            ("account", "Text", ""),
            ("region", "Text", ""),
            ("cluster", "Text", ""),
            ("isDisabled", "bool", "gets no traffic"),
            ("createdTime", "time", ""),
            ("capacity", "Object", "min, max, desired"),
            ("instances", "Object[]", ""),
            ("instanceCounts", "Object", ""),
            ("moniker", "Object", ""),
        ],
    ),
    (
        "LoadBalancer",
        "A listener with its server groups.",
        &["name", "account"],
        &[
            ("name", "Text", ""),
            ("account", "Text", ""),
            ("region", "Text", ""),
            ("serverGroups", "Object[]", ""),
        ],
    ),
    (
        "LogLine",
        "One line of an instance's output.",
        &["instance", "line"],
        &[
            ("instance", "Text", ""),
            ("time", "any", ""),
            ("stream", "Text", ""),
            ("line", "Text", ""),
        ],
    ),
    (
        "Console",
        "Output of an instance.",
        &["output"],
        &[("output", "Object[]", "name, output")],
    ),
    (
        "ArtifactAccount",
        "An account that artifacts are fetched with.",
        &["name"],
        &[("name", "Text", ""), ("types", "Text[]", "")],
    ),
    (
        "PlanRequest",
        "An operation to think through.",
        &["kind"],
        &[
            ("kind", "Text", ""),
            ("application", "Text", ""),
            ("payload", "Object", ""),
        ],
    ),
    (
        "Plan",
        "What an operation would do.",
        &["steps"],
        &[
            ("steps", "Object[]", ""),
            ("problems", "any", "why it would be refused"),
        ],
    ),
    (
        "StageType",
        "A stage type.",
        &["type"],
        &[
            ("type", "Text", ""),
            ("aliases", "Text[]", ""),
            ("description", "Text", ""),
            ("parameters", "any", ""),
        ],
    ),
    (
        "Project",
        "Pipelines and clusters of several applications.",
        &["name"],
        &[
            ("id", "Text", ""),
            ("name", "Text", ""),
            ("email", "Text", ""),
            (
                "config",
                "Object",
                "applications, clusters, pipelineConfigs",
            ),
            ("createTs", "time", ""),
            ("updateTs", "time", ""),
        ],
    ),
    (
        "SearchPage",
        "One page of results.",
        &["results"],
        &[
            ("query", "Text", ""),
            ("totalMatches", "int", ""),
            ("pageNumber", "int", ""),
            ("pageSize", "int", ""),
            ("platform", "Text", ""),
            (
                "results",
                "Object[]",
                "type, name, application, account, region",
            ),
        ],
    ),
    (
        "WebhookTaken",
        "How a webhook was taken.",
        &["eventProcessed", "eventId"],
        &[
            ("eventProcessed", "bool", ""),
            ("eventId", "Text", ""),
            ("ignored", "maybe", "why nothing came of it"),
        ],
    ),
    (
        "User",
        "Who is calling.",
        &["username"],
        &[
            ("username", "Text", ""),
            ("email", "Text", ""),
            ("firstName", "maybe", ""),
            ("lastName", "maybe", ""),
            ("roles", "Text[]", ""),
            ("allowedAccounts", "Text[]", ""),
        ],
    ),
    (
        "Version",
        "The version.",
        &["version"],
        &[("version", "Text", "")],
    ),
    (
        "Health",
        "UP or DOWN.",
        &["status"],
        &[("status", "Text", "")],
    ),
    (
        "CronAnswer",
        "Whether an expression is good.",
        &["valid"],
        &[
            ("valid", "bool", ""),
            ("description", "Text", ""),
            ("message", "Text", "why not"),
        ],
    ),
    (
        "ErrorPage",
        "One error code.",
        &["code", "title"],
        &[
            ("code", "Text", ""),
            ("title", "Text", ""),
            ("page", "Text", "its address"),
        ],
    ),
    (
        "Problem",
        "An error (RFC 9457), with the members that Spinnaker's clients read.",
        &[
            "type",
            "title",
            "status",
            "detail",
            "code",
            "trace_id",
            "message",
            "error",
            "timestamp",
        ],
        &[
            ("type", "Text", "the page of the code"),
            ("title", "Text", ""),
            ("status", "int", ""),
            ("detail", "Text", "what happened"),
            ("instance", "Text", "the path"),
            ("code", "Text", "such as GATE-0006"),
            ("trace_id", "Text", "names the request in the logs"),
            ("errors", "Object[]", "pointer, detail: each wrong field"),
            ("causes", "Text[]", "outermost first"),
            ("data", "any", "further facts"),
            ("message", "Text", "detail with its causes"),
            ("error", "Text", "the name of the status"),
            (
                "exception",
                "Text",
                "the class that Spinnaker's clients know",
            ),
            ("timestamp", "Text", "ISO 8601"),
        ],
    ),
];
