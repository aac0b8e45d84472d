//! Answers to the calls of `kork_model::api::clouddriver`.

use std::sync::Arc;

use kork::{
    ports::{Registration, Rpc, RpcError},
    rpc::serve,
};
use kork_model::api::clouddriver::{
    FetchArtifact, GetCluster, GetConsole, GetCredentials, GetInstance, GetServerGroup,
    ListArtifactAccounts, ListClusters, ListCredentials, ListLoadBalancers, ListServerGroups,
    PlanOperation, ServerGroupLogs,
};
use tokio_util::sync::CancellationToken;

use crate::app::{Driver, Order};

/// Serves all endpoints until the registrations are dropped.
pub(crate) async fn register(
    rpc: &dyn Rpc,
    driver: &Arc<Driver>,
) -> Result<Vec<Box<dyn Registration>>, RpcError> {
    macro_rules! answer {
        ($request:ident: $kind:ty, $driver:ident => $answer:expr) => {{
            let $driver = Arc::clone(driver);
            serve(rpc, move |$request: $kind| {
                let $driver = Arc::clone(&$driver);
                async move { $answer }
            })
            .await?
        }};
    }
    Ok(vec![
        answer!(_r: ListCredentials, d => Ok(d.accounts())),
        answer!(r: GetCredentials, d => d.account_view(&r.account)),
        answer!(r: ListClusters, d => Ok(d.clusters(&r.application).await)),
        answer!(r: GetCluster, d => d.cluster(&r.application, &r.account, &r.cluster).await),
        answer!(r: ListServerGroups, d => Ok(d.server_groups(&r.application).await)),
        answer!(r: GetServerGroup, d => d.server_group(&r.application, &r.account, &r.region, &r.name).await),
        answer!(r: ListLoadBalancers, d => Ok(d.load_balancers(&r.application))),
        answer!(r: GetInstance, d => d.instance(&r.account, &r.id)),
        answer!(r: GetConsole, d => d.console(&r.account, &r.id, r.lines, r.previous).await),
        answer!(r: ServerGroupLogs, d => d.logs(&r.application, &r.account, &r.region, &r.name, r.lines).await),
        answer!(r: PlanOperation, d => {
            let order = Order {
                key: "",
                application: &r.application,
                payload: &r.payload,
                deadline: None,
                stop: CancellationToken::new(),
            };
            Ok(d.plan_operation(&r.kind, &order))
        }),
        answer!(_r: ListArtifactAccounts, d => { drop(d); Ok(Driver::artifact_accounts()) }),
        answer!(r: FetchArtifact, d => d.fetch_artifact(&r.artifact).await),
    ])
}
