//! The table in use, the choice of an instance, and what is in flight.
//!
//! A choice and the count of the request it is made for happen under one read lock; a new table
//! takes the write lock. So when `apply` has returned, every request that still goes to an old
//! target is counted there, and waiting for that count to reach zero cuts nobody.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{CONNECT_TIMEOUT, CONNECTIONS_MAX, body::OutgoingBody, protocol::Answer, serve};
use crate::domain::routing::{Fair, LATENCY_BUCKETS_MS, Metrics, Table};

/// Idle connections to an instance are closed after this time.
const IDLE_CONNECTION: Duration = Duration::from_secs(20);
const BUCKETS: usize = LATENCY_BUCKETS_MS.len() + 1;

pub(super) type Outgoing = Client<HttpConnector, OutgoingBody>;

/// Everything the proxy knows.
pub(super) struct Routes {
    table: RwLock<Active>,
    /// One `apply` at a time.
    applying: tokio::sync::Mutex<()>,
    groups: Mutex<BTreeMap<String, Arc<Group>>>,
    connections: Arc<Semaphore>,
}

#[derive(Default)]
struct Active {
    listeners: HashMap<String, Arc<ActiveListener>>,
    /// In the table, or still with requests in flight.
    targets: HashMap<String, Arc<ActiveTarget>>,
}

struct ActiveListener {
    address: SocketAddr,
    pools: Vec<ActivePool>,
    choice: Mutex<Fair>,
    stop: CancellationToken,
}

struct ActivePool {
    weight: u32,
    group: Arc<Group>,
    targets: Vec<Arc<ActiveTarget>>,
    next: AtomicU64,
}

/// One instance as the proxy sees it.
pub(super) struct ActiveTarget {
    pub(super) address: SocketAddr,
    in_flight: AtomicU64,
    idle: Notify,
    pub(super) cut: CancellationToken,
    /// Gone as soon as the target leaves the table, so that its idle connections close.
    client: Mutex<Option<Outgoing>>,
}

/// Counts of one server group.
#[derive(Default)]
pub(super) struct Group {
    requests: AtomicU64,
    classes: [AtomicU64; 5],
    failed: AtomicU64,
    cut: AtomicU64,
    in_flight: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
    latency_ms_sum: AtomicU64,
}

/// A request on its way to a target. Dropping it ends the request.
pub(super) struct InFlight {
    pub(super) target: Arc<ActiveTarget>,
    pub(super) client: Outgoing,
    group: Arc<Group>,
    began: Instant,
    status: Option<u16>,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            table: RwLock::default(),
            applying: tokio::sync::Mutex::new(()),
            groups: Mutex::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }
}

impl Routes {
    /// Replaces the table as a whole. A listener whose port cannot be taken is a problem in the
    /// answer; all others work.
    pub(super) async fn apply(self: &Arc<Self>, table: &Table) -> Answer {
        let _one = self.applying.lock().await;
        let mut answer = Answer::default();
        let mut opened = Vec::new();
        for (name, listener) in &table.listeners {
            let open = self.read(|t| t.listeners.get(name).map(|l| l.address));
            let same = |open: &SocketAddr| {
                listener.address.port() == 0
                    || (open.port() == listener.address.port()
                        && open.ip() == listener.address.ip())
            };
            match open.filter(same) {
                Some(open) => {
                    answer.ports.insert(name.clone(), open.port());
                }
                None => match bind(listener.address).await {
                    Ok((socket, address)) => {
                        answer.ports.insert(name.clone(), address.port());
                        opened.push((name.clone(), socket, address));
                    }
                    Err(error) => {
                        let address = listener.address;
                        answer
                            .problems
                            .push(format!("{name} cannot listen on {address}: {error}"));
                    }
                },
            }
        }
        let sockets = self.replace(table, opened);
        for (name, socket, stop) in sockets {
            tokio::spawn(serve::accept(Arc::clone(self), name, socket, stop));
        }
        answer
    }

    fn replace(
        &self,
        table: &Table,
        opened: Vec<(String, TcpListener, SocketAddr)>,
    ) -> Vec<(String, TcpListener, CancellationToken)> {
        let mut active = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut addresses: HashMap<String, (SocketAddr, CancellationToken)> = active
            .listeners
            .iter()
            .map(|(n, l)| (n.clone(), (l.address, l.stop.clone())))
            .collect();
        let mut sockets = Vec::new();
        for (name, socket, address) in opened {
            let stop = CancellationToken::new();
            sockets.push((name.clone(), socket, stop.clone()));
            if let Some((_, old)) = addresses.insert(name, (address, stop)) {
                old.cancel();
            }
        }
        let mut targets: HashMap<String, Arc<ActiveTarget>> = HashMap::new();
        let mut listeners = HashMap::new();
        for (name, listener) in &table.listeners {
            let Some((address, stop)) = addresses.remove(name) else {
                continue;
            };
            let pools = listener.pools.iter().map(|pool| ActivePool {
                weight: pool.weight_permille,
                group: self.group(&pool.server_group),
                targets: pool
                    .targets
                    .iter()
                    .map(|target| {
                        let known = targets
                            .get(&target.id)
                            .or_else(|| active.targets.get(&target.id));
                        let target_now = match known {
                            Some(known) => known.reopened(),
                            None => Arc::new(ActiveTarget::new(target.address)),
                        };
                        targets.insert(target.id.clone(), Arc::clone(&target_now));
                        target_now
                    })
                    .collect(),
                next: AtomicU64::new(0),
            });
            let pools = pools.collect();
            let choice = Mutex::default();
            let listener = ActiveListener {
                address,
                pools,
                choice,
                stop,
            };
            listeners.insert(name.clone(), Arc::new(listener));
        }
        for (_, stop) in addresses.into_values() {
            stop.cancel();
        }
        for (id, target) in &active.targets {
            if !targets.contains_key(id) {
                target.close();
                if target.in_flight.load(Ordering::SeqCst) > 0 {
                    targets.insert(id.clone(), Arc::clone(target));
                }
            }
        }
        *active = Active { listeners, targets };
        sockets
    }

