//! The requests that other services send.

use std::sync::Arc;

use kork::{
    model::{Problem, api::front50 as api},
    ports::{Registration, Rpc, RpcError},
    rpc::serve,
};

use crate::{
    app::{Front50, SavePipeline},
    domain::ObjectType,
};

const fn pipeline_type(strategies: bool) -> ObjectType {
    if strategies {
        ObjectType::Strategy
    } else {
        ObjectType::Pipeline
    }
}

/// Serves requests of one type with an expression over the service and the request.
macro_rules! answer {
    ($rpc:ident, $front50:ident, $list:ident, |$it:ident: $request:ty| $answer:expr) => {{
        let front50 = Arc::clone($front50);
        let handler = move |$it: $request| {
            let $front50 = Arc::clone(&front50);
            async move { $answer }
        };
        $list.push(serve::<$request, _, _>($rpc, handler).await?);
    }};
}

/// Serves every endpoint until the registrations are dropped.
pub(crate) async fn all(
    rpc: &dyn Rpc,
    front50: &Arc<Front50>,
) -> Result<Vec<Box<dyn Registration>>, RpcError> {
    let mut list = applications(rpc, front50).await?;
    list.extend(pipelines(rpc, front50).await?);
    list.extend(others(rpc, front50).await?);
    list.extend(super::templates::all(rpc, front50).await?);
    Ok(list)
}

async fn applications(
    rpc: &dyn Rpc,
    front50: &Arc<Front50>,
) -> Result<Vec<Box<dyn Registration>>, RpcError> {
    let mut list = Vec::new();
    answer!(rpc, front50, list, |_it: api::ListApplications| front50
        .applications());
    answer!(rpc, front50, list, |it: api::GetApplication| front50
        .application(&it.name)
        .await);
    answer!(rpc, front50, list, |it: api::UpsertApplication| {
        let (application, _) = front50.upsert_application(it.application, &it.user).await?;
        Ok::<_, Problem>(application)
    });
    answer!(rpc, front50, list, |it: api::DeleteApplication| {
        front50
            .delete_application(&it.name, &it.user)
            .await
            .map(|_| ())
    });
    answer!(rpc, front50, list, |it: api::ApplicationHistory| {
        front50
            .history(ObjectType::Application, &it.name, it.limit)
            .await
    });
    Ok(list)
}

async fn pipelines(
    rpc: &dyn Rpc,
    front50: &Arc<Front50>,
) -> Result<Vec<Box<dyn Registration>>, RpcError> {
    let mut list = Vec::new();
    answer!(rpc, front50, list, |it: api::ListPipelines| {
        let of = pipeline_type(it.strategies);
        front50.pipelines(
            of,
            it.application.as_deref(),
            it.name_filter.as_deref(),
            it.limit,
        )
    });
    answer!(rpc, front50, list, |it: api::ListTriggers| Ok(
        front50.triggers_after(&it.after)
    ));
    answer!(rpc, front50, list, |it: api::GetPipeline| {
        front50.pipeline(pipeline_type(it.strategies), &it.id).await
    });
    answer!(rpc, front50, list, |it: api::PipelineByName| {
        let of = pipeline_type(it.strategies);
        front50
            .pipeline_by_name(of, &it.application, &it.name)
            .await
    });
    answer!(rpc, front50, list, |it: api::SavePipeline| {
        let save = SavePipeline {
            of: pipeline_type(it.strategies),
            document: it.pipeline,
            stale_check: it.stale_check,
            user: it.user,
            id_in_path: it.id_in_path,
            work: None,
        };
        front50.save_pipeline(&save).await
    });
    answer!(rpc, front50, list, |it: api::BulkSavePipelines| {
        front50
            .bulk_save(it.pipelines, it.stale_check, &it.user)
            .await
    });
    answer!(rpc, front50, list, |it: api::DeletePipeline| {
        let of = pipeline_type(it.strategies);
        front50
            .delete_pipeline(of, &it.application, &it.name)
            .await
            .map(|_| ())
    });
    answer!(rpc, front50, list, |it: api::PipelineHistory| {
        front50
            .history(pipeline_type(it.strategies), &it.id, it.limit)
            .await
    });
    answer!(rpc, front50, list, |it: api::ReorderPipelines| {
        let of = pipeline_type(it.strategies);
        front50
            .reorder(of, &it.application, &it.ids_to_indices, &it.user)
            .await
    });
    Ok(list)
}

async fn others(
    rpc: &dyn Rpc,
    front50: &Arc<Front50>,
) -> Result<Vec<Box<dyn Registration>>, RpcError> {
    let mut list = Vec::new();
    answer!(rpc, front50, list, |it: api::GetNotifications| front50
        .notifications(&it.name)
        .await);
    answer!(rpc, front50, list, |it: api::SaveNotifications| {
        front50
            .save_notifications(&it.name, it.notifications, &it.user)
            .await
    });
    answer!(rpc, front50, list, |it: api::DeleteNotifications| {
        front50.delete_notifications(&it.name).await
    });
    answer!(rpc, front50, list, |_it: api::ListProjects| front50
        .projects());
    answer!(rpc, front50, list, |it: api::GetProject| front50
        .project(&it.id_or_name)
        .await);
    answer!(rpc, front50, list, |it: api::UpsertProject| {
        front50.upsert_project(it.project, &it.user, None).await
    });
    answer!(rpc, front50, list, |it: api::DeleteProject| {
        front50.delete_project(&it.id).await.map(|_| ())
    });
    answer!(rpc, front50, list, |it: api::ListObjects| {
        front50.page(&it.object_type, it.after.as_deref())
    });
    answer!(rpc, front50, list, |it: api::GetObject| {
        front50.object(&it.object_type, &it.id).await
    });
    Ok(list)
}
