//! Files of builds and of configuration, and names of jobs.

use igor_ci::{BuildArtifact, CiConfig, JobPath, PropertyFileError, git, properties};
use igor_inbound::Source;
use igor_watch::{git::GitRepository, registry::DockerRegistry};
use kork_model::Context;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{first_words, json_bytes, kind, seeds};
use crate::{
    Input, Outcome, Shape, Target,
    outcome::{bounded, must},
};

pub const TARGETS: &[Target] = &[
    Target::of_body(
        "properties-java",
        javas,
        "=\n:\n!\n#\n\\\\\n\\\\u00e9\n\\\\u00\n\\n\nkey\n ",
        |input| file(input, "a.properties"),
    ),
    Target::of_body("properties-json", jsons, "{\n}\na\nnull", |input| {
        file(input, "a.json")
    }),
    Target::of_body("properties-yaml", yamls, YAML_WORDS, |input| {
        file(input, "a.yml")
    }),
    Target::of_body(
        "properties-logged",
        logs,
        "SPINNAKER_PROPERTY_A=1\nSPINNAKER_CONFIG_JSON={\n\\n\n00O \nZ ",
        logged,
    ),
    Target::of_body(
        "job-path",
        || seeds::literals("igor/ci/src/path.rs"),
        "job\n/job/\n/\n%2F\n%252F\n..\n?",
        job_path,
    ),
    Target::of_body(
        "branch",
        || seeds::literals("igor/ci/src/git.rs"),
        "refs/heads/\norigin/\nrefs/remotes/",
        branch,
    ),
    Target::of_body("config-ci", configs, CONFIG_WORDS, config_ci),
    Target::of_body("config-watch", configs, CONFIG_WORDS, config_watch),
    Target::of_body("config-file", configs, CONFIG_WORDS, config_file),
];

/// Brackets of a configuration that is tried.
const BRACKETS_MAX: usize = 256;

const YAML_WORDS: &str = ": \n- \n? \n&a \n*a\n<<: *a\n!!binary \n!!float \n|\\n\n>\\n\n---\\n\n...\n{\n}\n[\n]\n~\n.inf\n0o7\n%YAML 1.1\\n\n  ";
const CONFIG_WORDS: &str = "controllers:\njenkins:\nmasters:\nname:\naddress:\nurl:\nkind:\ngitlab\ngithubActions\ngeneric\n\
    accounts:\npassword:\npasswordFile:\ntagPattern:\npollMs:\nbranches:\nhttp://h\nhttps://h/a/b.git\nlocalhost:5000\n\
    (a+)+$\nauthentication:\ntype: hmac\nstandardWebhooks\nallowHttp: true\n- \n{}\n30s\n1h";

fn javas() -> Vec<Input> {
    seeds::literals("igor/ci/src/properties/java.rs")
}

