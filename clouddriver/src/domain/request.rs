//! What an order asks for, read from the context of a stage.
//!
//! Stage contexts carry many keys that mean nothing here, and numbers as texts (expressions give
//! texts): unknown keys are ignored, `"3"` is 3.

use std::collections::BTreeMap;

use kork_model::Context;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::{
    group::{Artifact, Capacity},
    restart::Policy,
};

/// A payload that cannot be read: where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Path of the value, such as `capacity.desired`.
    pub path: String,
    pub detail: String,
}

/// Reads a payload.
pub fn read<T: DeserializeOwned>(payload: &Context) -> Result<T, Unreadable> {
    let value = Value::Object(payload.clone());
    serde_path_to_error::deserialize(value).map_err(|e| Unreadable {
        path: e.path().to_string(),
        detail: e.inner().to_string(),
    })
}

/// `createServerGroup`, and the overrides of `cloneServerGroup`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Create {
    pub account: Option<String>,
    pub credentials: Option<String>,
    pub region: Option<String>,
    pub application: Option<String>,
    pub stack: Option<String>,
    pub free_form_details: Option<String>,
    #[serde(deserialize_with = "capacity")]
    pub capacity: Option<Capacity>,
    pub artifact: Option<Artifact>,
    pub command: Vec<String>,
    #[serde(deserialize_with = "texts")]
    pub env: BTreeMap<String, String>,
    pub ports: Vec<String>,
    pub health: Option<Check>,
    pub liveness: Option<Check>,
    pub load_balancers: Vec<String>,
    #[serde(deserialize_with = "maybe_flag")]
    pub enable_traffic: Option<bool>,
    pub restart: Option<RestartRequest>,
    #[serde(deserialize_with = "maybe_number")]
    pub drain_ms: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub stop_grace_ms: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub target_healthy_deploy_percentage: Option<u64>,
    /// `cloneServerGroup`: what to copy.
    pub source: Option<Source>,
}

impl Create {
    /// The account: `credentials`, else `account`.
    pub fn account(&self) -> Option<&str> {
        self.credentials
            .as_deref()
            .or(self.account.as_deref())
            .filter(|a| !a.is_empty())
    }
}

/// The server group that is cloned.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Source {
    #[serde(alias = "asgName")]
    pub server_group_name: String,
}

/// A probe as an order has it: one of `path`, `tcp`, `exec`, `log`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Check {
    pub path: Option<String>,
    /// `true`, or the name of a port.
    pub tcp: Option<Value>,
    pub exec: Option<Vec<String>>,
    pub log: Option<String>,
    /// Name of the port of `path`; `PORT` when absent.
    pub port: Option<String>,
    #[serde(deserialize_with = "maybe_number")]
    pub initial_delay_ms: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub period_ms: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub timeout_ms: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub success_threshold: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub failure_threshold: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub min_healthy_ms: Option<u64>,
    /// From the start of the deployment until all must be ready.
    #[serde(deserialize_with = "maybe_number")]
    pub deadline_ms: Option<u64>,
}

/// The restart policy as an order has it; what is absent comes from the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartRequest {
    pub policy: Option<Policy>,
    #[serde(deserialize_with = "maybe_number")]
    pub backoff_ms: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub backoff_ms_max: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub reset_after_ms: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub crash_loop_ends: Option<u64>,
    #[serde(deserialize_with = "maybe_number")]
    pub crash_loop_window_ms: Option<u64>,
}

/// An operation on one server group.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OnGroup {
    pub server_group_name: Option<String>,
    pub asg_name: Option<String>,
    pub server_group: Option<String>,
    /// Or a dynamic target of a cluster.
    pub target: Option<String>,
    #[serde(flatten)]
    pub place: Place,
    #[serde(deserialize_with = "capacity")]
    pub capacity: Option<Capacity>,
    #[serde(deserialize_with = "maybe_number")]
    pub drain_ms: Option<u64>,
    /// `enableServerGroup`, `disableServerGroup`: share of the traffic, per cent, one decimal.
    #[serde(deserialize_with = "maybe_decimal")]
    pub desired_percentage: Option<f64>,
}

impl OnGroup {
    /// The name, whatever it is called.
    pub fn name(&self) -> Option<&str> {
        [&self.server_group_name, &self.asg_name, &self.server_group]
            .into_iter()
            .find_map(|n| n.as_deref().filter(|n| !n.is_empty()))
    }
}

/// Which cluster: by `cluster`, or by application, stack and detail.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Place {
    pub account: Option<String>,
    pub credentials: Option<String>,
    pub region: Option<String>,
    pub application: Option<String>,
    pub cluster: Option<String>,
    pub stack: Option<String>,
    pub free_form_details: Option<String>,
}

/// An operation on a cluster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OnCluster {
    #[serde(flatten)]
    pub place: Place,
    #[serde(deserialize_with = "maybe_number")]
    pub remaining_enabled_server_groups: Option<u64>,
    #[serde(deserialize_with = "maybe_flag")]
    pub prefer_larger_over_newer: Option<bool>,
    #[serde(deserialize_with = "maybe_number")]
    pub shrink_to_size: Option<u64>,
    #[serde(deserialize_with = "maybe_flag")]
    pub allow_delete_active: Option<bool>,
    #[serde(deserialize_with = "maybe_flag")]
    pub retain_larger_over_newer: Option<bool>,
    #[serde(deserialize_with = "maybe_number")]
    pub remaining_full_size_server_groups: Option<u64>,
    #[serde(deserialize_with = "maybe_flag")]
    pub allow_scale_down_active: Option<bool>,
    pub target: Option<String>,
    /// `checkPrecondition`: how many server groups there should be, and how to compare.
    #[serde(deserialize_with = "maybe_number")]
    pub expected: Option<u64>,
    pub comparison: Option<String>,
    #[serde(deserialize_with = "maybe_number")]
    pub drain_ms: Option<u64>,
}

