//! What front50 answers. Objects are JSON as Spinnaker's Front50 shows them; unknown fields stay.

use serde_json::Value;

use crate::{Context, api::call};

call!(repeat "front50", "applications.list",
/// Every application.
ListApplications {} -> Vec<Context>);
call!(repeat "front50", "applications.get",
/// One application by name, any case; `NotFound` when there is none.
GetApplication { name: String } -> Context);
call!("front50", "applications.upsert",
/// Creates an application, or merges top-level keys into the stored one. `permissions` go to their own object.
UpsertApplication { application: Context, user: String } -> Context);
call!("front50", "applications.delete",
/// Deletes an application with its pipelines, strategies, notifications and project entries; fine when unknown.
DeleteApplication { name: String, user: String } -> ());
call!(repeat "front50", "applications.history",
/// Earlier versions, newest first; empty when unknown.
ApplicationHistory { name: String, limit: u32 } -> Vec<Context>);

call!(repeat "front50", "pipelines.list",
/// Pipelines of one application (sorted, `index` renumbered from 0), or of all when `application` is absent.
ListPipelines { application: Option<String>, name_filter: Option<String>, limit: Option<u32>, strategies: bool } -> Vec<Context>);
call!(repeat "front50", "pipelines.triggers",
/// What triggers need to know of the pipelines whose ids follow `after`, by id: `{id, application, name, disabled,
/// triggers, expectedArtifacts, updateTs}`, and of one that is made from a template `{type, template, variables, exclude}`.
/// Empty behind the last one.
ListTriggers { after: String } -> Vec<Context>);
call!(repeat "front50", "pipelines.get",
/// One pipeline by id, any case.
GetPipeline { id: String, strategies: bool } -> Context);
call!(repeat "front50", "pipelines.byName",
/// One pipeline by application and exact name.
PipelineByName { application: String, name: String, strategies: bool } -> Context);
call!("front50", "pipelines.save",
/// Creates or updates a pipeline. With `stale_check` a stored `updateTs` that differs from the submitted one is a `Conflict`.
/// `id_in_path` comes from `PUT /pipelines/{id}`.
SavePipeline { pipeline: Context, stale_check: bool, user: String, id_in_path: Option<String>, strategies: bool } -> Context);
call!("front50", "pipelines.bulkSave",
/// Saves many; each fails alone. Answer: `{successful_pipelines_count, successful_pipelines, failed_pipelines_count, failed_pipelines}`.
BulkSavePipelines { pipelines: Vec<Value>, application: Option<String>, stale_check: bool, user: String } -> Context);
call!("front50", "pipelines.delete",
/// Deletes by application and name, any case; `NotFound` when there is none.
DeletePipeline { application: String, name: String, user: String, strategies: bool } -> ());
call!(repeat "front50", "pipelines.history",
/// Earlier versions, newest first.
PipelineHistory { id: String, limit: u32, strategies: bool } -> Vec<Context>);
call!("front50", "pipelines.reorder",
/// Sets `index` of the named pipelines.
ReorderPipelines { application: String, ids_to_indices: std::collections::BTreeMap<String, i64>, user: String, strategies: bool } -> ());

call!(repeat "front50", "notifications.get",
/// Notifications of an application (`__global` for all); an empty object when there are none.
GetNotifications { name: String } -> Context);
call!("front50", "notifications.save",
/// Replaces them.
SaveNotifications { name: String, notifications: Context, user: String } -> ());
call!("front50", "notifications.delete",
/// Removes them; fine when there are none.
DeleteNotifications { name: String, user: String } -> ());

call!(repeat "front50", "projects.list",
/// Every project.
ListProjects {} -> Vec<Context>);
call!(repeat "front50", "projects.get",
/// One project by id or name.
GetProject { id_or_name: String } -> Context);
call!("front50", "projects.upsert",
/// Creates or replaces a project; unique name.
UpsertProject { project: Context, user: String } -> Context);
call!("front50", "projects.delete",
/// Removes a project; fine when unknown.
DeleteProject { id: String, user: String } -> ());

call!("front50", "templates.save",
/// Creates or replaces a pipeline template; answers with what is stored. `tag`: the version to store beside `latest`;
/// `create`: refuse when there is one.
SaveTemplate { template: Context, tag: Option<String>, create: bool, user: String } -> Context);
call!("front50", "templates.delete",
/// Removes one version of a template; refused while pipelines are made from it.
DeleteTemplate { id: String, tag: Option<String>, digest: Option<String>, user: String } -> ());

call!(repeat "front50", "objects.list",
/// A page of documents of any type by id: `{objects, next}`; `next`, absent at the end, is the `after` of the next page.
/// Types: application, permission, pipeline, strategy, pipelineTemplate, notification, project, serviceAccount,
/// snapshot, entityTags, delivery, pluginInfo, pluginVersions. For lists that do not fit into one message.
ListObjects { object_type: String, after: Option<String> } -> Context);
call!(repeat "front50", "objects.get",
/// One document of any type by id, any case, as it is stored.
GetObject { object_type: String, id: String } -> Context);
