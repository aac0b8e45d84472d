//! What other services can ask of igor.

use std::sync::Arc;

use kork::{
    ports::{Registration, RpcError},
    rpc::serve,
};
use kork_model::{
    Problem,
    api::igor::{
        CompleteEvent, GetBuild, GetDelivery, GetJob, ListBuildServices, ListDeliveries, ListJobs,
        ListSources, ReceiveDelivery, ReplayDelivery,
    },
};

use crate::app::Igor;

/// Serves one request type with an async expression of (igor, request).
macro_rules! answer {
    ($all:ident, $igor:ident, |$it:ident: $request:ty| $answer:expr) => {{
        let shared = Arc::clone($igor);
        let handler = move |$it: $request| {
            let $igor = Arc::clone(&shared);
            async move { $answer }
        };
        $all.push(serve::<$request, _, _>(&*$igor.ports.rpc, handler).await?);
    }};
}

/// Serves every endpoint until the registrations are dropped.
pub(crate) async fn all(igor: &Arc<Igor>) -> Result<Vec<Box<dyn Registration>>, RpcError> {
    let mut all = Vec::new();
    answer!(all, igor, |it: ReceiveDelivery| igor.receive(it).await);
    answer!(all, igor, |it: ListDeliveries| {
        igor.history
            .list(it.source.as_deref(), it.limit as usize)
            .await
    });
    answer!(all, igor, |it: GetDelivery| igor.history.get(&it.id).await);
    answer!(all, igor, |it: ReplayDelivery| igor.replay(&it).await);
    answer!(all, igor, |it: CompleteEvent| igor.complete(it).await);
    answer!(all, igor, |_it: ListSources| Ok::<_, Problem>(
        igor.sources()
    ));
    answer!(all, igor, |_it: ListBuildServices| Ok::<_, Problem>(
        igor.build_services()
    ));
    answer!(all, igor, |it: ListJobs| igor.jobs(&it.master).await);
    answer!(all, igor, |it: GetJob| igor.job(&it.master, &it.job).await);
    answer!(all, igor, |it: GetBuild| {
        igor.build(&it.master, &it.job, it.number).await
    });
    Ok(all)
}
