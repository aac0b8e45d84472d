//! From a request and the configuration to everything that is needed to start instances.

use kork_model::{Kind, Problem};

use crate::{
    config::Config,
    domain::{
        group::Spec,
        health::{HealthCheck, PERIOD_MS_MIN, Probe},
        request::{Check, Create, RestartRequest},
        restart::Restart,
    },
};

/// Named ports of one instance.
const PORTS_MAX: usize = 16;
/// Without a probe and without traffic an instance is ready when it has run for so long.
const RUNNING_MS: u64 = 500;

pub(crate) fn invalid(pointer: &str, detail: impl Into<String>) -> Problem {
    let detail = detail.into();
    Problem::new(
        "CLOUDDRIVER-0001",
        Kind::Invalid,
        format!("the order cannot be carried out: {detail}"),
    )
    .field(pointer, detail)
}

/// What the request asks for; what it leaves out comes from `base` (the source of a clone), else
/// from the configuration.
pub(crate) fn spec(
    config: &Config,
    request: &Create,
    base: Option<&Spec>,
) -> Result<Spec, Problem> {
    let mut spec = base.cloned().unwrap_or_else(|| Spec {
        drain_ms: config.drain_ms,
        stop_grace_ms: config.stop_grace_ms,
        deadline_ms: config.healthy_deadline_ms,
        target_healthy_percentage: 100,
        restart: config.restart.clone(),
        ..Spec::default()
    });
    if !request.command.is_empty() {
        spec.command.clone_from(&request.command);
    }
    if request.artifact.is_some() {
        spec.artifact.clone_from(&request.artifact);
    }
    if spec.command.is_empty() && spec.artifact.is_none() {
        return Err(invalid(
            "/command",
            "a command (a list of words) or an artifact is needed",
        ));
    }
    spec.env.extend(request.env.clone());
    if let Some(wrong) = spec
        .env
        .keys()
        .find(|k| k.is_empty() || k.contains(['=', '\0']))
    {
        return Err(invalid(
            "/env",
            format!("{wrong:?} is not the name of a variable"),
        ));
    }
    if !request.ports.is_empty() {
        spec.ports.clone_from(&request.ports);
    }
    let named = |name: &&String| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if spec.ports.len() > PORTS_MAX || !spec.ports.iter().all(|n| named(&n)) {
        return Err(invalid(
            "/ports",
            format!("at most {PORTS_MAX} names of letters, digits and underscores"),
        ));
    }
    spec.ports.retain(|name| !name.eq_ignore_ascii_case("port"));
    if !request.load_balancers.is_empty() {
        spec.load_balancers.clone_from(&request.load_balancers);
    }
    if let Some(wrong) = spec.load_balancers.iter().find(|n| !is_balancer_name(n)) {
        return Err(invalid(
            "/loadBalancers",
            format!("{wrong:?} is not the name of a load balancer"),
        ));
    }
    if let Some(check) = &request.health {
        spec.deadline_ms = check.deadline_ms.unwrap_or(spec.deadline_ms);
        spec.health = health(check, "/health")?;
    }
    if request.health.as_ref().is_none_or(|c| !has_probe(c)) && base.is_none() {
        // Whatever takes traffic has to listen first.
        if spec.load_balancers.is_empty() {
            spec.health.min_healthy_ms = spec.health.min_healthy_ms.max(RUNNING_MS);
            spec.health.period_ms = spec.health.period_ms.min(RUNNING_MS / 2);
        } else {
            spec.health.probe = Probe::Tcp {
                port: "PORT".to_owned(),
            };
        }
    }
    if let Some(check) = &request.liveness {
        spec.liveness = Some(health(check, "/liveness")?);
    }
    if let Some(wanted) = &request.restart {
        restart(&mut spec.restart, wanted);
    }
    spec.drain_ms = request.drain_ms.unwrap_or(spec.drain_ms);
    spec.stop_grace_ms = request.stop_grace_ms.unwrap_or(spec.stop_grace_ms);
    if let Some(share) = request.target_healthy_deploy_percentage {
        spec.target_healthy_percentage = share.min(100) as u32;
    }
    Ok(spec)
}

/// Names of load balancers become keys: letters, digits, dots, dashes and underscores.
pub(crate) fn is_balancer_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= 128
        && name.chars().all(plain)
}

