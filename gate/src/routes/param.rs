//! The query parameters of all routes, each declared once.

use crate::http::query::{Param, ParamKind};

macro_rules! params {
    ($($name:ident = $wire:literal, $kind:ident, $doc:literal;)*) => {
        $(pub(crate) const $name: Param = Param::new($wire, ParamKind::$kind, $doc);)*
    };
}

params! {
    ACCOUNT = "account", Text, "Only applications that run something in this account.";
    OWNER = "owner", Text, "Only applications with this e-mail address.";
    EXPAND = "expand", Flag, "With everything (true), or without contexts, outputs, steps and clusters (false).";
    LIMIT = "limit", Number, "At most so many; of executions: of each pipeline.";
    PAGE = "page", Number, "Which page of `limit` items, the first being 1.";
    STATUSES = "statuses", List, "Only these statuses; empty = all.";
    PIPELINE_NAME_FILTER = "pipelineNameFilter", Text, "Only pipelines whose name contains this, any case.";
    PIPELINE_LIMIT = "pipelineLimit", Number, "At most so many pipelines.";
    PIPELINE_CONFIG_IDS = "pipelineConfigIds", List, "Executions of these pipelines.";
    EXECUTION_IDS = "executionIds", List, "These executions; unknown ones are left out.";
    TRIGGER_TYPES = "triggerTypes", List, "Only executions with a trigger of these types; `*` = all.";
    PIPELINE_NAME = "pipelineName", Text, "Only executions of the pipeline with this name.";
    EVENT_ID = "eventId", Text, "Only executions that this event started.";
    TRIGGER = "trigger", Text, "Base64 of a JSON object that the trigger must contain; texts also match as regular expressions, or in another case.";
    TRIGGER_TIME_START = "triggerTimeStartBoundary", Time, "Built at or after, ms since the epoch.";
    TRIGGER_TIME_END = "triggerTimeEndBoundary", Time, "Built at or before, ms since the epoch.";
    START_INDEX = "startIndex", Number, "Leave out so many, 0 when absent.";
    SIZE = "size", Number, "At most so many, 10 when absent.";
    REVERSE = "reverse", Flag, "Oldest first.";
    REASON = "reason", Text, "Why; shown with the execution.";
    FORCE = "force", Flag, "Taken for compatibility; a cancel always ends an execution.";
    EXPRESSION = "expression", Text, "The expression, `${...}` included.";
    REQUISITE_STAGE_REF_IDS = "requisiteStageRefIds", List, "Evaluate as a stage behind these stages.";
    SPEL_VERSION = "spelVersion", Text, "Version of the evaluator; there is one.";
    EXECUTION_ID = "executionId", Text, "The execution to evaluate against; needed, and decides before the path.";
    STALE_CHECK = "staleCheck", Flag, "Refuse when the stored version is newer than the submitted one.";
    APPLICATION = "application", Text, "Only of this application.";
    EXECUTION = "execution", Text, "Only of this execution.";
    TYPES = "types", List, "Only events of these types; `orca:stage:*` for all that begin so.";
    AFTER = "after", Text, "Begin behind this cursor, as the header Last-Event-ID does.";
    SCOPES = "scopes", List, "Only templates of these scopes.";
    TAG = "tag", Text, "The version with this tag: latest, stable, unstable, experimental, test or canary.";
    DIGEST = "digest", Text, "The version with this digest.";
    SKIP_PLAN_DEPENDENTS = "skipPlanDependents", Flag, "Taken for compatibility; dependents are not planned.";
    IDS = "ids", List, "These tasks.";
    LINES = "lines", Number, "So many of the last lines.";
    PREVIOUS = "previous", Flag, "Of the run before the last restart.";
    PROVIDER = "provider", Text, "Taken for compatibility.";
    QUERY = "q", Text, "Text to look for; fewer than 3 characters find nothing unless allowShortQuery is true.";
    TYPE = "type", Text, "What to look for: applications, pipelines, serverGroups, loadBalancers, projects, instances, securityGroups.";
    PAGE_SIZE = "pageSize", Number, "At most so many, 100 when absent.";
    ALLOW_SHORT_QUERY = "allowShortQuery", Flag, "Look for fewer than 3 characters too.";
    INCLUDE_DETAILS = "includeDetails", Flag, "Taken for compatibility; details are always there.";
}
