//! The records: stored, with conditions, before anything is done.

use bytes::Bytes;
use kork::ports::{Condition, ObjectStoreError};
use kork_model::{Kind, Problem, WorkResult};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    Driver,
    world::{Balancer, Entry},
};
use crate::domain::{
    group::{LoadBalancer, Phase, ServerGroup},
    names,
};

const GROUPS: &str = "clouddriver/local/server-groups/";
const BALANCERS: &str = "clouddriver/local/load-balancers/";
const CLUSTERS: &str = "clouddriver/local/clusters/";
const RESULTS: &str = "clouddriver/local/results/";
const JOBS: &str = "clouddriver/local/jobs/";
/// Tries against others who write the same object.
const CONFLICTS_MAX: usize = 50;
/// Results of orders are kept for a week: longer than any order is delivered again.
const RESULTS_KEPT_MS: u64 = 7 * 24 * 3600 * 1000;

/// The last version that a cluster has given out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Cluster {
    last: Option<u32>,
}

/// What an order came to; `None`: it was withdrawn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredResult {
    pub key: String,
    pub kind: String,
    pub result: Option<WorkResult>,
}

fn unavailable(error: &ObjectStoreError) -> Problem {
    let text = "the records of clouddriver cannot be read or written";
    Problem::new("CLOUDDRIVER-0016", Kind::Unavailable, text)
        .because(error)
        .retry_after(1)
}

/// The store of records does not answer, or somebody else writes the same: not the order's fault.
pub(crate) fn is_passing(problem: &Problem) -> bool {
    problem.code == "CLOUDDRIVER-0016" && matches!(problem.kind, Kind::Unavailable | Kind::Conflict)
}

fn damaged(key: &str, error: &serde_json::Error) -> Problem {
    let text = format!("the record {key} cannot be read");
    Problem::new("CLOUDDRIVER-0016", Kind::Bug, text).because(error)
}

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Bytes, Problem> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|e| damaged(key, &e))
}

fn hashed(prefix: &str, key: &str) -> String {
    format!("{prefix}{}", sha256(key.as_bytes()))
}

/// The checksum in lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            use std::fmt::Write as _;
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
}

impl Driver {
    /// Reads all records, takes over what still runs, and removes what nobody wants.
    pub async fn load(&self) -> Result<(), Problem> {
        let groups: Vec<(ServerGroup, String)> = self.all(GROUPS).await?;
        let balancers: Vec<(LoadBalancer, String)> = self.all(BALANCERS).await?;
        let records: Vec<ServerGroup> = groups.iter().map(|(g, _)| g.clone()).collect();
        let found = self.processes.take_over(&records).await;
        {
            let mut world = self.world();
            world.groups = groups
                .into_iter()
                .map(|(g, etag)| (g.name.clone(), Entry::new(g, etag)))
                .collect();
            world.balancers = balancers
                .into_iter()
                .map(|(record, etag)| (record.name.clone(), Balancer { record, etag }))
                .collect();
            for found in found {
                world.take_over(found);
            }
        }
        self.touch();
        self.forget_old_results().await
    }

