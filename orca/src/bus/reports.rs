//! Reports of workers: each becomes a command to its execution, and is acknowledged once that is
//! durable.

use std::sync::Arc;

use kork_model::{WorkReport, work};
use orca_engine::Command;

use super::commands::{finish, pull_forever, reject};
use crate::app::Shell;

pub(crate) fn spawn(shell: &Arc<Shell>) {
    let shell = Arc::clone(shell);
    shell.shutdown.clone().spawn_until_requested(async move {
        pull_forever(&shell, work::REPORTS, |shell, delivery| async move {
            let report: WorkReport = match serde_json::from_slice(&delivery.payload) {
                Ok(report) => report,
                Err(error) => return reject(&shell, &delivery, &error.to_string()).await,
            };
            let id = report.execution.clone();
            let command = Command::Report {
                report: Box::new(report),
            };
            let outcome = shell.execute(&id, &command).await;
            finish(&shell, &delivery, outcome.map(drop)).await;
        })
        .await;
    });
}
