//! CI servers, their jobs and builds, under Spinnaker's paths.

use kork_model::api::igor::{GetBuild, GetJob, ListBuildServices, ListJobs};
use serde_json::Value;

use crate::http::{
    answer::{Answer, Outcome},
    call::Call,
    query::{Param, ParamKind},
    refusal::Refusal,
    route::{Route, Verb, run},
};

const TAG: &str = "builds";

const JOB: Param = Param::new(
    "job",
    ParamKind::Text,
    "The whole name of the job, with its folders.",
);
const TYPE: Param = Param::new("type", ParamKind::Text, "Only CI servers of this type.");

pub(crate) const ROUTES: &[Route] = &[
    Route::new(Verb::Get, "/v2/builds", "buildMasters", run!(masters))
        .about(TAG, "Names of the CI servers.")
        .query(&[&TYPE])
        .json("Text[]"),
    Route::new(Verb::Get, "/v3/builds", "buildMastersV3", run!(masters))
        .about(TAG, "Names of the CI servers.")
        .query(&[&TYPE])
        .json("Text[]"),
    Route::new(
        Verb::Get,
        "/v2/builds/{master}/jobs",
        "buildJobs",
        run!(jobs),
    )
    .about(TAG, "Whole names of the jobs of a CI server.")
    .json("Text[]"),
    Route::new(
        Verb::Get,
        "/v3/builds/{master}/jobs",
        "buildJobsV3",
        run!(jobs),
    )
    .about(TAG, "Whole names of the jobs of a CI server.")
    .json("Text[]"),
    Route::new(
        Verb::Get,
        "/v2/builds/{master}/jobs/{job}",
        "buildJob",
        run!(job),
    )
    .about(TAG, "A job with the definitions of its parameters.")
    .json("Object"),
    Route::new(
        Verb::Get,
        "/v3/builds/{master}/job",
        "buildJobV3",
        run!(job),
    )
    .about(TAG, "A job with the definitions of its parameters.")
    .query(&[&JOB])
    .json("Object"),
    Route::new(
        Verb::Get,
        "/v2/builds/{master}/build/{number}/{job}",
        "build",
        run!(build),
    )
    .about(TAG, "One build.")
    .json("Object"),
    Route::new(
        Verb::Get,
        "/v3/builds/{master}/build/{number}",
        "buildV3",
        run!(build),
    )
    .about(TAG, "One build.")
    .query(&[&JOB])
    .json("Object"),
];

async fn masters(call: Call) -> Outcome {
    let wanted = call.query.text(&TYPE).map(str::to_owned);
    let services = call.ask(&ListBuildServices {}).await?;
    let is_wanted = |service: &kork_model::Context| {
        let kind = service.get("buildServiceProvider").and_then(Value::as_str);
        wanted
            .as_deref()
            .is_none_or(|wanted| kind.is_some_and(|kind| kind.eq_ignore_ascii_case(wanted)))
    };
    let names = services.iter().filter(|s| is_wanted(s));
    let names: Vec<&Value> = names.filter_map(|service| service.get("name")).collect();
    Answer::json(&names)
}

async fn jobs(call: Call) -> Outcome {
    let master = call.part("master");
    Answer::json(&call.ask(&ListJobs { master }).await?)
}

async fn job(call: Call) -> Outcome {
    let request = GetJob {
        master: call.part("master"),
        job: job_of(&call)?,
    };
    Answer::json(&call.ask(&request).await?)
}

async fn build(call: Call) -> Outcome {
    let number = call.part("number");
    let number = number.parse().map_err(|_| {
        let detail = format!("{number:?} is not the number of a build");
        Refusal::invalid("GATE-0008", detail)
    })?;
    let request = GetBuild {
        master: call.part("master"),
        job: job_of(&call)?,
        number,
    };
    Answer::json(&call.ask(&request).await?)
}

/// In the path, or in the query where a job has folders.
fn job_of(call: &Call) -> Result<String, Refusal> {
    match call.part("job") {
        job if job.is_empty() => call.query.required(&JOB).map(str::to_owned),
        job => Ok(job),
    }
}
