//! First results of work that must not be done twice, kept until the execution is archived.

use bytes::Bytes;
use kork::ports::{JournalError, Revision};
use kork_model::{ExecutionId, WorkKey, WorkOrder, WorkResult};

use super::{Error, Shell, token};

/// The work whose first result is kept.
pub(crate) const KEPT: &str = "createWebhook";

fn subject(execution: &ExecutionId, key: &WorkKey) -> String {
    format!("work.{}.{}", token(execution.as_str()), token(&key.0))
}

impl Shell {
    /// What came of an order when it was seen before.
    pub(crate) async fn first_result(
        &self,
        order: &WorkOrder,
    ) -> Result<Option<WorkResult>, Error> {
        let subject = subject(&order.execution, &order.key);
        let records = self.ports.journal.read(&subject, Revision::NONE).await;
        let records = records.map_err(|source| failed(&order.execution, source))?;
        let Some(record) = records.first() else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&record.payload);
        read.map(Some).map_err(|source| Error::Unreadable {
            id: order.execution.to_string(),
            source,
        })
    }

    /// Keeps a result. When another worker was first, its result is the result.
    pub(crate) async fn keep_result(
        &self,
        order: &WorkOrder,
        result: WorkResult,
    ) -> Result<WorkResult, Error> {
        let id = &order.execution;
        let payload = serde_json::to_vec(&result).map_err(|source| Error::Unreadable {
            id: id.to_string(),
            source,
        })?;
        let subject = subject(id, &order.key);
        match self
            .ports
            .journal
            .append(&subject, Revision::NONE, Bytes::from(payload))
            .await
        {
            Ok(_) => Ok(result),
            Err(JournalError::Conflict { .. }) => {
                Ok(self.first_result(order).await?.unwrap_or(result))
            }
            Err(source) => Err(failed(id, source)),
        }
    }

    /// The execution has ended: nobody will ask for its work again.
    pub(crate) async fn forget_results(&self, id: &ExecutionId) -> Result<(), Error> {
        let prefix = format!("work.{}.", token(id.as_str()));
        let journal = &self.ports.journal;
        let subjects = journal.subjects(&prefix).await.map_err(|e| failed(id, e))?;
        for subject in subjects {
            let last = journal.last(&subject).await.map_err(|e| failed(id, e))?;
            journal
                .purge(&subject, last)
                .await
                .map_err(|e| failed(id, e))?;
        }
        Ok(())
    }
}

fn failed(id: &ExecutionId, source: JournalError) -> Error {
    Error::Journal {
        id: id.to_string(),
        source,
    }
}