/// `rollbackServerGroup`, `rollbackCluster`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rollback {
    #[serde(rename = "rollbackType")]
    pub kind: Option<String>,
    #[serde(rename = "rollbackContext")]
    pub context: RollbackContext,
    #[serde(flatten)]
    pub place: Place,
}

/// Which two server groups change places.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollbackContext {
    /// The one that goes.
    #[serde(rename = "rollbackServerGroupName")]
    pub bad: Option<String>,
    /// The one that comes back.
    #[serde(rename = "restoreServerGroupName")]
    pub good: Option<String>,
}

/// `updateTrafficWeights`: per cent of each server group, one decimal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Weights {
    pub weights: BTreeMap<String, f64>,
}

/// `upsertLoadBalancer`, `deleteLoadBalancer`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OnBalancer {
    pub account: Option<String>,
    pub credentials: Option<String>,
    pub application: Option<String>,
    #[serde(alias = "loadBalancerName")]
    pub name: String,
    #[serde(deserialize_with = "maybe_number")]
    pub port: Option<u64>,
}

fn number(value: &Value) -> Result<Option<u64>, String> {
    let wrong = || format!("{value} is not a whole number of at least 0");
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => text.trim().parse().map(Some).map_err(|_| wrong()),
        Value::Number(n) => match (n.as_u64(), n.as_f64()) {
            (Some(whole), _) => Ok(Some(whole)),
            (None, Some(real)) if real >= 0.0 && real.fract() == 0.0 => Ok(Some(real as u64)),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

fn maybe_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    number(&Value::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn maybe_decimal<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::Number(n) => Ok(n.as_f64()),
        Value::String(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| serde::de::Error::custom(format!("{text:?} is not a number"))),
        other => Err(serde::de::Error::custom(format!("{other} is not a number"))),
    }
}

fn maybe_flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(flag)),
        Value::String(text) if text == "true" => Ok(Some(true)),
        Value::String(text) if text == "false" => Ok(Some(false)),
        other => Err(serde::de::Error::custom(format!(
            "{other} is neither true nor false"
        ))),
    }
}

/// `{min, max, desired}` or a number; what is absent follows from what is there.
fn capacity<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Capacity>, D::Error> {
    let value = Value::deserialize(from)?;
    let read = |value: &Value, key: &str| match value.get(key) {
        Some(inner) => number(inner).map_err(|e| serde::de::Error::custom(format!("{key}: {e}"))),
        None => Ok(None),
    };
    let as_u32 = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    match &value {
        Value::Null => Ok(None),
        Value::Object(_) => {
            let (min, max, desired) = (
                read(&value, "min")?,
                read(&value, "max")?,
                read(&value, "desired")?,
            );
            let Some(desired) = desired.or(min).or(max).map(as_u32) else {
                return Ok(None);
            };
            let (min, max) = (min.map_or(desired, as_u32), max.map_or(desired, as_u32));
            Ok(Some(Capacity {
                min: min.min(desired),
                max: max.max(desired),
                desired,
            }))
        }
        other => {
            let desired = number(other).map_err(serde::de::Error::custom)?.map(as_u32);
            Ok(desired.map(|desired| Capacity {
                min: desired,
                max: desired,
                desired,
            }))
        }
    }
}

/// An environment: texts, numbers and flags; nulls are left out.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map: BTreeMap<String, Value> = Option::deserialize(from)?.unwrap_or_default();
    let mut texts = BTreeMap::new();
    for (key, value) in map {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(serde::de::Error::custom(format!(
                    "{key} must be a text, a number or a flag"
                )));
            }
        };
        texts.insert(key, text);
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn context(value: Value) -> Context {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn numbers_may_be_texts_and_unknown_keys_are_ignored() {
        let payload = json!({"capacity": {"desired": "3"}, "env": {"A": 1, "B": true, "C": null, "D": "x"},
            "enableTraffic": "false", "strategy": "redblack", "failPipeline": true, "drainMs": "250"});
        let create: Create = read(&context(payload)).unwrap();
        assert_eq!(
            create.capacity,
            Some(Capacity {
                min: 3,
                max: 3,
                desired: 3
            })
        );
        assert_eq!(create.enable_traffic, Some(false));
        assert_eq!(create.drain_ms, Some(250));
        let env: Vec<_> = create.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(env, ["A=1", "B=true", "D=x"]);
    }

    #[test]
    fn a_wrong_value_says_where_it_is() {
        let wrong = read::<Create>(&context(json!({"health": {"periodMs": "soon"}}))).unwrap_err();
        assert_eq!(wrong.path, "health.periodMs");
        assert!(
            wrong.detail.contains("\"soon\" is not a whole number"),
            "{}",
            wrong.detail
        );
        let wrong = read::<Create>(&context(json!({"capacity": {"desired": -1}}))).unwrap_err();
        assert_eq!(wrong.path, "capacity");
    }

    #[test]
    fn a_server_group_is_named_in_any_of_three_ways() {
        for key in ["serverGroupName", "asgName", "serverGroup"] {
            let group: OnGroup = read(&context(json!({key: "a-v001", "cluster": "a"}))).unwrap();
            assert_eq!(
                (group.name(), group.place.cluster.as_deref()),
                (Some("a-v001"), Some("a"))
            );
        }
    }

    #[test]
    fn capacity_bounds_never_contradict_the_desired_number() {
        let create: Create = read(&context(
            json!({"capacity": {"min": 5, "max": 1, "desired": 2}}),
        ))
        .unwrap();
        assert_eq!(
            create.capacity,
            Some(Capacity {
                min: 2,
                max: 2,
                desired: 2
            })
        );
    }
}
