//! Lists and evaluations: what is asked about executions without changing them.

use std::{collections::BTreeMap, pin::pin, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use kork_model::{
    Context, Execution, ExecutionId, ExecutionType, Kind, Problem, Shown, Stage, Status,
    api::orca::{ExecutionFilter, ListExecutions},
};
use orca_engine::{expression, scope_root};
use serde_json::Value;

use super::{
    Error, Shell,
    index::{self, Candidate, Part, Walk},
};

/// Executions that one answer may hold.
const LIST_MAX: usize = 1_000;
/// Pipelines whose newest executions are looked up at the same time.
const PIPELINES_AT_ONCE: usize = 16;
/// Executions that are read at the same time for one answer.
const READS_AT_ONCE: usize = 16;
/// Candidates beyond those that are asked for: a row may be older than its execution.
const SPARE: usize = 16;
/// Bytes that one answer may hold; a single execution may have more.
const LIST_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Memory that one pattern of a search may take when it is compiled.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

impl Shell {
    /// Executions that match, newest first: all that were asked for, or a refusal that tells the
    /// caller to ask for fewer at a time.
    pub(crate) async fn list(
        self: &Arc<Self>,
        query: &ListExecutions,
    ) -> Result<Vec<Shown>, Error> {
        let statuses = statuses(&query.filter)?;
        let ids = self.candidates(query, &statuses).await?;
        let mut skipped = passed(query);
        let mut found = Found::default();
        let wanted = query.limit.map_or(usize::MAX, |n| n as usize);
        let named = !query.filter.execution_ids.is_empty();
        let read = |candidate: Candidate| async move {
            // A deleted one is in no index, but may be named.
            let loaded = if named {
                self.current(&candidate.id).await
            } else {
                self.seen(&candidate.id).await
            };
            (candidate, loaded)
        };
        let mut read = pin!(stream::iter(ids).map(read).buffered(READS_AT_ONCE));
        while found.executions.len() < wanted
            && let Some((Candidate { id, status, .. }, loaded)) = read.next().await
        {
            let loaded = match loaded {
                Ok(loaded) => loaded,
                // It may be there the next moment: without it the answer would be wrong.
                Err(error) if error.is_passing() => return Err(error),
                Err(_) => continue,
            };
            let execution = &loaded.state.execution;
            // A server that was held may carry out late what was put again since.
            if status.is_some_and(|s| s.is_complete() != execution.status.is_complete()) {
                self.behind.note(&id);
            }
            if !matches(execution, &query.filter, &statuses) {
                continue;
            }
            if skipped < query.offset {
                skipped += 1;
                continue;
            }
            let shown = if query.expand {
                loaded.shown()
            } else {
                Shown::of(&slim(execution))
            };
            found.add(shown.map_err(|source| Error::Unreadable {
                id: id.to_string(),
                source,
            })?)?;
        }
        Ok(found.executions)
    }

    /// Executions that may match, newest first. What a cache says that is emptied meanwhile does not count.
    pub(crate) async fn candidates(
        self: &Arc<Self>,
        query: &ListExecutions,
        statuses: &[Status],
    ) -> Result<Vec<Candidate>, Error> {
        let named = &query.filter.execution_ids;
        if !named.is_empty() {
            let named = named.iter().map(|id| Candidate {
                id: id.as_str().into(),
                status: None,
                built: 0,
            });
            return Ok(named.collect());
        }
        for _ in 0..index::BUILDS_MAX {
            let build = self.index_to_read().await?;
            let found = self.candidates_now(query, statuses).await?;
            if self.was_whole(&build).await? {
                return Ok(found);
            }
        }
        Err(index::emptied())
    }

    async fn candidates_now(
        &self,
        query: &ListExecutions,
        statuses: &[Status],
    ) -> Result<Vec<Candidate>, Error> {
        let filter = &query.filter;
        let lets = |row: &index::Row| statuses.is_empty() || statuses.contains(&row.status);
        let only_open = !statuses.is_empty() && !statuses.iter().any(|s| s.is_complete());
        let part = if only_open { Part::Open } else { Part::All };
        let per_config = query.limit_per_config.map(|n| n as usize);
        let most = match query.limit {
            Some(limit) if rows_decide(filter) => {
                (query.offset - passed(query)) as usize + limit as usize + SPARE
            }
            _ => LIST_MAX,
        };
        if !filter.pipeline_config_ids.is_empty() {
            let mut all = Vec::new();
            for config in &filter.pipeline_config_ids {
                let index = index::by_config(config);
                all.extend(
                    self.newest(Walk::of(&index, part), per_config.unwrap_or(most), lets)
                        .await?,
                );
            }
            newest_first(&mut all);
            return Ok(all);
        }
        let kind = if query.orchestrations {
            ExecutionType::Orchestration
        } else {
            ExecutionType::Pipeline
        };
        let index = match filter.application.as_deref() {
            Some("*") | None if query.orchestrations => "orca.tasks".to_owned(),
            Some("*") | None => "orca.pipelines".to_owned(),
            Some(application) => index::by_application(kind, application),
        };
        let named = filter.application.as_deref().filter(|name| *name != "*");
        match per_config.filter(|_| !query.orchestrations) {
            Some(most) if let Some(application) = named => {
                self.of_each_pipeline(application, part, most, lets).await
            }
            None => {
                let walk = Walk::of(&index, part).behind(passed(query) as usize);
                self.newest(walk, most, lets).await
            }
            Some(most) => {
                let counted = std::sync::Mutex::new(BTreeMap::<Option<String>, usize>::new());
                let lets_few = |row: &index::Row| {
                    let mut counted = counted
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    let seen = counted.entry(row.config.clone()).or_default();
                    let takes = lets(row) && *seen < most;
                    *seen += usize::from(takes);
                    takes
                };
                self.newest(Walk::of(&index, part), LIST_MAX, lets_few)
                    .await
            }
        }
    }

    /// The newest of each pipeline of an application, newest first.
    async fn of_each_pipeline(
        &self,
        application: &str,
        part: Part,
        most: usize,
        lets: impl Fn(&index::Row) -> bool,
    ) -> Result<Vec<Candidate>, Error> {
        let pipelines = index::pipelines_of(application);
        let pipelines = self.members(&pipelines, 0, LIST_MAX).await?;
        // A pipeline that was moved has executions of another application too.
        let of_application = |row: &index::Row| {
            row.application.to_lowercase() == application.to_lowercase() && lets(row)
        };
        let lets = &of_application;
        let newest = pipelines.into_iter().map(|config| async move {
            let index = match config.as_str() {
                index::NO_CONFIG => index::without_config(application),
                config => index::by_config(config),
            };
            self.newest(Walk::of(&index, part), most, lets).await
        });
        let newest: Vec<Vec<Candidate>> = stream::iter(newest)
            .buffered(PIPELINES_AT_ONCE)
            .try_collect()
            .await?;
        let mut all = newest.concat();
        newest_first(&mut all);
        all.truncate(LIST_MAX);
        Ok(all)
    }

    /// Evaluates one text against an execution, and a stage of it.
    pub(crate) async fn evaluate(
        self: &Arc<Self>,
        id: &ExecutionId,
        stage: Option<&str>,
        value: &Value,
    ) -> Result<Context, Error> {
        let state = self.state(id).await?;
        let stage = match stage {
            None => None,
            Some(id) => Some(find_stage(&state.execution, id)?),
        };
        Ok(evaluate_in(
            self.ports.clock.now(),
            &state.execution,
            stage,
            value,
        ))
    }

    /// Evaluates `{key, value}` pairs as a stage behind the given ones would see them.
    pub(crate) async fn evaluate_variables(
        self: &Arc<Self>,
        id: &ExecutionId,
        behind: &[String],
        variables: &[Context],
    ) -> Result<Context, Error> {
        let state = self.state(id).await?;
        let mut execution = state.execution.clone();
        let stage = Stage {
            id: "evaluateVariables".into(),
            ref_id: "evaluateVariables".to_owned(),
            requisite_stage_ref_ids: behind.to_vec(),
            ..Stage::default()
        };
        execution.stages.push(stage.clone());
        let mut result = Vec::new();
        let mut detail = Context::new();
        for variable in variables {
            let mut shown = variable.clone();
            let value = variable.get("value").cloned().unwrap_or_default();
            let now = self.ports.clock.now();
            let mut one = evaluate_in(now, &execution, Some(&stage), &value);
            shown.insert("value".to_owned(), one.remove("result").unwrap_or_default());
            result.push(Value::Object(shown));
            if let Some(Value::Object(failed)) = one.remove("detail") {
                detail.extend(failed);
            }
        }
        let mut answer = Context::from_iter([("result".to_owned(), Value::Array(result))]);
        if !detail.is_empty() {
            answer.insert("detail".to_owned(), Value::Object(detail));
        }
        Ok(answer)
    }
}

fn newest_first(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| (b.built, &b.id).cmp(&(a.built, &a.id)));
}