    /// Chooses an instance and counts the request there. `avoid`: the one that was just tried.
    pub(super) fn choose(&self, listener: &str, avoid: Option<SocketAddr>) -> Option<InFlight> {
        let active = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let listener = active.listeners.get(listener)?;
        let weight = |pool: &ActivePool| {
            let able = pool.targets.iter().any(|t| Some(t.address) != avoid);
            if able { pool.weight } else { 0 }
        };
        let weights: Vec<u32> = listener.pools.iter().map(weight).collect();
        let chosen = listener
            .choice
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(&weights)?;
        let pool = &listener.pools[chosen];
        let first = pool.next.fetch_add(1, Ordering::Relaxed) as usize;
        let count = pool.targets.len();
        let target = (0..count)
            .map(|n| &pool.targets[(first + n) % count])
            .filter(|t| Some(t.address) != avoid)
            .min_by_key(|t| t.in_flight.load(Ordering::SeqCst))?;
        let client = target
            .client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        target.in_flight.fetch_add(1, Ordering::SeqCst);
        pool.group.in_flight.fetch_add(1, Ordering::SeqCst);
        Some(InFlight {
            target: Arc::clone(target),
            client,
            group: Arc::clone(&pool.group),
            began: Instant::now(),
            status: None,
        })
    }

    /// Waits until nothing is in flight to these targets; answers with what is left at the end.
    pub(super) async fn idle(&self, targets: &[String], timeout: Duration) -> u64 {
        let known: Vec<_> = self.read(|t| {
            targets
                .iter()
                .filter_map(|id| t.targets.get(id).cloned())
                .collect()
        });
        let deadline = Instant::now() + timeout;
        for target in &known {
            loop {
                let ended = target.idle.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if target.in_flight.load(Ordering::SeqCst) == 0 {
                    break;
                }
                if tokio::time::timeout_at(deadline, ended).await.is_err() {
                    break;
                }
            }
        }
        known
            .iter()
            .map(|t| t.in_flight.load(Ordering::SeqCst))
            .sum()
    }

    /// Cuts what is in flight to these targets.
    pub(super) fn cut(&self, targets: &[String]) -> u64 {
        self.read(|t| {
            let known = targets.iter().filter_map(|id| t.targets.get(id));
            known
                .map(|target| {
                    target.cut.cancel();
                    target.in_flight.load(Ordering::SeqCst)
                })
                .sum()
        })
    }

    pub(super) fn metrics(&self) -> BTreeMap<String, Metrics> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups
            .iter()
            .map(|(name, group)| (name.clone(), group.metrics()))
            .collect()
    }

    /// There is nobody to send a request to: the proxy is not needed for those who are there.
    pub(super) fn is_empty(&self) -> bool {
        self.read(|t| t.targets.is_empty())
    }

    /// Listener -> port.
    pub(super) fn ports(&self) -> BTreeMap<String, u16> {
        self.read(|t| {
            t.listeners
                .iter()
                .map(|(n, l)| (n.clone(), l.address.port()))
                .collect()
        })
    }

    pub(super) fn connections(&self) -> Arc<Semaphore> {
        Arc::clone(&self.connections)
    }

    fn group(&self, name: &str) -> Arc<Group> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(groups.entry(name.to_owned()).or_default())
    }

    fn read<T>(&self, of: impl FnOnce(&Active) -> T) -> T {
        of(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = TcpListener::bind(address).await?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

fn client() -> Outgoing {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .build(connector)
}

impl ActiveTarget {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            in_flight: AtomicU64::new(0),
            idle: Notify::new(),
            cut: CancellationToken::new(),
            client: Mutex::new(Some(client())),
        }
    }

    /// The same target, which may have left the table meanwhile.
    fn reopened(self: &Arc<Self>) -> Arc<Self> {
        if self.cut.is_cancelled() {
            return Arc::new(Self::new(self.address));
        }
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(client);
        Arc::clone(self)
    }

    fn close(&self) {
        self.client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl InFlight {
    /// The instance answered.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// The drain ended first.
    pub(super) fn was_cut(&self) {
        self.group.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Another instance gets it: this try counts nowhere.
    pub(super) fn moved_on(mut self) {
        self.status = Some(0);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let group = &self.group;
        group.in_flight.fetch_sub(1, Ordering::SeqCst);
        if self.target.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.target.idle.notify_waiters();
        }
        if self.status == Some(0) {
            return;
        }
        group.requests.fetch_add(1, Ordering::Relaxed);
        match self.status {
            Some(status) => {
                let class = usize::from(status / 100).clamp(1, 5) - 1;
                group.classes[class].fetch_add(1, Ordering::Relaxed);
            }
            None => {
                group.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        let ms = self.began.elapsed().as_millis() as u64;
        let bucket = LATENCY_BUCKETS_MS
            .iter()
            .position(|b| ms <= *b)
            .unwrap_or(BUCKETS - 1);
        group.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        group.latency_ms_sum.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Group {
    fn metrics(&self) -> Metrics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            requests: load(&self.requests),
            status_classes: std::array::from_fn(|n| load(&self.classes[n])),
            failed: load(&self.failed),
            cut: load(&self.cut),
            in_flight: load(&self.in_flight),
            latency_buckets: self.buckets.iter().map(load).collect(),
            latency_ms_sum: load(&self.latency_ms_sum),
        }
    }
}
