//! Requests about pipeline templates. Reading them needs none of their own: `objects.get` and
//! `objects.list` do.

use std::sync::Arc;

use crate::app::Front50;
use kork::{
    model::api::front50::{DeleteTemplate, SaveTemplate},
    ports::{Registration, Rpc, RpcError},
    rpc::serve,
};

/// Serves both.
pub(crate) async fn all(
    rpc: &dyn Rpc,
    front50: &Arc<Front50>,
) -> Result<Vec<Box<dyn Registration>>, RpcError> {
    let service = Arc::clone(front50);
    let save = move |it: SaveTemplate| {
        let front50 = Arc::clone(&service);
        async move {
            let tag = it.tag.as_deref().filter(|tag| !tag.is_empty());
            let saved = front50.save_template(&it.template, tag, it.create, &it.user);
            saved.await
        }
    };
    let service = Arc::clone(front50);
    let delete = move |it: DeleteTemplate| {
        let front50 = Arc::clone(&service);
        async move {
            let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            let (tag, digest) = (given(&it.tag), given(&it.digest));
            let deleted = front50.delete_template(&it.id, tag.as_deref(), digest.as_deref());
            deleted.await
        }
    };
    Ok(vec![
        serve::<SaveTemplate, _, _>(rpc, save).await?,
        serve::<DeleteTemplate, _, _>(rpc, delete).await?,
    ])
}