fn jsons() -> Vec<Input> {
    seeds::of_texts(&[r#"{"a": 1, "b": {"c": [true, null]}}"#, "[]", "{}"])
}

fn yamls() -> Vec<Input> {
    let plain = "a: 1\nb:\n  - x\n  - y: 2\nc: {d: e}\n";
    seeds::of_texts(&[
        plain,
        "x: &a {b: 1}\ny:\n  <<: *a\n  c: *a\n",
        "- 1\n",
        "a: !!binary aGk=\n? [b]\n: c\n",
        "a: |\n  x\n",
    ])
}

fn logs() -> Vec<Input> {
    let github = "2026-09-01T10:00:00.1234567Z SPINNAKER_PROPERTY_TAG=1.4.2\n";
    let gitlab = "2026-09-01T10:00:00.123Z 00O SPINNAKER_CONFIG_JSON={\"a\":1}\n";
    seeds::of_texts(&[
        "SPINNAKER_PROPERTY_A=1\nx\nSPINNAKER_PROPERTY_A=2\n",
        github,
        gitlab,
    ])
}

/// A property file, by the end of its name.
fn file(input: &Input, name: &str) -> Outcome {
    let artifacts = [BuildArtifact::new(name), BuildArtifact::new("b/c.txt")];
    Ok(match properties::parse(name, &input.body, &artifacts) {
        Ok(values) => values_of(&values, input.len())?,
        Err(error) => {
            let said = error.to_string();
            bounded("an error", said.len(), 4 * 1024 + 8 * input.len())?;
            match error {
                // Before the last colon is where it is: names of the file.
                PropertyFileError::Broken { reason, .. } => {
                    Shape::new().said(reason.rsplit(": ").next().unwrap_or_default())
                }
                PropertyFileError::Missing { .. }
                | PropertyFileError::Ambiguous { .. }
                | PropertyFileError::Nowhere { .. }
                | PropertyFileError::Empty { .. } => Shape::new().said(said),
            }
        }
    })
}

fn values_of(values: &Context, asked: usize) -> Outcome {
    // Anchors of YAML make more of little: as much as a trigger may carry, not more.
    bounded(
        "the values of a file",
        json_bytes(values)?,
        8 * 1024 * 1024 + 8 * asked,
    )?;
    let mut shape = Shape::new().count("values", values.len());
    for value in values.values().take(4) {
        shape = shape.word(kind(value));
    }
    Ok(shape)
}

fn logged(input: &Input) -> Outcome {
    let mut values = Context::new();
    Ok(
        match properties::logged::collect(&input.text(), &mut values) {
            Ok(()) => values_of(&values, input.len())?,
            Err(error) => Shape::new().said(error),
        },
    )
}

fn job_path(input: &Input) -> Outcome {
    let text = input.text();
    let mut shape = Shape::new();
    for (name, parsed) in [
        ("path", JobPath::parse(&text)),
        ("url", JobPath::of_url(&text)),
    ] {
        match parsed {
            Ok(path) => {
                let again = JobPath::of_url(&path.url());
                must(again.as_ref() == Ok(&path), || {
                    format!("{path} is read as {again:?}")
                })?;
                let again = JobPath::parse(&path.spinnaker());
                must(again.as_ref() == Ok(&path), || {
                    format!("{path} in Spinnaker's words is read as {again:?}")
                })?;
                shape = shape.word(name).count("levels", path.names().len());
            }
            Err(error) => shape = shape.word(name).said(error.reason),
        }
    }
    Ok(shape)
}

fn branch(input: &Input) -> Outcome {
    let text = input.text();
    let found = git::branch(&text);
    bounded(
        "a branch",
        found.as_ref().map_or(0, String::len),
        text.len(),
    )?;
    Ok(Shape::new().set("branch", found.is_some()))
}

fn configs() -> Vec<Input> {
    seeds::of_texts(&[
        "controllers:\n- {name: ci, kind: gitlab, address: 'https://gitlab.example', token: t}\njenkins:\n  masters:\n  - {name: j, url: 'http://h/'}\n",
        "controllers:\n- name: g\n  kind: generic\n  address: http://h\n  generic: {start: {path: a}, status: {path: b, results: {ok: SUCCESS}}}\n",
        "accounts:\n- {name: r, address: localhost:5000, repositories: [a/b], tagPattern: '^v.*', pollMs: 5000}\n",
        "name: g\nurl: https://h/a/b.git\nsource: github\nbranches: 'main|x'\n",
        "name: s\nsender: github\nauthentication: {type: hmac, header: X-A, algorithm: sha512, prefix: 'v1='}\n",
        "gate: {stopGrace: 30s}\n",
    ])
}

fn yaml<T: DeserializeOwned>(input: &Input) -> Result<T, Shape> {
    // The scanner takes quadratic time for open brackets: who configures the suite may make it wait.
    if input
        .body
        .iter()
        .filter(|b| matches!(b, b'[' | b'{'))
        .count()
        > BRACKETS_MAX
    {
        return Err(Shape::new().word("brackets"));
    }
    // As the configuration is read: a file is text first.
    serde_yaml_ng::from_str(&input.text())
        .map_err(|error| Shape::new().said(first_words(&error.to_string(), 5)))
}

fn problems(shape: Shape, problems: &[String], asked: usize) -> Outcome {
    bounded(
        "problems",
        problems.iter().map(String::len).sum(),
        64 * 1024 + 64 * asked,
    )?;
    Ok(problems
        .iter()
        .take(4)
        .map(|problem| first_words(problem, 6))
        .fold(shape, Shape::said))
}

fn config_ci(input: &Input) -> Outcome {
    match yaml::<CiConfig>(input) {
        Ok(config) => problems(
            Shape::new().count("all", config.all().count()),
            &config.problems(),
            input.len(),
        ),
        Err(shape) => Ok(shape),
    }
}

fn config_watch(input: &Input) -> Outcome {
    let mut shape = Shape::new();
    shape = match yaml::<DockerRegistry>(input) {
        Ok(config) => problems(
            shape.count("accounts", config.accounts.len()),
            &config.problems(),
            input.len(),
        )?,
        Err(said) => said,
    };
    match yaml::<GitRepository>(input) {
        Ok(config) => problems(shape.word("git"), &config.problems(), input.len()),
        Err(_) => Ok(match yaml::<Source>(input) {
            Ok(source) => shape.word(format_args!("{:?}", source.sender)),
            Err(said) => shape.said(said),
        }),
    }
}

/// A whole configuration, over the variables of the environment.
fn config_file(input: &Input) -> Outcome {
    use kork::service::config::{Layers, load};
    let text = input.text();
    let (name, value) = text.split_once('\n').unwrap_or((&text, ""));
    let flags = serde_yaml_ng::from_str::<Value>(&text).unwrap_or_default();
    let layers = Layers {
        file: None,
        environment: vec![(format!("GENNAKER_{name}"), value.to_owned())],
        flags,
    };
    match load::<CiConfig>(layers) {
        Ok(loaded) => {
            let dump = loaded.dump();
            must(!dump.is_empty(), || {
                "a configuration has no settings".to_owned()
            })?;
            Ok(Shape::new().count("settings", dump.len()))
        }
        Err(problems) => {
            must(!problems.is_empty(), || {
                "refused without a reason".to_owned()
            })?;
            let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bounded(
                "problems",
                said.iter().map(String::len).sum(),
                256 * 1024 + 128 * input.len(),
            )?;
            let details = problems
                .iter()
                .map(|problem| first_words(&problem.detail, 3));
            Ok(details.take(4).fold(Shape::new(), Shape::said))
        }
    }
}