/// An answer that grows. What does not fit is refused, never left out without a word.
#[derive(Default)]
struct Found {
    executions: Vec<Shown>,
    bytes: usize,
}

impl Found {
    fn add(&mut self, shown: Shown) -> Result<(), Error> {
        let size = shown.text().len();
        let is_first = self.executions.is_empty();
        let fits = self.executions.len() < LIST_MAX && self.bytes + size <= LIST_BYTES_MAX;
        if !fits && !is_first {
            let text = format!(
                "one answer holds {LIST_MAX} executions and {LIST_BYTES_MAX} bytes; ask for fewer at \
                 a time, with limit and offset"
            );
            let problem = Problem::new("ORCA-0006", Kind::TooLarge, text);
            return Err(Error::Problem(Box::new(problem)));
        }
        self.bytes += size;
        self.executions.push(shown);
        Ok(())
    }
}

fn evaluate_in(
    now: kork_model::Timestamp,
    execution: &Execution,
    stage: Option<&Stage>,
    value: &Value,
) -> Context {
    let root = stage.map_or_else(Context::new, |stage| scope_root(execution, stage));
    let scope = expression::Scope {
        execution,
        stage,
        root: &root,
        pipelines: &[],
        now,
        allow_unknown_keys: true,
    };
    let (result, summary) = expression::process(value, &scope);
    let mut answer = Context::from_iter([("result".to_owned(), result)]);
    if !summary.is_empty() {
        answer.insert("detail".to_owned(), summary.to_json());
    }
    answer
}

