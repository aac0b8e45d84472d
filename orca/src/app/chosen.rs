//! A pipeline that a person starts with a build of their choice: igor is asked what the build is.

use std::time::Duration;

use kork::rpc;
use kork_model::{
    Context, InboundEvent, Kind, Problem, api::igor::CompleteEvent, inbound::EventKind,
};
use serde_json::{Value, json};

use super::{Error, Shell, start::boxed};

/// How long the CI server may take: whoever asks for the start waits ten seconds, and must hear when it failed.
const ANSWER_MAX: Duration = Duration::from_secs(6);

/// The build that a trigger names.
#[derive(Debug, PartialEq)]
struct Chosen<'a> {
    master: &'a str,
    job: &'a str,
    number: u64,
    /// Of the trigger itself, else of the stored one for the same job.
    property_file: Option<&'a str>,
}

impl Shell {
    /// The trigger with `buildInfo`, `properties` and the artifacts of the build that it names by `master`, `job` and
    /// `buildNumber`; as it is when it names none, or brings its `buildInfo` along, as that of an earlier run does.
    pub(crate) async fn with_build(
        &self,
        pipeline: &Context,
        trigger: Context,
    ) -> Result<Context, Error> {
        let Some(chosen) = chosen(pipeline, &trigger) else {
            return Ok(trigger);
        };
        let complete = CompleteEvent {
            event: self.event_of(&chosen),
            property_files: chosen
                .property_file
                .map(str::to_owned)
                .into_iter()
                .collect(),
        };
        let found = rpc::call_within(&*self.ports.rpc, &complete, ANSWER_MAX).await;
        let Some(build) = found.map_err(boxed)? else {
            let Chosen {
                master,
                job,
                number,
                ..
            } = chosen;
            let text =
                format!("there is no build {number} of {job} on {master}; choose another one");
            return Err(boxed(Problem::new("ORCA-0010", Kind::Invalid, text)));
        };
        let file = chosen.property_file.map(str::to_owned);
        Ok(with(trigger, build, file.as_deref()))
    }

    fn event_of(&self, chosen: &Chosen<'_>) -> InboundEvent {
        let Chosen {
            master,
            job,
            number,
            ..
        } = chosen;
        InboundEvent {
            id: format!("chosen:{master}:{job}:{number}"),
            kind: EventKind::Build,
            source: (*master).to_owned(),
            job: Some((*job).to_owned()),
            build_number: Some(*number),
            received: self.ports.clock.now(),
            trigger: Context::from_iter([("master".to_owned(), json!(master))]),
            incomplete: true,
            ..InboundEvent::default()
        }
    }
}

fn chosen<'a>(pipeline: &'a Context, trigger: &'a Context) -> Option<Chosen<'a>> {
    let (kind, master, job) = place(trigger)?;
    if !orca_triggers::is_of_builds(kind)
        || trigger.get("buildInfo").is_some_and(|info| !info.is_null())
    {
        return None;
    }
    let number = match trigger.get("buildNumber")? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let own = file(trigger);
    let stored = || {
        let triggers = pipeline.get("triggers")?.as_array()?.iter();
        let mut same = triggers
            .filter_map(Value::as_object)
            .filter(|stored| place(stored) == Some((kind, master, job)));
        same.find_map(file)
    };
    Some(Chosen {
        master,
        job,
        number,
        property_file: own.or_else(stored),
    })
}

/// Type, controller and job of a trigger.
fn place(trigger: &Context) -> Option<(&str, &str, &str)> {
    let text = |key| {
        trigger
            .get(key)
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty())
    };
    Some((text("type")?, text("master")?, text("job")?))
}

fn file(trigger: &Context) -> Option<&str> {
    let file = trigger.get("propertyFile").and_then(Value::as_str);
    file.filter(|file| !file.trim().is_empty())
}

/// A trigger as an event of the build would have made it. What the person gave stays.
fn with(mut trigger: Context, mut build: InboundEvent, file: Option<&str>) -> Context {
    if let Some(info) = build.trigger.remove("buildInfo") {
        trigger.insert("buildInfo".to_owned(), info);
    }
    let files = build.trigger.get_mut("propertyFiles");
    let files = files.and_then(Value::as_object_mut);
    if let Some(properties) = files.and_then(|files| files.remove(file?)) {
        trigger.insert("properties".to_owned(), properties);
    }
    if let Some(url) = build.url {
        trigger.entry("link").or_insert_with(|| json!(url));
    }
    let given = trigger.entry("artifacts").or_insert_with(|| json!([]));
    if given.is_null() {
        *given = json!([]);
    }
    if let Value::Array(given) = given {
        given.append(&mut build.artifacts);
    }
    trigger
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(value: &Value) -> Context {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_build_is_chosen_by_controller_job_and_number() {
        let stored = context(&json!({"triggers": [
            {"type": "git"},
            {"type": "jenkins", "master": "ci", "job": "other", "propertyFile": "no"},
            {"type": "jenkins", "master": "ci", "job": "a/job/b", "propertyFile": "build.json"}]}));
        let own = json!({"type": "jenkins", "master": "ci", "job": "a/job/b", "buildNumber": "87"});
        let with = |more: Value| {
            let mut own = context(&own);
            own.extend(context(&more));
            own
        };
        let plain = context(&own);
        let found = chosen(&stored, &plain).unwrap();
        assert_eq!(
            (found.number, found.property_file),
            (87, Some("build.json"))
        );
        let named = with(json!({"buildNumber": 7, "propertyFile": "mine"}));
        let found = chosen(&stored, &named).unwrap();
        assert_eq!((found.number, found.property_file), (7, Some("mine")));
        for other in [
            json!({"type": "manual"}),
            json!({"master": null}),
            json!({"job": ""}),
            json!({"buildNumber": "lastBuild"}),
            json!({"buildNumber": -1}),
            json!({"buildInfo": {"number": 87}}),
        ] {
            assert_eq!(chosen(&stored, &with(other.clone())), None, "{other}");
        }
        assert_eq!(chosen(&Context::new(), &plain).unwrap().property_file, None);
    }

    #[test]
    fn what_the_build_is_comes_beside_what_the_person_gave() {
        let build = InboundEvent {
            url: Some("https://ci/87".to_owned()),
            trigger: context(
                &json!({"buildInfo": {"number": 87}, "propertyFiles": {"f": {"A": "1"}}}),
            ),
            artifacts: vec![json!({"name": "a.jar"})],
            ..InboundEvent::default()
        };
        let given = context(
            &json!({"job": "b", "artifacts": [{"name": "mine"}], "parameters": {"x": "y"}}),
        );
        let made = with(given, build.clone(), Some("f"));
        let expected = json!({"job": "b", "parameters": {"x": "y"}, "link": "https://ci/87",
            "artifacts": [{"name": "mine"}, {"name": "a.jar"}],
            "buildInfo": {"number": 87}, "properties": {"A": "1"}});
        assert_eq!(Value::Object(made), expected);
        let made = with(context(&json!({"artifacts": null})), build, None);
        assert_eq!(made.get("properties"), None);
        assert_eq!(made["artifacts"], json!([{"name": "a.jar"}]));
    }
}
