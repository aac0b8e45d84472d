//! Ending what a suite started and what outlives it by design: server groups and the proxy.
//!
//! First in good order through gate, while the suite still runs; then, when it has stopped, whatever
//! is left by the marks that clouddriver puts on its processes.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

use crate::{
    client::{Client, Failure, run_task},
    output::member,
};

/// Time for server groups to end in good order.
const DESTROY_TIMEOUT: Duration = Duration::from_secs(3);
/// Rounds of looking for processes; each kills what was born since the one before.
const ROUNDS_MAX: usize = 100;
/// Pause between two rounds.
const ROUND: Duration = Duration::from_millis(20);
/// Time for the proxy to answer that it stops.
const PROXY_ANSWER: Duration = Duration::from_secs(1);

/// Destroys every server group of every application. What does not end in time is left to [`sweep`].
pub(crate) async fn destroy(gate: &str) {
    match tokio::time::timeout(DESTROY_TIMEOUT, destroy_all(gate)).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => tracing::warn!(%failure, "server groups are ended by force"),
        Err(_) => tracing::warn!("server groups did not end in time and are ended by force"),
    }
}

/// Applications other than this one have server groups here. When gate does not tell, they may.
pub(crate) async fn belong_to_others(client: &Client, own: &str) -> bool {
    let look = async {
        for application in applications(client).await? {
            if application != own && !groups(client, &application).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok::<bool, Failure>(false)
    };
    match tokio::time::timeout(DESTROY_TIMEOUT, look).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) | Err(_) => true,
    }
}

async fn applications(client: &Client) -> Result<Vec<String>, Failure> {
    let all = client.list(&["applications"], &[]).await?;
    let names = all.as_array().into_iter().flatten();
    Ok(names
        .map(|application| member(application, "name"))
        .collect())
}

async fn groups(client: &Client, application: &str) -> Result<Vec<Value>, Failure> {
    let path = ["applications", application, "serverGroups"];
    let groups = client.list(&path, &[]).await?;
    Ok(groups.as_array().cloned().unwrap_or_default())
}

async fn destroy_all(gate: &str) -> Result<(), Failure> {
    let client = Client::new(gate)?;
    for name in applications(&client).await? {
        let jobs: Vec<Value> = groups(&client, &name)
            .await?
            .iter()
            .map(|group| job(&name, group))
            .collect();
        if !jobs.is_empty() {
            run_task(&client, &name, "Remove all server groups", &jobs, |_| {}).await?;
        }
    }
    Ok(())
}

/// The job that destroys a server group of the inventory.
pub(crate) fn job(application: &str, group: &Value) -> Value {
    json!({
        "type": "destroyServerGroup",
        "application": application,
        "account": member(group, "account"),
        "credentials": member(group, "account"),
        "region": member(group, "region"),
        "cloudProvider": member(group, "cloudProvider"),
        "serverGroupName": member(group, "name"),
    })
}

/// Ends the proxy and every process that was started from this directory of clouddriver. The suite
/// has stopped: nothing is started again.
pub(crate) async fn sweep(dir: &Utf8Path) {
    let Ok(dir) = dir.canonicalize_utf8() else {
        return;
    };
    let proxy = proxy_pid(&dir);
    if proxy.is_some()
        && let Err(error) = stop_proxy(&dir)
    {
        tracing::debug!(%error, "the proxy does not take the request to stop");
    }
    for round in 0..ROUNDS_MAX {
        let mut left = marked(&dir);
        left.extend(proxy.filter(|pid| is_alive(*pid)));
        if left.is_empty() {
            return;
        }
        for pid in left {
            // The proxy was asked politely and gets half of the rounds to end by itself.
            if Some(pid) != proxy || round >= ROUNDS_MAX / 2 {
                kill(pid);
            }
        }
        tokio::time::sleep(ROUND).await;
    }
    tracing::warn!(%dir, "some processes that were started from here cannot be ended");
}

fn proxy_pid(dir: &Utf8Path) -> Option<u32> {
    let text = std::fs::read_to_string(dir.join("proxy/proxy.pid")).ok()?;
    let pid = text.trim().parse().ok()?;
    // A file that was left behind may name a process that is not the proxy: its socket tells.
    UnixStream::connect(dir.join("proxy/control.sock"))
        .ok()
        .map(|_| pid)
}

fn stop_proxy(dir: &Utf8Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(dir.join("proxy/control.sock"))?;
    stream.set_read_timeout(Some(PROXY_ANSWER))?;
    stream.write_all(b"{\"command\": \"stop\"}\n")?;
    BufReader::new(stream)
        .read_line(&mut String::new())
        .map(|_| ())
}

/// Living processes whose environment names this directory.
fn marked(dir: &Utf8Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mark = format!("GENNAKER_CLOUDDRIVER={dir}");
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    })
    .collect()
}

fn process(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn is_alive(pid: u32) -> bool {
    process(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

fn kill(pid: u32) {
    if let Some(Err(error)) = process(pid).map(|pid| kill_process(pid, Signal::KILL)) {
        tracing::debug!(pid, %error, "the process has gone already");
    }
}