fn has_probe(check: &Check) -> bool {
    check.path.is_some() || check.tcp.is_some() || check.exec.is_some() || check.log.is_some()
}

fn health(check: &Check, pointer: &str) -> Result<HealthCheck, Problem> {
    let default = HealthCheck::default();
    let port = check.port.clone().unwrap_or_else(|| "PORT".to_owned());
    let probe = match (&check.path, &check.tcp, &check.exec, &check.log) {
        (Some(path), None, None, None) => Probe::Http {
            path: path.clone(),
            port,
        },
        (None, Some(tcp), None, None) => {
            let port = tcp
                .as_str()
                .filter(|p| *p != "true")
                .map_or(port, str::to_owned);
            Probe::Tcp { port }
        }
        (None, None, Some(command), None) if !command.is_empty() => Probe::Exec {
            command: command.clone(),
        },
        (None, None, None, Some(text)) => Probe::Log { text: text.clone() },
        (None, None, None, None) => Probe::Running,
        _ => {
            return Err(invalid(
                pointer,
                "exactly one of path, tcp, exec and log is possible",
            ));
        }
    };
    let threshold =
        |wanted: Option<u64>, default: u32| wanted.map_or(default, |n| n.clamp(1, 1000) as u32);
    Ok(HealthCheck {
        probe,
        initial_delay_ms: check.initial_delay_ms.unwrap_or(default.initial_delay_ms),
        period_ms: check
            .period_ms
            .unwrap_or(default.period_ms)
            .max(PERIOD_MS_MIN),
        timeout_ms: check.timeout_ms.unwrap_or(default.timeout_ms).max(1),
        success_threshold: threshold(check.success_threshold, default.success_threshold),
        failure_threshold: threshold(check.failure_threshold, default.failure_threshold),
        min_healthy_ms: check.min_healthy_ms.unwrap_or(default.min_healthy_ms),
    })
}

fn restart(restart: &mut Restart, wanted: &RestartRequest) {
    restart.policy = wanted.policy.unwrap_or(restart.policy);
    restart.backoff_ms = wanted.backoff_ms.unwrap_or(restart.backoff_ms);
    restart.backoff_ms_max = wanted.backoff_ms_max.unwrap_or(restart.backoff_ms_max);
    restart.reset_after_ms = wanted.reset_after_ms.unwrap_or(restart.reset_after_ms);
    let ends = wanted.crash_loop_ends.map(|n| n.clamp(1, 1000) as u32);
    restart.crash_loop_ends = ends.unwrap_or(restart.crash_loop_ends);
    restart.crash_loop_window_ms = wanted
        .crash_loop_window_ms
        .unwrap_or(restart.crash_loop_window_ms);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::request::read;

    fn of(payload: &Value) -> Result<Spec, Problem> {
        let request: Create = read(payload.as_object().unwrap()).unwrap();
        spec(&Config::default(), &request, None)
    }

    #[test]
    fn what_takes_traffic_without_a_probe_must_listen() {
        let probe = |payload: Value| of(&payload).unwrap().health.probe;
        assert_eq!(probe(json!({"command": ["x"]})), Probe::Running);
        let tcp = Probe::Tcp {
            port: "PORT".to_owned(),
        };
        assert_eq!(
            probe(json!({"command": ["x"], "loadBalancers": ["web"]})),
            tcp
        );
        let http = Probe::Http {
            path: "/up".to_owned(),
            port: "admin".to_owned(),
        };
        assert_eq!(
            probe(json!({"command": ["x"], "health": {"path": "/up", "port": "admin"}})),
            http
        );
    }

    #[test]
    fn wrong_requests_say_which_field_is_wrong() {
        for (payload, pointer) in [
            (json!({}), "/command"),
            (json!({"command": ["x"], "env": {"A=B": 1}}), "/env"),
            (json!({"command": ["x"], "ports": ["a b"]}), "/ports"),
            (
                json!({"command": ["x"], "loadBalancers": ["../x"]}),
                "/loadBalancers",
            ),
            (
                json!({"command": ["x"], "health": {"path": "/", "log": "x"}}),
                "/health",
            ),
        ] {
            assert_eq!(of(&payload).unwrap_err().errors[0].pointer, pointer);
        }
    }
}
