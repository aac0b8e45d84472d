//! Requests to front50 about pipeline templates.

use kork_model::{Context, api::Call};
use serde::{Deserialize, Serialize};

/// Creates or replaces a template; answers with what is stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SaveTemplate {
    pub template: Context,
    /// The version to store beside `latest`.
    pub tag: Option<String>,
    /// Refuse when there is one.
    pub create: bool,
    pub user: String,
}

impl Call for SaveTemplate {
    const SERVICE: &'static str = "front50";
    const ENDPOINT: &'static str = "templates.save";
    type Answer = Context;
}

/// Removes one version of a template; refused while pipelines are made from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DeleteTemplate {
    pub id: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
    pub user: String,
}

impl Call for DeleteTemplate {
    const SERVICE: &'static str = "front50";
    const ENDPOINT: &'static str = "templates.delete";
    type Answer = ();
}
