//! A small front50: what the tests store, change, break and take away.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use kork::{
    model::{
        Context, Kind, Problem, SuiteEvent,
        api::front50::{GetObject, GetPipeline, ListPipelines, ListTriggers},
        event::subject,
    },
    ports::{Ports, Registration},
    rpc,
};
use serde_json::{Value, json};

use crate::world::template;

/// A member of a pipeline whose object cannot be read.
pub(crate) const BROKEN: &str = "broken";

#[derive(Default)]
pub(crate) struct Front50 {
    stored: Mutex<Vec<Context>>,
    templates: Mutex<BTreeMap<String, Context>>,
    is_away: AtomicBool,
}

impl Front50 {
    fn stored(&self) -> MutexGuard<'_, Vec<Context>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers nothing from now on, or again.
    pub(crate) fn is_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// Stores a pipeline under its id, and tells of it.
    pub(crate) async fn change(&self, ports: &Ports, pipeline: Value, version: u32) {
        let id = pipeline["id"].clone();
        let mut pipeline = pipeline.as_object().unwrap().clone();
        pipeline.insert("updateTs".to_owned(), json!(version.to_string()));
        {
            let mut stored = self.stored();
            stored.retain(|p| p["id"] != id);
            stored.push(pipeline);
        }
        tell(ports, "pipeline", &id, version).await;
    }

    /// Stores a template under its id, and tells of it.
    pub(crate) async fn change_template(&self, ports: &Ports, template: Value, version: u32) {
        let id = template["id"].clone();
        let mut template = template.as_object().unwrap().clone();
        template.insert("updateTs".to_owned(), json!(version.to_string()));
        {
            let mut templates = self.templates.lock().unwrap();
            templates.insert(id.as_str().unwrap().to_owned(), template);
        }
        tell(ports, "pipelineTemplate", &id, version).await;
    }

    fn answers(&self) -> Result<(), Problem> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Problem::new("KORK-0008", Kind::Unavailable, "away"));
        }
        Ok(())
    }

    fn get(&self, id: &str) -> Result<Context, Problem> {
        self.answers()?;
        let missing = || Problem::new("FRONT50-0001", Kind::NotFound, "no such pipeline");
        let stored = self.stored();
        let found = stored.iter().find(|p| p["id"] == json!(id));
        let found = found.ok_or_else(missing)?;
        readable(found.clone())
    }

    /// Answers on the bus as long as the registrations live.
    pub(crate) async fn serve(
        pipelines: Vec<Value>,
        ports: &Ports,
    ) -> (Arc<Self>, Vec<Box<dyn Registration>>) {
        let stored = pipelines.iter().map(|p| p.as_object().unwrap().clone());
        let this = Arc::new(Self {
            stored: Mutex::new(stored.collect()),
            templates: Mutex::new([("waits".to_owned(), template())].into()),
            is_away: AtomicBool::new(false),
        });
        let all = Arc::clone(&this);
        let triggers = rpc::serve(&*ports.rpc, move |request: ListTriggers| {
            let page = all.answers().map(|()| {
                let mut page = all.stored().clone();
                page.retain(|p| p["id"].as_str() > Some(&request.after));
                page.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
                page
            });
            async move { page }
        });
        let all = Arc::clone(&this);
        let get = rpc::serve(&*ports.rpc, move |request: GetPipeline| {
            let found = all.get(&request.id);
            async move { found }
        });
        let all = Arc::clone(&this);
        let list = rpc::serve(&*ports.rpc, move |_: ListPipelines| {
            let listed = all.answers().map(|()| all.stored().clone());
            async move { listed }
        });
        let all = Arc::clone(&this);
        let object = rpc::serve(&*ports.rpc, move |request: GetObject| {
            let found = all.templates.lock().unwrap().get(&request.id).cloned();
            let missing = || Problem::new("FRONT50-0001", Kind::NotFound, "no such object");
            let found = found.ok_or_else(missing).and_then(readable);
            async move { found }
        });
        let served = vec![
            get.await.unwrap(),
            list.await.unwrap(),
            triggers.await.unwrap(),
            object.await.unwrap(),
        ];
        (this, served)
    }
}

fn readable(found: Context) -> Result<Context, Problem> {
    if found.contains_key(BROKEN) {
        return Err(Problem::new("FRONT50-0003", Kind::Conflict, "unreadable"));
    }
    Ok(found)
}

/// Tells of a change.
async fn tell(ports: &Ports, of: &str, id: &Value, version: u32) {
    let change = SuiteEvent {
        id: format!("change {of} {version}"),
        kind: format!("front50:{of}:updated"),
        time: ports.clock.now(),
        application: Some("app".to_owned()),
        subject: id.as_str().map(str::to_owned),
        data: json!({"updateTs": version.to_string()}),
    };
    let payload = Bytes::from(serde_json::to_vec(&change).unwrap());
    let to = format!("{}{of}", subject::FRONT50);
    ports.topic.publish(&to, &change.id, payload).await.unwrap();
}