fn find_stage<'a>(execution: &'a Execution, id: &str) -> Result<&'a Stage, Error> {
    execution
        .stages
        .iter()
        .find(|s| s.id.as_str() == id)
        .ok_or_else(|| {
            let execution = execution.id.to_string();
            Error::Rejected(orca_engine::Rejection::UnknownStage {
                execution,
                stage: id.to_owned(),
            })
        })
}

fn statuses(filter: &ExecutionFilter) -> Result<Vec<Status>, Error> {
    let read = |name: &String| {
        Status::parse(name).ok_or_else(|| {
            let known: Vec<&str> = Status::ALL.into_iter().map(Status::name).collect();
            let text = format!("there is no status {name}; known are {}", known.join(", "));
            let problem = Problem::new("ORCA-0015", Kind::Invalid, text);
            Error::Problem(Box::new(
                problem.field("/statuses", format!("unknown status {name}")),
            ))
        })
    };
    filter
        .statuses
        .iter()
        .filter(|name| !name.is_empty())
        .map(read)
        .collect()
}

/// Every execution of the index that is read is one that is asked for.
fn is_whole(filter: &ExecutionFilter) -> bool {
    let named = !filter.execution_ids.is_empty() || !filter.pipeline_config_ids.is_empty();
    rows_decide(filter) && filter.statuses.is_empty() && !named
}

/// Executions that the index passes over: nothing of them has to be looked at.
fn passed(query: &ListExecutions) -> u32 {
    if is_whole(&query.filter) && query.limit_per_config.is_none() {
        query.offset
    } else {
        0
    }
}

/// Nothing is asked for that a row does not know.
fn rows_decide(filter: &ExecutionFilter) -> bool {
    filter.pipeline_name_filter.is_none()
        && filter.pipeline_name.is_none()
        && filter.event_id.is_none()
        && filter.trigger_types.is_empty()
        && filter.trigger_time_start.is_none()
        && filter.trigger_time_end.is_none()
        && filter.trigger.is_none()
}

fn matches(execution: &Execution, filter: &ExecutionFilter, statuses: &[Status]) -> bool {
    let trigger = &execution.trigger;
    let text = |key: &str| trigger.get(key).and_then(Value::as_str);
    let contains = |whole: &Option<String>, part: &String| {
        let whole = whole.as_deref().unwrap_or_default().to_lowercase();
        whole.contains(&part.to_lowercase())
    };
    (statuses.is_empty() || statuses.contains(&execution.status))
        && filter
            .pipeline_name_filter
            .as_ref()
            .is_none_or(|part| contains(&execution.name, part))
        && filter
            .pipeline_name
            .as_ref()
            .is_none_or(|name| execution.name.as_ref() == Some(name))
        && filter
            .event_id
            .as_ref()
            .is_none_or(|id| text("eventId") == Some(id))
        && (filter.trigger_types.is_empty()
            || text("type").is_some_and(|t| filter.trigger_types.iter().any(|f| f == t)))
        && filter
            .trigger_time_start
            .is_none_or(|from| execution.build_time >= Some(from))
        && filter
            .trigger_time_end
            .is_none_or(|to| execution.build_time <= Some(to))
        && filter
            .trigger
            .as_ref()
            .is_none_or(|wanted| holds(&Value::Object(trigger.clone()), wanted))
}

/// `wanted` is a subset of `actual`, as Spinnaker's search compares triggers: texts are equal in any
/// case or match as a regular expression, and no element of a list counts for two wanted ones. A
/// wanted null is there when the member is not.
fn holds(actual: &Value, wanted: &Value) -> bool {
    match (actual, wanted) {
        (Value::Object(actual), Value::Object(wanted)) => wanted
            .iter()
            .all(|(k, w)| holds(actual.get(k).unwrap_or(&Value::Null), w)),
        (Value::Array(actual), Value::Array(wanted)) => holds_each(actual, wanted),
        (Value::String(actual), Value::String(wanted)) => {
            actual.to_lowercase() == wanted.to_lowercase() || matches_whole(actual, wanted)
        }
        (actual, wanted) => actual == wanted,
    }
}