    async fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(T, String)>, Problem> {
        let listed = self
            .ports
            .objects
            .list(prefix)
            .await
            .map_err(|e| unavailable(&e))?;
        let mut records = Vec::with_capacity(listed.len());
        for info in listed {
            if let Some(found) = self.read(&info.key).await? {
                records.push(found);
            }
        }
        Ok(records)
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, String)>, Problem> {
        let Some(object) = self
            .ports
            .objects
            .get(key)
            .await
            .map_err(|e| unavailable(&e))?
        else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&object.body).map_err(|e| damaged(key, &e))?;
        Ok(Some((value, object.info.etag)))
    }

    /// Writes if the condition holds: the new etag, or `None` when somebody else was first.
    async fn put<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        condition: Condition,
    ) -> Result<Option<String>, Problem> {
        match self
            .ports
            .objects
            .put(key, encode(key, value)?, condition)
            .await
        {
            Ok(stored) => Ok(Some(stored.etag)),
            Err(ObjectStoreError::ConditionFailed { .. }) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Takes a new name in a cluster and stores the record. Two callers never get the same one.
    pub(crate) async fn reserve(&self, mut record: ServerGroup) -> Result<ServerGroup, Problem> {
        let cluster = record.moniker.cluster.clone();
        let counter = format!("{CLUSTERS}{cluster}");
        for _ in 0..CONFLICTS_MAX {
            let (last, condition) = match self.read::<Cluster>(&counter).await? {
                Some((cluster, etag)) => (cluster.last, Condition::IfMatch(etag)),
                None => (None, Condition::IfAbsent),
            };
            let in_use: Vec<u32> = {
                let world = self.world();
                let same = world
                    .groups
                    .values()
                    .filter(|e| e.record.moniker.cluster == cluster);
                same.filter_map(|e| e.record.moniker.sequence).collect()
            };
            let Some(version) = names::next_version(last, &in_use) else {
                let text = format!(
                    "all {} versions of cluster {cluster} are in use",
                    names::VERSIONS
                );
                return Err(Problem::new("CLOUDDRIVER-0005", Kind::TooLarge, text));
            };
            if self
                .put(
                    &counter,
                    &Cluster {
                        last: Some(version),
                    },
                    condition,
                )
                .await?
                .is_none()
            {
                continue;
            }
            record.name = names::server_group(&cluster, version);
            record.moniker.sequence = Some(version);
            let key = format!("{GROUPS}{}", record.name);
            if let Some(etag) = self.put(&key, &record, Condition::IfAbsent).await? {
                self.world()
                    .groups
                    .insert(record.name.clone(), Entry::new(record.clone(), etag));
                self.touch();
                self.announce("serverGroup:created", &record).await;
                return Ok(record);
            }
        }
        let text =
            format!("no version of cluster {cluster} could be taken: too many others do the same");
        Err(Problem::new("CLOUDDRIVER-0016", Kind::Conflict, text).retry_after(1))
    }

    /// Changes a record: stored first, then known, then acted on. The generation grows.
    pub(crate) async fn save_group(
        &self,
        name: &str,
        change: impl Fn(&mut ServerGroup) + Send,
    ) -> Result<ServerGroup, Problem> {
        let key = format!("{GROUPS}{name}");
        let _one = self.writing.lock().await;
        for _ in 0..CONFLICTS_MAX {
            let (before, etag) = {
                let world = self.world();
                let entry = world.groups.get(name).ok_or_else(|| no_group(name))?;
                (entry.record.clone(), entry.etag.clone())
            };
            let mut record = before.clone();
            change(&mut record);
            if record == before {
                return Ok(record);
            }
            record.generation = before.generation + 1;
            let stored = self.put(&key, &record, Condition::IfMatch(etag)).await?;
            let (record, etag, won) = match stored {
                Some(etag) => (record, etag, true),
                None => match self.read(&key).await? {
                    Some((record, etag)) => (record, etag, false),
                    None => return Err(no_group(name)),
                },
            };
            if let Some(entry) = self.world().groups.get_mut(name) {
                entry.record = record.clone();
                entry.etag = etag;
            }
            self.touch();
            if won {
                self.announce("serverGroup:updated", &record).await;
                return Ok(record);
            }
        }
        let text = format!("server group {name} is changed by others all the time");
        Err(Problem::new("CLOUDDRIVER-0016", Kind::Conflict, text).retry_after(1))
    }

    /// Removes a record whose group has gone.
    pub(crate) async fn delete_group(&self, name: &str) -> Result<(), Problem> {
        let _one = self.writing.lock().await;
        let key = format!("{GROUPS}{name}");
        self.ports
            .objects
            .erase(&key)
            .await
            .map_err(|e| unavailable(&e))?;
        let entry = self.world().groups.remove(name);
        self.touch();
        if let Some(entry) = entry {
            self.announce("serverGroup:destroyed", &entry.record).await;
        }
        Ok(())
    }

    async fn announce(&self, kind: &str, record: &ServerGroup) {
        let phase = match &record.life {
            Phase::Preparing => "preparing",
            Phase::Active => "active",
            Phase::Failed { .. } => "failed",
            Phase::Destroying => "destroying",
        };
        let data = json!({
            "name": record.name, "region": record.region, "cluster": record.moniker.cluster, "phase": phase,
            "enabled": record.enabled, "capacity": record.capacity, "generation": record.generation,
        });
        self.publish(
            kind,
            &record.account,
            &record.moniker.app,
            &record.name,
            data,
        )
        .await;
    }

    /// Makes a load balancer if there is none; one of another application cannot be used.
    pub(crate) async fn ensure_balancer(&self, mut wanted: LoadBalancer) -> Result<(), Problem> {
        // Two new ones at the same moment do not get the same port.
        let _one = self.writing.lock().await;
        let owner = self
            .world()
            .balancers
            .get(&wanted.name)
            .map(|b| b.record.application.clone());
        if let Some(owner) = owner {
            if owner == wanted.application {
                return Ok(());
            }
            let text = format!(
                "the load balancer {} belongs to application {owner}",
                wanted.name
            );
            return Err(Problem::new("CLOUDDRIVER-0011", Kind::Conflict, text));
        }
        if let (0, Some(range)) = (wanted.port, self.config.load_balancer_ports) {
            wanted.port = self.world().free_port(range)?;
        }
        let key = format!("{BALANCERS}{}", wanted.name);
        let (record, etag) = match self.put(&key, &wanted, Condition::IfAbsent).await? {
            Some(etag) => (wanted, etag),
            None => self
                .read(&key)
                .await?
                .ok_or_else(|| no_balancer(&wanted.name))?,
        };
        self.world()
            .balancers
            .entry(record.name.clone())
            .or_insert(Balancer {
                record: record.clone(),
                etag,
            });
        self.touch();
        let data = json!({"name": record.name, "port": record.port});
        self.publish(
            "loadBalancer:created",
            &record.account,
            &record.application,
            &record.name,
            data,
        )
        .await;
        Ok(())
    }

    pub(crate) async fn save_balancer(
        &self,
        name: &str,
        change: impl FnOnce(&mut LoadBalancer) + Send,
    ) -> Result<(), Problem> {
        let _one = self.writing.lock().await;
        let mut record = {
            let world = self.world();
            world
                .balancers
                .get(name)
                .ok_or_else(|| no_balancer(name))?
                .record
                .clone()
        };
        change(&mut record);
        let key = format!("{BALANCERS}{name}");
        let etag = self
            .put(&key, &record, Condition::Always)
            .await?
            .unwrap_or_default();
        self.world()
            .balancers
            .insert(name.to_owned(), Balancer { record, etag });
        self.touch();
        Ok(())
    }

    pub(crate) async fn delete_balancer(&self, name: &str) -> Result<(), Problem> {
        let _one = self.writing.lock().await;
        let key = format!("{BALANCERS}{name}");
        self.ports
            .objects
            .erase(&key)
            .await
            .map_err(|e| unavailable(&e))?;
        self.world().balancers.remove(name);
        self.touch();
        Ok(())
    }

    /// The first result of an order.
    pub async fn result(&self, key: &str) -> Result<Option<StoredResult>, Problem> {
        Ok(self
            .read(&hashed(RESULTS, key))
            .await?
            .map(|(result, _)| result))
    }

    /// Stores a result unless there is one; answers with the one that counts.
    pub async fn keep_result(&self, result: StoredResult) -> Result<StoredResult, Problem> {
        let object = hashed(RESULTS, &result.key);
        if self
            .put(&object, &result, Condition::IfAbsent)
            .await?
            .is_some()
        {
            return Ok(result);
        }
        Ok(self.read(&object).await?.map_or(result, |(first, _)| first))
    }

    /// Notes that a job is about to start; false when it was started before.
    pub(crate) async fn begin_job(&self, key: &str) -> Result<bool, Problem> {
        let started = json!({"key": key, "started": self.now()});
        Ok(self
            .put(&hashed(JOBS, key), &started, Condition::IfAbsent)
            .await?
            .is_some())
    }

    async fn forget_old_results(&self) -> Result<(), Problem> {
        let now = self.now();
        for prefix in [RESULTS, JOBS] {
            let listed = self
                .ports
                .objects
                .list(prefix)
                .await
                .map_err(|e| unavailable(&e))?;
            for info in listed
                .iter()
                .filter(|i| now.ms_since(i.modified) > RESULTS_KEPT_MS)
            {
                self.ports
                    .objects
                    .erase(&info.key)
                    .await
                    .map_err(|e| unavailable(&e))?;
            }
        }
        Ok(())
    }
}

pub(crate) fn no_group(name: &str) -> Problem {
    let text = format!("there is no server group {name}");
    Problem::new("CLOUDDRIVER-0003", Kind::NotFound, text)
}

pub(crate) fn no_balancer(name: &str) -> Problem {
    let text = format!("there is no load balancer {name}");
    Problem::new("CLOUDDRIVER-0020", Kind::NotFound, text)
}