/// Whether each wanted element has one of its own in `actual`: an augmenting path per wanted one,
/// so that a loose pattern does not take the element that a strict one needs.
fn holds_each(actual: &[Value], wanted: &[Value]) -> bool {
    fn find(
        place: usize,
        fits: &dyn Fn(usize, usize) -> bool,
        taken: &mut [Option<usize>],
        seen: &mut [bool],
    ) -> bool {
        for at in 0..taken.len() {
            if seen[at] || !fits(at, place) {
                continue;
            }
            seen[at] = true;
            let holder = taken[at];
            if holder.is_none_or(|other| find(other, fits, taken, seen)) {
                taken[at] = Some(place);
                return true;
            }
        }
        false
    }
    let fits = |at: usize, place: usize| holds(&actual[at], &wanted[place]);
    let mut taken = vec![None; actual.len()];
    wanted.len() <= actual.len()
        && (0..wanted.len()).all(|place| {
            let mut seen = vec![false; actual.len()];
            find(place, &fits, &mut taken, &mut seen)
        })
}

/// What is no regular expression matches nothing.
fn matches_whole(text: &str, pattern: &str) -> bool {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .is_ok_and(|pattern| pattern.is_match(text))
}

/// An execution without what makes it large. The pipelines that started it lose their stages.
fn slim(execution: &Execution) -> Execution {
    let mut slim = execution.clone();
    for stage in &mut slim.stages {
        let group = stage.context.get("group").cloned();
        stage.context = group.map(|g| ("group".to_owned(), g)).into_iter().collect();
        stage.outputs.clear();
        stage.tasks.clear();
    }
    let mut parent = slim.trigger.get_mut("parentExecution");
    while let Some(Value::Object(execution)) = parent {
        if let Some(stages) = execution.get_mut("stages") {
            *stages = Value::Array(Vec::new());
        }
        parent = execution
            .get_mut("trigger")
            .and_then(|trigger| trigger.get_mut("parentExecution"));
    }
    slim
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn triggers_are_compared_as_in_spinnaker() {
        let trigger = json!({
            "type": "Manual", "user": "bob", "n": 1, "on": true,
            "artifacts": [{"name": "a", "version": "1"}, {"name": "a"}],
        });
        for wanted in [
            json!({}),
            json!({"type": "manual"}),
            json!({"user": "b.*"}),
            json!({"n": 1, "on": true}),
            json!({"nothing": null}),
            json!({"artifacts": []}),
            json!({"artifacts": [{"name": "a"}, {"name": "a", "version": "1"}]}),
        ] {
            assert!(holds(&trigger, &wanted), "{wanted}");
        }
        for wanted in [
            json!({"user": "o"}),
            json!({"user": "("}),
            json!({"user": null}),
            json!({"n": "1"}),
            json!({"nothing": "x"}),
            json!({"artifacts": [{"name": "a"}, {"name": "a"}, {"name": "a"}]}),
            json!({"artifacts": [{"version": "1"}, {"version": "1"}]}),
        ] {
            assert!(!holds(&trigger, &wanted), "{wanted}");
        }
    }

    #[test]
    fn an_answer_is_whole_or_refused() {
        let large = |bytes: usize| {
            let execution = Execution {
                name: Some("x".repeat(bytes)),
                ..Execution::default()
            };
            Shown::of(&execution).unwrap()
        };
        let mut found = Found::default();
        found.add(large(LIST_BYTES_MAX + 1)).unwrap();
        assert!(found.add(large(1)).is_err(), "no byte is left");
        let mut found = Found::default();
        for _ in 0..LIST_MAX {
            found.add(large(1)).unwrap();
        }
        let problem = found.add(large(1)).unwrap_err();
        assert!(matches!(problem, Error::Problem(p) if p.kind == Kind::TooLarge));
    }

    #[test]
    fn a_slim_execution_has_slim_parents() {
        let parent = |of| json!({"type": "pipeline", "parentExecution": {"id": "p", "stages": [1], "trigger": of}});
        let Value::Object(trigger) = parent(parent(json!({"type": "manual"}))) else {
            panic!("not an object")
        };
        let slim = Value::Object(
            slim(&Execution {
                trigger,
                ..Execution::default()
            })
            .trigger,
        );
        let of = "/parentExecution/trigger/parentExecution";
        assert_eq!(slim["parentExecution"]["stages"], json!([]));
        assert_eq!(slim.pointer(&format!("{of}/stages")), Some(&json!([])));
        assert_eq!(
            slim.pointer(&format!("{of}/trigger/type")),
            Some(&json!("manual"))
        );
    }
}
